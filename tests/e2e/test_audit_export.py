"""The exporter's process and a real rsyslog: kills and rotation lose no record."""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - moments of killing
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import trustme
from tests.e2e import forked
from tests.peers.rsyslog import HAS_RSYSLOG, Rsyslog
from tests.unit.audit.logs import add, line

from hyok.audit.cursor import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_RSYSLOG, reason="no rsyslog with TLS here"),
]
KILLS = 60 if os.environ.get("HYOK_LONG") else 6
SETTINGS = """
[installation]
mode = "development"
[hsm]
kind = "software"
software_file = "{home}/keys.json"
[[stores]]
kind = "files"
name = "local"
path = "{home}/store"
[audit]
file = "{home}/audit.jsonl"
[[audit.exports]]
name = "siem"
format = "syslog"
to = "tls://127.0.0.1:{port}"
ca_file = "{home}/{ca}"
client_certificate = "{home}/client.pem"
client_key = "{home}/client.key"
batch_records = 50
seconds_max = 5
[[audit.exports]]
name = "lines"
format = "ocsf"
to = "file://{home}/events.jsonl"
"""


class Exporter:
    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, home: Path, port: int, ca: str = "ca.pem") -> None:
        self.config = home / "hyok.toml"
        self.config.write_text(SETTINGS.format(home=home, port=port, ca=ca))
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "hyok.cli.audit_exporter", "--config", str(self.config)]
        with (self.home / "exporter.log").open("ab") as said:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        self.started.append(self.process)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="exp-") as made:
        yield Path(made)
        while Exporter.started:
            process = Exporter.started.pop()
            process.kill()
            process.wait()


@pytest.fixture
def siem(home: Path) -> Iterator[Rsyslog]:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(home / "ca.pem")
    trustme.CA().cert_pem.write_to_path(home / "other-ca.pem")
    client = ca.issue_cert("gateway.example")
    client.private_key_pem.write_to_path(home / "client.key")
    client.cert_chain_pems[0].write_to_path(home / "client.pem")
    receiver = Rsyslog(home / "siem", ca)
    yield receiver
    receiver.kill()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_kills_of_both_sides_and_rotation_lose_no_record(home: Path, siem: Rsyslog) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    draw = random.Random(seed)
    log, exporter = home / "audit.jsonl", Exporter(home, siem.port)
    written, ended, rotating = [0], threading.Event(), threading.Lock()

    def write() -> None:
        while not ended.wait(0.02):
            with rotating:
                add(log, written[0] + 1, written[0] + 5)
                written[0] += 5

    writing = threading.Thread(target=write)
    writing.start()
    siem.start()
    exporter.start()
    try:
        for kill in range(KILLS):
            time.sleep(draw.uniform(0.5, 2.5))
            if kill % 3 == 0:
                siem.kill()
                time.sleep(draw.uniform(0, 0.6))
                siem.start()
            elif kill % 3 == 1:
                exporter.end(signal.SIGKILL)
                exporter.start()
            else:
                with rotating:
                    log.rename(log.with_name(f"audit.jsonl.{kill}"))
                    add(log, written[0] + 1, written[0] + 1)
                    written[0] += 1
    finally:
        ended.set()
        writing.join()
    everything = set(range(1, written[0] + 1))
    try:
        until(lambda: set(siem.numbers()) == everything, 90)
        events = home / "events.jsonl"
        until(lambda: events.read_bytes().count(b'"class_uid":6003') >= len(everything))
        found = progress(log, "siem", time.time_ns() // 1_000_000)
        assert (found.lag_records, found.status.error) == (0, "")
    finally:
        code = exporter.end()
    assert code == 0
    sequence = [
        json.loads(each)["metadata"]["sequence"] for each in events.read_text().splitlines()
    ]
    assert set(sequence) == everything
    for data, text in siem.lines()[:50]:
        assert data.startswith("[hyok@32473 seq=")
        assert f"{text}\n".encode() == line(json.loads(text)["seq"])  # byte for byte
    arrived = siem.numbers()
    print(f"{written[0]} records, {len(arrived) - written[0]} arrived twice, {KILLS} kills")


def test_a_receiver_of_another_ca_gets_nothing_until_that_is_mended(
    home: Path, siem: Rsyslog
) -> None:
    log = home / "audit.jsonl"
    add(log, 1, 20)
    siem.start()
    exporter = Exporter(home, siem.port, "other-ca.pem")
    exporter.start()

    def error() -> str:
        return progress(log, "siem", 0).status.error

    until(lambda: "certificate is refused" in error())
    assert exporter.end() == 0
    assert siem.lines() == []
    command = ("audit", "export", "status", "--json", "--config", str(exporter.config))
    shown = json.loads(forked.hyok(*command).stdout)
    states = {row["name"]: (row["state"], row["waiting"]) for row in shown}
    assert states == {"siem": ("failing", 20), "lines": ("ok", 0)}
    exporter = Exporter(home, siem.port)
    exporter.start()
    until(lambda: siem.numbers() == list(range(1, 21)))
    assert error() == ""
    assert exporter.end() == 0


def test_a_client_that_the_receiver_does_not_know_is_told_so(home: Path, siem: Rsyslog) -> None:
    log = home / "audit.jsonl"
    add(log, 1, 3)
    siem.start()
    stranger = trustme.CA().issue_cert("gateway.example")
    stranger.private_key_pem.write_to_path(home / "client.key")
    stranger.cert_chain_pems[0].write_to_path(home / "client.pem")
    exporter = Exporter(home, siem.port)
    exporter.start()
    until(lambda: bool(progress(log, "siem", 0).status.error))
    assert exporter.end() == 0
    assert siem.lines() == []
    assert progress(log, "siem", 0).place.seq == 0
