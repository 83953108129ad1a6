"""Every row of a database, at one moment, in a file; and a file's rows in a database.

The file is a SQLite database of the newest schema, whichever kind the rows come from and go to: so
a backup is one format, and moves an installation from SQLite to PostgreSQL as well.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select

from hyok.database import copy
from hyok.database.engine import Database
from hyok.database.migrate import upgrade
from hyok.database.tables import NOT_COPIED, metadata
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Table

ROWS_AT_A_TIME = 1000


def gather(database: Database, target: Path) -> int:
    """Write the rows of a database that may be in use; return the bytes written.

    Raises:
        Conflict: ``target`` is there already.
        Unavailable: the database did not answer.
    """
    if target.exists():
        raise Conflict(f"{target} is there already; nothing was overwritten")
    beside = target.with_name(target.name + ".part")
    beside.unlink(missing_ok=True)
    try:
        with closing(Database(f"sqlite:///{beside}", threads=1)) as made:
            made.migrate()
            made.run_sync(lambda into: database.read_sync(lambda rows: _copy(rows, into)))
        copy.check(beside)
        copy.flush(beside)
        beside.rename(target)
        copy.flush(target.parent)
    except BaseException:
        for leftover in ("", "-wal", "-shm"):
            beside.with_name(beside.name + leftover).unlink(missing_ok=True)
        raise
    return target.stat().st_size


def fill(source: Path, database: Database, *, replace: bool) -> None:
    """Make the rows of a file the database's, in one transaction.

    ``source`` may be of an older schema; it is brought to the newest one.

    Raises:
        Conflict: the database holds rows already, and is not to be replaced.
        Malformed: the file is no database of ours.
    """
    copy.check(source)
    with closing(Database(f"sqlite:///{source}", threads=1)) as rows:
        rows.migrate()

        def act(into: Connection) -> None:
            upgrade(into)
            if not replace and not _is_empty(into):
                raise Conflict("the database holds rows already")
            for table in reversed(_tables()):
                into.execute(delete(table))
            rows.read_sync(lambda connection: _copy(connection, into))

        database.run_sync(act)


def is_empty(database: Database) -> bool:
    """Return whether nothing of an installation stands there, tables or none."""

    def act(connection: Connection) -> bool:
        upgrade(connection)
        return _is_empty(connection)

    return database.run_sync(act)


def _is_empty(connection: Connection) -> bool:
    return not any(
        connection.scalar(select(func.count()).select_from(table)) for table in _tables()
    )


def _tables() -> Sequence[Table]:
    """Return the tables that a backup has, those that others refer to first."""
    return [table for table in metadata.sorted_tables if table not in NOT_COPIED]


def _copy(rows: Connection, into: Connection) -> None:
    for table in _tables():
        found = rows.execution_options(yield_per=ROWS_AT_A_TIME).execute(select(table))
        for some in found.mappings().partitions(ROWS_AT_A_TIME):
            into.execute(insert(table), [dict(row) for row in some])
