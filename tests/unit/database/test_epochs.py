"""One look at all epochs: whoever remembers rows waits once, whatever number of kinds there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import insert, select

from hyok.database import epoch_rows
from hyok.database.engine import Database
from hyok.database.epoch_rows import AGE_MS_MAX, POLL_MS, EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import settings
from hyok.errors import Tampered, Unavailable
from hyok.identity.epoch_memory import EpochMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection


class Counted(Database):
    """A database that counts its questions and can be out of reach."""

    asked = 0
    away = False
    held: asyncio.Event | None = None

    async def read(self, act: Any) -> Any:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.away:
            raise Unavailable("away")
        return await super().read(act)


class Clock:
    ms = 1_000_000

    def __call__(self) -> int:
        return self.ms

    def seconds(self) -> float:
        return self.ms / 1000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Counted]:
    made = Counted(f"sqlite:///{tmp_path / 'rows.db'}")
    made.migrate()
    yield made
    made.close()


def load(connection: Connection) -> Mapping[str, str]:
    return {row.name: row.value for row in connection.execute(select(settings))}


async def write(database: Database, name: str, *epochs: str) -> None:
    def act(connection: Connection) -> None:
        connection.execute(insert(settings).values(name=name, value="x", changed_ms=0))
        for one in epochs:
            bump_epoch(connection, one)

    await database.run(act)


async def test_old_rows_of_eight_kinds_cost_one_question(database: Counted) -> None:
    clock = Clock()
    kinds = [EpochRows(database, clock, f"kind{n}", load) for n in range(7)]
    memory: EpochMemory[str] = EpochMemory(database, "keys", monotonic=clock.seconds)

    async def read() -> tuple[int, str]:
        return 0, "value"

    for rows in kinds:
        await rows.now()
    assert await memory.get("a", read) == "value"
    await write(database, "een", *(f"kind{n}" for n in range(7)))
    clock.ms += POLL_MS
    database.asked = 0
    for rows in kinds:
        assert "een" in await rows.now(), "seen at the next look"
    assert await memory.get("a", read) == "value"
    assert database.asked == 1


async def test_rows_that_nobody_asked_for_are_not_read(database: Counted) -> None:
    clock, loads = Clock(), 0

    def counted(connection: Connection) -> Mapping[str, str]:
        nonlocal loads
        loads += 1
        return load(connection)

    EpochRows(database, clock, "never", counted)
    asked = EpochRows(database, clock, "asked", load)
    await asked.now()
    clock.ms += POLL_MS
    await asked.now()
    assert loads == 0


async def test_rows_that_cannot_be_used_keep_no_other_rows_away(database: Counted) -> None:
    clock, broken = Clock(), False

    def fails(connection: Connection) -> Mapping[str, str]:
        if broken:
            raise Tampered("A row was changed.")
        return load(connection)

    bad, good = EpochRows(database, clock, "a", fails), EpochRows(database, clock, "b", load)
    await bad.now()
    await good.now()
    broken = True
    await write(database, "een", "a", "b")
    clock.ms += POLL_MS
    assert "een" in await good.now()
    for _ in range(3):  # and never again with what was remembered
        with pytest.raises(Tampered):
            await bad.now()
    broken = False
    assert "een" in await bad.now()


async def test_all_who_wait_for_a_database_that_is_away_wait_once(database: Counted) -> None:
    clock = Clock()
    kinds = [EpochRows(database, clock, f"kind{n}", load) for n in range(7)]
    for rows in kinds:
        await rows.now()
    database.asked, database.away, database.held = 0, True, asyncio.Event()
    clock.ms += POLL_MS
    waiting = [asyncio.create_task(rows.now()) for rows in kinds for _ in range(20)]
    await asyncio.sleep(0.01)
    assert database.asked == 1
    clock.ms += 10_000  # which is how long it takes to fail
    database.held.set()
    await asyncio.gather(*waiting)
    assert database.asked == 1, "nobody asks once more because the answer came late"
    for rows in kinds:
        await rows.now()
    assert database.asked == 1
    clock.ms += AGE_MS_MAX
    for rows in kinds:
        with pytest.raises(Unavailable):
            await rows.now()


async def test_memory_ends_at_its_age_even_between_two_looks(database: Counted) -> None:
    clock = Clock()
    rows = EpochRows(database, clock, "kind", load)
    await rows.now()
    database.away = True
    clock.ms += AGE_MS_MAX - 1
    await rows.now()
    clock.ms += 2  # a moment after a look that failed: too soon for another, and too old to serve
    with pytest.raises(Unavailable):
        await rows.now()


async def test_a_look_that_was_overtaken_by_a_reading_changes_nothing(database: Counted) -> None:
    clock = Clock()
    rows = EpochRows(database, clock, "kind", load)
    await rows.now()
    begun = rows.begin()
    await write(database, "een", "kind")
    clock.ms += POLL_MS
    assert "een" in await rows.again()
    rows.saw(cast("Any", begun), (0, {}))
    assert "een" in await rows.now()


async def test_who_came_after_a_look_began_has_one_of_their_own(database: Counted) -> None:
    clock = Clock()
    first, late = EpochRows(database, clock, "a", load), EpochRows(database, clock, "b", load)
    await first.now()
    clock.ms += POLL_MS
    database.held = asyncio.Event()
    looking = asyncio.create_task(first.now())
    await asyncio.sleep(0)
    asked = asyncio.create_task(database.epochs.look(late))
    await asyncio.sleep(0.01)
    late._epoch = 0  # from here on it takes part
    database.held.set()
    await asyncio.gather(looking, asked)
    assert database.asked == 3


async def test_nobody_waits_long_while_memory_serves(
    database: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_rows, "LOOK_SECONDS_MAX", 0.1)
    clock = Clock()
    rows = EpochRows(database, clock, "kind", load)
    await rows.now()
    database.held = asyncio.Event()
    clock.ms += POLL_MS
    began = asyncio.get_running_loop().time()
    await rows.now()
    waited = asyncio.get_running_loop().time() - began
    assert waited > 0.09
    for _ in range(100):
        await rows.now()
    assert asyncio.get_running_loop().time() - began - waited < 0.09
    database.held.set()
