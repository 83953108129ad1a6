"""The embedded database is out of reach under load: closed in time, back by itself, nothing lost.

Somebody holds SQLite's locks and does not let go, as a process that hangs on a dying disk does: no
process of the installation reads or writes a row any more.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.e2e import operated
from tests.e2e.test_postgresql import AGE_SECONDS_MAX, done_within
from tests.fakes.hsm_tokens import HAS_SOFTHSM

from hyok.database.epoch_rows import LOOK_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
WAL_LOCKS = range(120, 128)
"""Bytes of the -shm file that stand for SQLite's locks: one writes, five read."""

BUSY_SECONDS = 10
PROBE_SECONDS_MAX = 3.0


@contextmanager
def out_of_reach(database: Path) -> Iterator[None]:
    """Hold every lock of a database."""
    descriptor = os.open(f"{database}-shm", os.O_RDWR)
    try:
        for byte in WAL_LOCKS:
            fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, byte)
        yield
    finally:
        os.close(descriptor)  # which lets go of them


def is_ready(made: operated.Operated) -> bool:
    """Say whether a probe would send clients here; it is answered in time, and told why not."""
    asked = time.monotonic()
    status, told = made.readyz()
    assert time.monotonic() - asked < PROBE_SECONDS_MAX
    assert status == 200 or "database does not answer" in told["database"], told
    return status == 200


def test_a_lost_sqlite_fails_closed_in_time_and_is_used_again_by_itself(tmp_path: Path) -> None:
    made = operated.copied(tmp_path)
    try:
        gateway = made.serve()
        with operated.Load(gateway, ("intern", "vertrouwelijk")) as load:
            while load.done < 50:  # every client has what it needs in memory
                time.sleep(0.1)
            with out_of_reach(made.home / "hyok.db"):
                lost = time.monotonic()
                while not load.failed or load.failed[-1] != 503 or done_within(load, 4.0):
                    spent = time.monotonic() - lost
                    assert spent < AGE_SECONDS_MAX + BUSY_SECONDS, "still served from memory"
                assert not is_ready(made)
                assert load.slowest < 2 * LOOK_SECONDS_MAX, (
                    "each waits once, not for each kind of row"
                )
            back = time.monotonic()
            while not done_within(load, 0.5):
                assert time.monotonic() - back < 30, "the database is back, and not used"
        assert not load.wrong, load.wrong[:3]
        assert set(load.failed) == {503}
        s3 = gateway.client()
        for (bucket, key), body in load.held.items():  # acknowledged, so whole
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        lines = (made.home / "audit" / "audit.jsonl").read_text().splitlines()
        written = [json.loads(line) for line in lines]
        done = [r for r in written if r["phase"] == "conclude" and r["outcome"] == "done"]
        puts = [r for r in done if r["action"] == "object:put"]
        assert len(puts) >= load.done // 3, "what was acknowledged is on record"
        assert made.wait_ready() < 30
    finally:
        made.close()
