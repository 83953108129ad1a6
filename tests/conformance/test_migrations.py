"""Whoever upgrades from whichever version keeps every row, on SQLite as on PostgreSQL.

Rows are made from the tables as they stand in the database at that version, not as they are now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    insert,
    select,
)
from tests.peers.postgresql import PostgreSQL

from hyok.database.engine import Database
from hyok.database.migrate import upgrade, versions
from hyok.database.schema import NEWEST
from hyok.database.tables import metadata
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Table

pytestmark = pytest.mark.integration

VERSIONS = versions()
OURS = "alembic_version"

ALLOWED: Mapping[tuple[str, str], Sequence[object]] = {
    ("door_tokens", "state"): ("active", "revoked"),
    # What a CHECK lets stand there: of the first row and of the second.
    ("apps", "state"): ("active", "revoked"),
    ("access_keys", "state"): ("active", "revoked"),
    ("web_identity_trusts", "state"): ("active", "revoked"),
    ("officers", "state"): ("active", "revoked"),
    ("buckets", "names"): ("clear", "sealed"),
    ("adopted_objects", "state"): ("plain", "replaced"),
    ("jobs", "state"): ("open", "done"),
    ("executions", "outcome"): ("running", "done"),
    ("freezes", "kind"): ("app", "store"),
    ("keks", "profile"): (1, 4),
    # A key that lives and writes, and one that was destroyed.
    ("keyring", "record"): (b"record", None),
    ("keyring", "destroyed_ms"): (None, 7),
    ("keyring", "current"): (True, False),
}
ONE_ROW = {"officer_register": "register", "policy_shadow": "shadow", "audit_log": "log"}
"""Tables of a single row, whose key must be 1."""

ADDED: Mapping[tuple[str, str], object] = {
    # What a row of before says in a column that came later; in one that may be null, nothing.
    ("buckets", "documents"): {},
    ("buckets", "public"): False,
    ("buckets", "adoption"): "",
    ("job_shards", "kept"): 0,
    ("apps", "processing_activity"): "",
    ("executions", "method"): "",
    ("door_keys", "kind"): "aes-256",
}

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(durable=False) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/hyok.db"
    else:
        url = str(request.getfixturevalue("server").new_database())
    made = Database(url)
    yield made
    made.close()


def tables_of(connection: Connection) -> Sequence[Table]:
    """Return the tables that stand there, parents first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != OURS]


def value_of(table: Table, column: Column[Any], turn: int, rows: Rows) -> object:
    """Return what stands in a column of the row ``turn``; even ones are of the first kind."""
    for key in column.foreign_keys:
        return rows[key.column.table.name][turn][key.column.name]
    if (table.name, column.name) in ALLOWED:
        return ALLOWED[table.name, column.name][turn % 2]
    if ONE_ROW.get(table.name) == column.name:
        return 1
    kind, word = column.type, f"{column.name} {turn} ë"
    if isinstance(kind, JSON):
        return {"van": word, "lijst": [turn, None]}
    if isinstance(kind, Boolean):
        return turn % 2 == 0
    if isinstance(kind, BigInteger) and column.name.endswith(("_ms", "_bytes")):
        return (1 << 41) + turn
    if isinstance(kind, Integer):
        return turn + 1
    if isinstance(kind, LargeBinary):
        return bytes([turn]) * 8 + bytes(range(8))
    if isinstance(kind, String):
        return word[-(kind.length or 64) :]
    raise AssertionError(f"{table.name}.{column.name}: a column of the kind {kind!r}")


def fill(connection: Connection, rows: Rows, first: int) -> None:
    """See that all rows are as they were made; add two to each table, and remember them."""
    tables = tables_of(connection)
    check(connection, tables, rows)
    for table in tables:
        held = rows.setdefault(table.name, [])
        for turn in (first, first + 1):
            while len(held) < turn:  # the table came later than others
                held.append({})
            if table.name in ONE_ROW and any(held):
                held.append({})
                continue
            row = {column.name: value_of(table, column, turn, rows) for column in table.columns}
            connection.execute(insert(table).values(row))
            held.append(row)


