"""A whole gateway with receivers: the exporter is started, kept alive, and all streams join."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from tests.e2e import forked
from tests.e2e.running import configure, make_bucket, serve, start
from tests.fakes.hsm_tokens import HAS_SOFTHSM

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
BSN = "123456782"
ACTIVITY = "https://register.gemeente.example/verwerkingen/42"
TRACE, SPAN = "28dbeec32e77635cc19bc3204ec56c41", "893e1b2ac52d712f"
FORMATS = ("ocsf", "ldv", "adl")


def command(config: Path, *arguments: str, given: str = "") -> str:
    done = forked.hyok(*arguments, "--config", str(config), given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def exporters(config: Path) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"hyok.cli.audit_exporter --config {config}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(each) for each in found.stdout.split()]


def test_security_processing_and_decisions_are_three_streams_of_one_trace(tmp_path: Path) -> None:
    home = tmp_path / "home"
    start(home).stop()
    streams = {name: tmp_path / f"{name}.jsonl" for name in FORMATS}
    receivers = "".join(
        f'[[audit.exports]]\nname = "{name}"\nformat = "{name}"\nto = "file://{path}"\n'
        for name, path in streams.items()
    )
    config = configure(home, "streams", receivers, https=True)
    issued = json.loads(
        command(
            *(config, "apps", "create", "jeugd", "--tenant", "gemeente", "--json"),
            *("--purpose", "jeugdhulp", "--processing-activity", ACTIVITY),
        )
    )
    issued = issued[0] if isinstance(issued, list) else issued
    make_bucket(config, "jeugdzaken", "vertrouwelijk", "local")
    gateway = serve(config)

    def read(name: str) -> list[dict[str, Any]]:
        path = streams[name]
        return [json.loads(each) for each in path.read_text().splitlines()] if path.exists() else []

    try:
        client = boto3.client(
            "s3",
            endpoint_url=gateway.endpoint,
            aws_access_key_id=issued["access_key"],
            aws_secret_access_key=issued["secret"],
            region_name="us-east-1",
            verify=str(home / "ca.pem"),
            config=Config(retries={"max_attempts": 0}),
        )
        client.meta.events.register(
            "before-sign.s3",
            lambda request, **_: request.headers.add_header("traceparent", f"00-{TRACE}-{SPAN}-01"),
        )
        client.put_object(
            Bucket="jeugdzaken",
            Key="zaak/1",
            Body=b"inhoud",
            Tagging=f"betrokkene={BSN}&betrokkene-type=BSN",
        )
        until(lambda: bool(exporters(config)))
        (pid,) = exporters(config)
        os.kill(pid, signal.SIGKILL)
        assert client.get_object(Bucket="jeugdzaken", Key="zaak/1")["Body"].read() == b"inhoud"
        until(lambda: [span["name"] for span in read("ldv")] == ["object:put", "object:get"])
        until(lambda: len(read("adl")) >= 2)
        assert exporters(config) != [pid]  # started again
        shown = json.loads(command(config, "audit", "export", "status", "--json"))
        assert {row["name"]: row["state"] for row in shown} == dict.fromkeys(FORMATS, "ok")
    finally:
        assert gateway.stop() == 0
    assert exporters(config) == []
    spans, decisions = read("ldv"), read("adl")
    assert {span["trace_id"] for span in spans} == {TRACE}
    assert {span["parent_span_id"] for span in spans} == {SPAN}
    joined = [each for each in decisions if each["trace_id"] == TRACE]
    assert [each["body"]["adl.core.response"]["decision"] for each in joined] == [True, True]
    events = [each for each in read("ocsf") if each["metadata"].get("correlation_uid") == TRACE]
    assert {each["actor"]["user"]["uid"] for each in events} == {"jeugd"}
    sealed = {span["attributes"]["dpl.core.data_subject_id"] for span in spans}
    assert len(sealed) == 1
    asked = ("audit", "subject", "--tenant", "gemeente", "--type", "BSN")
    assert command(config, *asked, given=f"{BSN}\n").split() == list(sealed)
    assert command(config, *asked, "--reveal", given=sealed.copy().pop()).split() == [BSN]
    for path in (*streams.values(), home / "audit" / "streams.jsonl"):
        assert BSN not in path.read_text()
