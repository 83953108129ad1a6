"""Checkpoints on SoftHSM: the writer is killed in their midst, and the HSM is away for a while."""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251 - moments of killing
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.fakes.hsm_tokens import HAS_SOFTHSM, softhsm
from tests.unit.audit.writers import WriterProcess, record

from hyok.audit.checkpoint import parse_checkpoint, parse_public_key
from hyok.audit.client import JournalClient
from hyok.audit.tiles import TreeFolder, folder_of
from hyok.audit.verify import verify
from hyok.custody.audit_key import hsm_key
from hyok.hsm.supervise import AgentSupervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.hsm.supervise import AgentSpec

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
KILLS = 200 if os.environ.get("HYOK_LONG") else 10
KEY = "hyok-audit/test/1"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aud-") as made:  # a socket's path must be short
        yield Path(made)


@pytest.fixture
def spec(folder: Path) -> AgentSpec:
    return softhsm(folder)


def writer_of(folder: Path, spec: AgentSpec) -> WriterProcess:
    often = ("--checkpoint-records", "1", "--checkpoint-seconds", "0.1")
    return WriterProcess(folder, "--key", KEY, "--agent", spec.socket_path, *often)


def make_key(folder: Path, spec: AgentSpec):
    pinned = folder_of(folder / "audit.jsonl") / "key-1.pem"
    return hsm_key([spec.socket_path], KEY, pinned).create()


def newest(folder: Path) -> int:
    note = TreeFolder(folder_of(folder / "audit.jsonl")).newest()
    return parse_checkpoint(note).head.size if note else 0


async def until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_kills_in_the_midst_of_checkpoints_lose_none_and_the_log_verifies(
    folder: Path, spec: AgentSpec
) -> None:
    seed = random.randrange(1 << 30)
    moments = random.Random(seed)
    print(f"seed {seed}")
    with AgentSupervisor([spec]) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, 60)
        key = make_key(folder, spec)
        writer = writer_of(folder, spec)
        writer.start()
        journal = JournalClient(writer.socket, deadline_seconds=30)
        running = True
        confirmed: list[str] = []

        async def load(name: int) -> None:
            number = 0
            while running:
                number += 1
                await journal.record(record(f"{name}-{number}"), durable=True)
                confirmed.append(f"{name}-{number}")
                await asyncio.sleep(0.002)

        tasks = [asyncio.create_task(load(number)) for number in range(8)]
        state = folder_of(writer.file) / "state.json"
        seen: list[str] = []
        for kill in range(KILLS):
            if kill % 2:
                await asyncio.sleep(moments.uniform(0.1, 1.5))
            else:  # tiles are on disk and the HSM is being asked, or the note is being written
                before = state.stat().st_mtime_ns if state.exists() else 0
                await until(lambda b=before: state.exists() and state.stat().st_mtime_ns != b)
                await asyncio.sleep(moments.uniform(0, 0.02))
            await asyncio.to_thread(writer.kill)
            notes = list(TreeFolder(folder_of(writer.file)).notes())
            assert notes[: len(seen)] == seen, "a checkpoint that was there is gone"
            seen = notes
            writer.start()
        await until(lambda: newest(folder) > 0)
        running = False
        await asyncio.gather(*tasks)
        await journal.close()
        assert await asyncio.to_thread(writer.stop) == 0
    report = verify(writer.file, [key])
    assert report.good, report.problems
    lines = writer.lines()
    assert set(confirmed) <= {line.get("request_id") for line in lines}
    assert report.covered == report.records == len(lines)  # the last line says that it ended well
    assert report.checkpoints > KILLS // 4
    print(f"{report.records} records, {report.checkpoints} checkpoints, {KILLS} kills")


async def test_without_the_hsm_the_log_goes_on_and_its_checkpoints_follow(
    folder: Path, spec: AgentSpec
) -> None:
    writer = writer_of(folder, spec)
    with AgentSupervisor([spec]) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, 60)
        key = make_key(folder, spec)
        writer.start()
        journal = JournalClient(writer.socket, deadline_seconds=30)
        await journal.record(record("before"), durable=True)
        await until(lambda: newest(folder) >= 2)
    covered = newest(folder)
    for number in range(600):
        await journal.record(record(f"away-{number}"), durable=number % 50 == 0)
    await asyncio.sleep(2)
    assert newest(folder) == covered
    with AgentSupervisor([spec]) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, 60)
        await until(lambda: newest(folder) >= covered + 600)
        await journal.close()
        assert await asyncio.to_thread(writer.stop) == 0
    report = verify(writer.file, [key])
    assert report.good
    assert report.covered == report.records


async def test_another_key_in_the_token_signs_nothing(folder: Path, spec: AgentSpec) -> None:
    pinned = folder_of(folder / "audit.jsonl") / "key-1.pem"
    with AgentSupervisor([spec]) as supervisor:
        await asyncio.to_thread(supervisor.wait_ready, 60)
        key = make_key(folder, spec)
        other = hsm_key([spec.socket_path], "hyok-audit/other/1", folder / "other.pem").create()
        pinned.write_text(other.pem())  # as if the token had been exchanged
        writer = writer_of(folder, spec)
        writer.start()
        await until((folder_of(writer.file) / "problem.txt").exists)
        assert await asyncio.to_thread(writer.stop) == 0
    assert newest(folder) == 0
    assert "HY-2106" in (folder_of(writer.file) / "problem.txt").read_text()
    assert parse_public_key(other.pem().encode()) != key
