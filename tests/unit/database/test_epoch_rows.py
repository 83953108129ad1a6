"""Rows in memory: seen within two seconds of another process, at once where they were missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select

from hyok.database.engine import Database
from hyok.database.epoch_rows import MISS_MS, POLL_MS, EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection


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
