"""A worker process of the queue's tests: its job adds one to numbers, each once, in a table."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sys
import time
from typing import TYPE_CHECKING

from sqlalchemy import text

from hyok.database.engine import Database
from hyok.database.leases import Leases
from hyok.jobs.catalog import STEP_OBJECTS, Planned, Step
from hyok.jobs.ledger import JobLedger
from hyok.jobs.queue import ShardQueue
from hyok.jobs.runner import Runner

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hyok.jobs.catalog import Shard

STALLED_SECONDS = 2.0
PAUSE_SECONDS = 0.02
"""In each step: so that a killing falls into the middle of one."""


class Count:
    """Fills `Work`: objects are numbers, and doing one twice would show."""

    def __init__(self, database: Database, numbers: int, shards: int) -> None:
        self._database, self._numbers, self._shards = database, numbers, shards

    async def plan(self) -> Planned:
        marks = [self._numbers * turn // self._shards for turn in range(self._shards + 1)]
        ranges = [(str(start), str(stop)) for start, stop in itertools.pairwise(marks)]
        return Planned(self._numbers, 0, ranges)

    async def step(self, shard: Shard) -> Step:
        first = int(shard.cursor or shard.start)
        end = min(first + STEP_OBJECTS, int(shard.stop))

        def act(connection: Connection) -> int:
            done = "UPDATE numbers SET done = done + 1 WHERE n >= :a AND n < :b AND done = 0"
            return connection.execute(text(done), {"a": first, "b": end}).rowcount

        changed = await self._database.run(act)
        await asyncio.sleep(PAUSE_SECONDS)  # done, and the cursor is not saved yet
        more = end - first - changed
        return Step(str(end), changed, 0, more, finished=end == int(shard.stop))

    async def finish(self) -> str:
        return "counted"

    async def describe(self, item: bytes) -> str:
        return item.decode()


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


def runner(database: Database, numbers: int = 0, shards: int = 1) -> Runner:
    async def work(_kind: str, _bucket: str) -> Count:
        return Count(database, numbers, shards)

    leases = Leases(database, secrets.token_bytes, clock_ms)
    hold_ms = int(STALLED_SECONDS * 1000)
    ledger = JobLedger(database)
    return Runner(ledger, leases, work, clock_ms, secrets.token_bytes, hold_ms)


async def main(url: str) -> None:
    database = Database(url)
    queue = ShardQueue(url, database, runner(database), clock_ms, STALLED_SECONDS)
    await queue.work(asyncio.Event(), parallel=3, once=True)
    database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
