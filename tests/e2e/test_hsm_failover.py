"""Two tokens with the same keys: one goes away under load, and no client notices."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM

from hyok.errors import Unavailable
from hyok.hsm.supervise import ask
from hyok.hsm.wire import Verb

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
BUCKETS = ("geheim", "intern", "vertrouwelijk")


def calls(made: operated.Operated, token: str) -> int:
    """Return how many questions the agent of a token was asked, its own supervisor's included."""
    answer = ask(str(made.run_directory / f"hsm-{token}.sock"), Verb.STATUS, 5.0)
    return int(answer.fields[2])


def states(made: operated.Operated, ok: int) -> dict[str, dict[str, object]]:
    rows = made.cli(["hsm", "status", "--json"], ok=(ok,))[0]
    return {row["token"]: row for row in json.loads(rows)}


def lose(made: operated.Operated, token: str) -> tuple[Path, Path]:
    """Take a token's folder away and kill its agent, so that no new one finds it."""
    home = made.home.parent / f"token-{token}" / "tokens"
    away = home.with_name("away")
    home.rename(away)
    home.mkdir()
    for pid in made.agents(token):
        os.kill(pid, signal.SIGKILL)
    return home, away


def test_a_token_dies_under_load_and_comes_back_and_no_request_fails(tmp_path: Path) -> None:
    made = operated.copied(tmp_path, tokens="ab")
    try:
        gateway = made.serve()
        with operated.Load(gateway, BUCKETS) as load:
            time.sleep(1.5)
            home, away = lose(made, "a")
            second = calls(made, "b")
            told = states(made, ok=1)  # a command beside it finds the running gateway
            assert (told["a"]["healthy"], told["b"]["healthy"]) == (False, True)
            time.sleep(1.5)
            assert calls(made, "b") > second + 50
            home.rmdir()
            away.rename(home)
            returned = time.monotonic()
            while True:
                try:
                    if calls(made, "a") > 50:  # an agent that only waits is asked once a second
                        break
                except Unavailable:
                    pass
                assert time.monotonic() < returned + 45
                time.sleep(0.1)
            back = time.monotonic() - returned
            assert states(made, ok=0)["a"]["keys"] == "5 of 5"
        print(f"{load.done} requests, slowest turn {load.slowest:.2f} s, back after {back:.1f} s")
        assert (load.failed, load.wrong) == ([], [])
        assert load.done > 100
        s3 = gateway.client()
        for (bucket, key), body in load.held.items():
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    finally:
        made.close()


def test_a_gateway_starts_with_one_of_its_two_tokens(tmp_path: Path) -> None:
    made = operated.copied(tmp_path, tokens="ab")
    try:
        lose(made, "a")
        s3 = made.serve().client()
        for bucket in BUCKETS:
            s3.put_object(Bucket=bucket, Key="een", Body=b"een")
            assert s3.get_object(Bucket=bucket, Key="een")["Body"].read() == b"een"
        assert made.readyz() == (200, {"hsm": "ok", "drain": "ok", "database": "ok"})
    finally:
        made.close()