def check(connection: Connection, tables: Sequence[Table], rows: Rows) -> None:
    """Every row is there, and says what it said, and no other is."""
    for table in tables:
        wanted = [row for row in rows.get(table.name, []) if row]
        keys = [column.name for column in table.primary_key]
        found = {
            tuple(row[key] for key in keys): dict(row)
            for row in connection.execute(select(table)).mappings()
        }
        assert len(found) == len(wanted), table.name
        for row in wanted:
            now = found[tuple(row[key] for key in keys)]
            assert {name: now[name] for name in row} == row, table.name
    assert {name for name, held in rows.items() if any(held)} <= {table.name for table in tables}


def check_as_we_read(connection: Connection, rows: Rows) -> None:
    """Read by our own tables the rows of before say what they said, and the default of the rest."""
    check(connection, metadata.sorted_tables, rows)
    for table in metadata.sorted_tables:
        keys = [column.name for column in table.primary_key]
        found = {
            tuple(row[key] for key in keys): dict(row)
            for row in connection.execute(select(table)).mappings()
        }
        for row in filter(None, rows.get(table.name, [])):
            now = found[tuple(row[key] for key in keys)]
            later = {name: default_of(table, name) for name in now.keys() - row.keys()}
            assert now == row | later, table.name


def default_of(table: Table, name: str) -> object:
    if table.columns[name].nullable:
        return None
    assert (table.name, name) in ADDED, f"ADDED does not say what rows of before have in {name}"
    return ADDED[table.name, name]


def check_newest(connection: Connection) -> None:
    context = MigrationContext.configure(connection)
    assert context.get_current_revision() == NEWEST


@pytest.mark.parametrize("version", VERSIONS)
def test_every_row_of_a_version_is_there_after_the_upgrade_to_the_newest(
    database: Database, version: str
) -> None:
    rows: Rows = {}
    database.run_sync(lambda connection: upgrade(connection, version))
    database.run_sync(lambda connection: fill(connection, rows, 0))
    assert len(rows) > 10
    database.migrate()
    database.read_sync(check_newest)
    database.read_sync(lambda connection: check_as_we_read(connection, rows))
    check_constraints(database, rows)


def check_constraints(database: Database, rows: Rows) -> None:
    """What may not stand twice still may not, and children still need their parents."""
    apps = metadata.tables["apps"]
    for wrong in ({}, {"app_id": "another", "tenant": "nobody"}, {"app_id": "x", "state": "?"}):
        row = rows["apps"][0] | wrong
        with pytest.raises(Conflict):
            database.run_sync(lambda c, row=row: c.execute(insert(apps).values(row)))  # type: ignore[misc]
    row = rows["keyring"][0] | {"ik_id": bytes(16)}
    with pytest.raises(Conflict):  # a second one that is current
        database.run_sync(lambda c: c.execute(insert(metadata.tables["keyring"]).values(row)))


def test_one_version_after_the_other_keeps_the_rows_that_each_of_them_wrote(
    database: Database,
) -> None:
    rows: Rows = {}
    for turn, version in enumerate(VERSIONS):
        database.run_sync(lambda connection, to=version: upgrade(connection, to))  # type: ignore[misc]
        database.run_sync(lambda connection, n=2 * turn: fill(connection, rows, n))  # type: ignore[misc]
    database.read_sync(check_newest)
    database.read_sync(lambda connection: check_as_we_read(connection, rows))
    made = database.read_sync(
        lambda c: list(compare_metadata(MigrationContext.configure(c), metadata))
    )
    assert made == []
    held = {name: sum(map(bool, rows_of)) for name, rows_of in rows.items()}
    assert held["keyring"] == 2 * len(VERSIONS)
    assert set(held) == {table.name for table in metadata.sorted_tables}, "no table was left out"


def test_an_upgrade_that_fails_half_way_changes_nothing(database: Database) -> None:
    """All that is missing is one transaction, so that the old release still starts."""
    rows: Rows = {}
    database.run_sync(lambda connection: upgrade(connection, VERSIONS[2]))
    database.run_sync(lambda connection: fill(connection, rows, 0))

    def die(connection: Connection) -> None:
        upgrade(connection, VERSIONS[6])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.run_sync(die)

    def still(connection: Connection) -> None:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == VERSIONS[2]
        check(connection, tables_of(connection), rows)

    database.read_sync(still)
    database.migrate()
    database.read_sync(lambda connection: check_as_we_read(connection, rows))
