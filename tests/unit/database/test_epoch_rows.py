"""Rows in memory: seen within two seconds of another process, at once where they were missed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

import pytest
from sqlalchemy import insert, select

from hyok.database.engine import Database
from hyok.database.epoch_rows import AGE_MS_MAX, AHEAD_MS, MISS_MS, POLL_MS, EpochRows
from hyok.database.epochs import Epochs
from hyok.database.rows import bump_epoch
from hyok.database.tables import settings
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

T = TypeVar("T")


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'rows.db'}")
    made.migrate()
    yield made
    made.close()


class Rows:
    """One process's memory, with a count of how often the table was read."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.loads = 0
        self.memory: EpochRows[str] = EpochRows(database, clock, "test", self._load)

    def _load(self, connection: Connection) -> Mapping[str, str]:
        self.loads += 1
        return {row.name: row.value for row in connection.execute(select(settings))}


async def write(database: Database, name: str) -> None:
    def act(connection: Connection) -> None:
        connection.execute(insert(settings).values(name=name, value="x", changed_ms=0))
        bump_epoch(connection, "test")

    await database.run(act)


async def test_a_row_that_another_process_wrote_is_found_at_once_by_its_name(
    database: Database,
) -> None:
    clock = Clock()
    mine = Rows(database, clock)
    assert await mine.memory.find("een") is None
    await write(database, "een")
    clock.ms += MISS_MS
    assert await mine.memory.find("een") == "x"


async def test_names_of_rows_that_never_were_do_not_flood_the_database(database: Database) -> None:
    clock = Clock()
    mine = Rows(database, clock)
    asked = 0
    real = database.read

    async def counted(act: object) -> object:
        nonlocal asked
        asked += 1
        return await real(act)  # type: ignore[arg-type]

    database.read = counted  # type: ignore[method-assign,assignment]
    for _ in range(1_000):
        assert await mine.memory.find("niets") is None
    assert asked == 1
    clock.ms += MISS_MS
    assert await mine.memory.find("niets") is None
    assert asked == 2


async def test_a_row_that_is_there_costs_no_look_until_the_poll(database: Database) -> None:
    clock = Clock()
    mine = Rows(database, clock)
    await write(database, "een")
    assert await mine.memory.find("een") == "x"
    await write(database, "twee")
    clock.ms += POLL_MS - 1
    assert set(await mine.memory.now()) == {"een"}
    clock.ms += 1
    assert set(await mine.memory.now()) == {"een", "twee"}
    assert mine.loads == 2


async def test_what_was_written_before_the_question_is_there_however_short_before(
    database: Database,
) -> None:
    clock = Clock()
    mine = Rows(database, clock)
    assert await mine.memory.find("een") is None
    await write(database, "een")
    assert await mine.memory.find("een") is None  # looked for a moment ago
    loads = mine.loads
    told = await asyncio.gather(*(mine.memory.from_now() for _ in range(500)))
    assert all("een" in rows for rows in told)
    assert mine.loads == loads + 1, "all who ask share one reading"


class Slow:
    """A database whose answers take until they are let through, or that is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.away = False
        self.asked = 0
        self.epochs = Epochs(self)

    async def read(self, act: Callable[[Connection], T]) -> T:
        self.asked += 1
        await self.let_through.wait()
        if self.away:
            raise Unavailable("The database is away.")
        return await self._database.read(act)


async def test_nobody_waits_for_a_look_while_the_rows_still_serve(database: Database) -> None:
    clock, slow = Clock(), Slow(database)
    memory = Rows(cast("Database", slow), clock).memory
    await write(database, "een")
    assert "een" in await memory.now()
    slow.let_through.clear()
    await write(database, "twee")
    clock.ms += AHEAD_MS
    for _ in range(5):  # the look begins once, and what is remembered serves meanwhile
        async with asyncio.timeout(1):
            assert "twee" not in await memory.now()
    await asyncio.sleep(0)
    assert slow.asked == 2
    clock.ms += POLL_MS - AHEAD_MS
    late = asyncio.create_task(memory.now())  # now it is due: who asks waits for that same look
    await asyncio.sleep(0.01)
    assert not late.done()
    slow.let_through.set()
    assert "twee" in await late
    assert slow.asked <= 3


async def test_a_database_that_is_away_is_told_to_whoever_needs_it_and_not_before(
    database: Database,
) -> None:
    clock, slow = Clock(), Slow(database)
    memory = Rows(cast("Database", slow), clock).memory
    await write(database, "een")
    assert "een" in await memory.now()
    slow.away = True
    for _ in range(AGE_MS_MAX // AHEAD_MS - 1):
        clock.ms += AHEAD_MS
        assert "een" in await memory.now()
        await asyncio.sleep(0.001)
    assert slow.asked > 5
    clock.ms += AGE_MS_MAX
    with pytest.raises(Unavailable):
        await memory.now()


async def test_a_question_that_takes_long_does_not_lengthen_what_memory_may_serve(
    database: Database,
) -> None:
    clock, slow = Clock(), Slow(database)
    memory = Rows(cast("Database", slow), clock).memory
    await write(database, "een")
    assert "een" in await memory.now()
    clock.ms += AGE_MS_MAX - 1
    slow.away = True
    slow.let_through.clear()
    asking = asyncio.create_task(memory.now())
    await asyncio.sleep(0.01)
    clock.ms += 10_000
    slow.let_through.set()
    with pytest.raises(Unavailable):
        await asking
