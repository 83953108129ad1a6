"""What holds of SQLite alone; tests/conformance/test_databases.py has what holds of every one."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.schema import CreateIndex, CreateTable

from hyok.database.engine import Database
from hyok.database.tables import metadata
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hyok.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{path}")
    made.migrate()
    yield made
    made.close()


def test_the_constraints_in_the_migration_are_the_tables_own(database: Database) -> None:
    """Alembic's comparison does not see CHECK and partial indexes; SQLite's own text does."""

    def texts(connection: Connection) -> dict[str, str]:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        return {name: pieces(sql) for name, sql in rows}

    def pieces(sql: str) -> list[str]:
        # A column that a later migration added stands last in SQLite's text, behind constraints.
        return sorted("".join(sql.split()).removesuffix(")").split(","))

    made = database.read_sync(texts)
    for table in metadata.sorted_tables:
        for item in (CreateTable(table), *(CreateIndex(index) for index in table.indexes)):
            wanted = str(item.compile(dialect=database._writer.dialect))
            assert made[str(item.element.name)] == pieces(wanted)


def test_the_file_is_durable_enforces_keys_and_is_for_its_owner_only(
    database: Database, path: Path
) -> None:
    def pragma(name: str) -> object:
        return database.run_sync(lambda c: c.scalar(text(f"PRAGMA {name}")))

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "hyok.db").write_bytes(b"no database " * 100)
    made = Database(f"sqlite:///{tmp_path}/hyok.db")
    try:
        with pytest.raises(Unavailable, match="damaged"):
            made.migrate()
    finally:
        made.close()
