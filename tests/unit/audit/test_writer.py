"""The writer answers for what is on disk and for nothing else, and one sync serves who waits."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.audit.writers import record

from hyok.audit.client import JournalClient
from hyok.audit.writer import AuditWriter, listen
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from concurrent.futures import Executor


class SlowLog:
    """A log whose commits take their time, or fail."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bool]] = []
        self.is_full = False
        self.seconds = 0.05
        self.threads: set[str] = set()

    def append(self, records: Sequence[Mapping[str, object]], *, sync: bool) -> None:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        if self.is_full:
            raise Unavailable("full")
        self.batches.append((len(records), sync))

    def sync(self) -> None:
        return


@asynccontextmanager
async def served(log: SlowLog, thread: Executor | None = None) -> AsyncIterator[JournalClient]:
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        path = Path(name) / "a.sock"
        writer = AuditWriter(log, thread)
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(writer.connect, sock=listen(path))
        running = asyncio.create_task(writer.run())
        client = JournalClient(path, deadline_seconds=1.0)
        try:
            yield client
        finally:
            with suppress(Unavailable):
                await client.close()
            writer.stop()
            await running
            server.close()
            writer.close()


@pytest.mark.parametrize("apart", [False, True], ids=["here", "in a thread"])
async def test_records_that_come_during_a_commit_share_the_next(*, apart: bool) -> None:
    log = SlowLog()
    thread = ThreadPoolExecutor(1, thread_name_prefix="apart") if apart else None
    async with served(log, thread) as client:
        await client.record(record("first"), durable=True)
        assert log.batches == [(1, True)]
        log.batches.clear()
        waiting = [
            asyncio.create_task(client.record(record(f"r{number}"), durable=True))
            for number in range(50)
        ]
        await asyncio.gather(*waiting)
        assert sum(count for count, _ in log.batches) == 50
        assert len(log.batches) <= 2
        assert all(sync for _, sync in log.batches)
    assert all(name.startswith("apart") is apart for name in log.threads)


async def test_nobody_is_told_before_the_commit_returned() -> None:
    log = SlowLog()
    async with served(log) as client:
        began = time.monotonic()
        await client.record(record("r1"), durable=True)
        assert time.monotonic() - began >= log.seconds
        assert log.batches == [(1, True)]


async def test_what_the_log_does_not_take_is_refused_and_the_next_is_taken() -> None:
    log = SlowLog()
    async with served(log) as client:
        log.is_full = True
        with pytest.raises(Unavailable):
            await client.record(record("r1"), durable=True)
        log.is_full = False
        await client.record(record("r2"), durable=True)
        assert log.batches == [(1, True)]


async def test_each_record_that_waits_has_its_own_time(tmp_path: Path) -> None:
    client = JournalClient(tmp_path / "nobody.sock", deadline_seconds=0.3)
    loop = asyncio.get_running_loop()

    async def waits() -> float:
        began = loop.time()
        with pytest.raises(Unavailable):
            await client.record(record("r1"), durable=True)
        return loop.time() - began

    first = asyncio.create_task(waits())
    await asyncio.sleep(0.2)
    second = asyncio.create_task(waits())
    for took in (await first, await second):
        assert 0.29 < took < 0.45
    with pytest.raises(Unavailable):
        await client.close()
