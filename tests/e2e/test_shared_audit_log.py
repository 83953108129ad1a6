"""Two gateway hosts, one audit log: one of them dies under load, and nothing acknowledged is lost.

Real processes, a real PostgreSQL that keeps `fsync`, one HSM token; files read as auditors do.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import operated
from tests.e2e.test_postgresql import moved
from tests.fakes.hsm_tokens import HAS_SOFTHSM
from tests.peers.postgresql import PostgreSQL, children

from hyok.database.engine import Database
from hyok.jobs.catalog import DONE, REWRAP, Planned
from hyok.jobs.ledger import JobLedger, NewJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.running import Gateway

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
BUCKET = "vertrouwelijk"
"""Its classification demands that a record is durable before the answer."""

ENOUGH = 40


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as made:
        yield made


@dataclass
class Writers:
    """Clients that write until told; each keeps the ids of requests that were acknowledged."""

    gateway: Gateway
    clients: int = 3
    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list, repr=True)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int) -> None:
        s3 = self.gateway.client()
        turn = 0
        while not self._stop.is_set():
            turn += 1
            try:
                answer = s3.put_object(Bucket=BUCKET, Key=f"{number}/{turn % 5}", Body=b"x" * 500)
            except Exception as error:  # noqa: BLE001 - the host is gone
                self.failed.append(repr(error))
                time.sleep(0.05)
                continue
            self.acknowledged.append(answer["ResponseMetadata"]["RequestId"])


def on_its_own_disk(made: operated.Operated, name: str, more: str = "") -> Path:
    """Give a host a folder of its own for its audit log, and the log to the database."""
    folder = made.home / f"audit-{name}"
    folder.mkdir()
    text, count = re.subn(
        r'(\[audit\]\n)file = ".*"\n',
        rf'\1file = "{folder}/audit.jsonl"\nsequencer = "database"\nhost = "{name}"\n'
        rf"checkpoint_seconds = 1.0\n{more}",
        made.config.read_text(),
    )
    assert count == 1
    made.config.write_text(text)
    return folder / "audit.jsonl"


def kill(gateway: Gateway) -> None:
    """End everything of a host at once, as a power cut does."""
    for pid in (gateway.process.pid, *children(gateway.process.pid)):
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()


def records(file: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    return rows


def puts(rows: list[dict[str, Any]]) -> Counter[str]:
    """Return how often each request's end stands there."""
    return Counter(
        row["request_id"]
        for row in rows
        if row["action"] == "object:put" and row["phase"] == "conclude" and row["outcome"] == "done"
    )


def verified(file: Path, key: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hyok", "audit", "verify", str(file), "--key", str(key)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_host_dies_under_load_and_the_log_has_every_acknowledged_record_once(
    tmp_path: Path, server: PostgreSQL
) -> None:
    one = moved(tmp_path, server.new_database())
    two = operated.reinstalled(one, beside=True)
    exported = tmp_path / "exported.jsonl"
    export = f'[[audit.exports]]\nname = "siem"\nformat = "ocsf"\nto = "file://{exported}"\n'
    files = [on_its_own_disk(one, "one"), on_its_own_disk(two, "two", export)]
    try:
        gateways = [one.serve(), two.serve()]
        loads = [Writers(gateway) for gateway in gateways]
        for load in loads:
            load.start()
        for load in loads:
            wait_for(lambda load=load: len(load.acknowledged) > ENOUGH, load)
        kill(gateways[0])  # it began first, so it put the records in order
        before = len(loads[1].acknowledged)
        wait_for(lambda: len(loads[1].acknowledged) > before + ENOUGH, loads[1])
        for load in loads:
            load.stop()
        one.serve()  # what it was handed before it died is in the log, and its file catches up
        acknowledged = [each for load in loads for each in load.acknowledged]
        wait_for(lambda: len(acknowledged) <= sum(puts(records(files[0])).values()), files)
        shared_work(one)
        signed = [file.parent / "audit.jsonl.tree" / "checkpoint" for file in files]
        wait_for(lambda: all(each.exists() for each in signed), signed)
        found = one.alone("audit", "search", "--request", acknowledged[0], "--json")
        assert [row["outcome"] for row in json.loads(found)][-1] == "done"
    finally:
        one.close()
        two.close()
    key = next((files[0].parent / "audit.jsonl.tree").glob("key-*.pem"))
    logs = [file.read_bytes() for file in files]
    assert logs[0].startswith(logs[1]) or logs[1].startswith(logs[0])
    for file in files:
        assert "vouch for" in verified(file, key)
    rows = records(max(files, key=lambda file: file.stat().st_size))
    counted = puts(rows)
    assert {each: counted[each] for each in acknowledged} == dict.fromkeys(acknowledged, 1)
    assert {row["host"] for row in rows} == {"one", "two"}
    said = [row.get("reasons") for row in rows if row["action"] == "audit:gap"]
    assert said == [None]  # the host that died says so itself; no batch is missing
    sent = [json.loads(line)["metadata"]["sequence"] for line in exported.read_text().splitlines()]
    assert sent == sorted(set(sent))
    assert len(sent) > len(acknowledged)


def shared_work(made: operated.Operated) -> None:
    """A job that nobody works at any more is done by a worker, beside two gateways."""
    database = Database(tomllib.loads(made.config.read_text())["database"]["url"])
    ledger = JobLedger(database)
    new = NewJob("left", REWRAP, BUCKET, "operator:gone", 1)
    asyncio.run(ledger.begin(new, Planned(1, 0, [("", "")])))
    made.alone("work", "--once")
    ended = asyncio.run(ledger.progress("left"))[0]
    database.close()
    assert (ended.state, ended.failed) == (DONE, 0)
    assert ended.looked_at > 0


def wait_for(done: Callable[[], bool], told: object) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, str(told)[:2000]
        time.sleep(0.1)
