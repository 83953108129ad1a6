"""SQLite, the embedded default: WAL, one writer, readers that cannot write.

``synchronous=FULL``: a commit that was answered survives a power cut.  Writers take the write lock
at the start of a transaction, since a deferred one that turns into a writer half-way fails without
waiting.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, event

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
    from sqlalchemy.pool import ConnectionPoolEntry


def engines(url: URL, threads: int, busy_seconds: int) -> tuple[Engine, Engine]:
    """Return the engine that writes, with one connection, and the one that reads, with `threads`.

    ``url`` has passed `hyok.database.config.check_url`.
    """
    assert url.database, "hyok.database.config sees to it"
    path = Path(url.database)
    # Made here so that nobody else may read it; SQLite gives -wal and -shm the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    options = {"timeout": busy_seconds, "check_same_thread": False}
    # One writing connection: threads of this process queue here, other processes in SQLite.
    writer = create_engine(
        url, connect_args=options, pool_size=1, max_overflow=0, pool_timeout=busy_seconds
    )
    reader = create_engine(
        url, connect_args=options, pool_size=threads, max_overflow=0, pool_timeout=busy_seconds
    )
    _prepare(writer, "BEGIN IMMEDIATE", ("foreign_keys=ON", "synchronous=FULL"), busy_seconds)
    _prepare(reader, "BEGIN", ("query_only=ON",), busy_seconds)
    return writer, reader


def _prepare(engine: Engine, begin: str, pragmas: tuple[str, ...], busy_seconds: int) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes too late (before the first write only) and breaks savepoints.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={busy_seconds * 1000}")
        _keep_a_wal(cursor, busy_seconds)
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def _keep_a_wal(cursor: DBAPICursor, busy_seconds: int) -> None:
    """Switch to WAL, which SQLite does not wait for: processes that start at once must."""
    ends = time.monotonic() + busy_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
            time.sleep(0.01)
        else:
            return
