"""Database: short transactions on SQLite or PostgreSQL, run in a small pool of named threads.

SQLite is the embedded default: WAL, ``synchronous=FULL`` (a commit that was answered survives a
power cut), foreign keys on.  Writers take the write lock at the start of a transaction, since a
deferred one that turns into a writer half-way fails without waiting.  Readers have connections of
their own that cannot write.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hyok.database.migrate import upgrade
from hyok.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

    from hyok.vocabulary import T

THREADS = 4
"""More would wait on one disk; a query takes well under a millisecond."""

WAITING_MAX = 512
"""Calls waiting for a thread.  Beyond it the database is not keeping up, and waiting won't help."""

BUSY_SECONDS_MAX = 5
"""How long a writer waits for another process's transaction before `Unavailable`."""

_DAMAGED = ("file is not a database", "disk image is malformed")
"""What SQLite says of a file that it cannot read."""


class Database:
    """One database.  Safe from many tasks and threads; one instance per process.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql+psycopg://...``.

    Raises:
        ValueError: the URL names neither, or SQLite without a file.
    """

    def __init__(self, url: str, *, threads: int = THREADS) -> None:
        parsed = make_url(url)
        self._writer: Engine
        self._reader: Engine
        if parsed.get_backend_name() == "sqlite":
            self._writer, self._reader = _sqlite_engines(parsed, threads)
        elif parsed.get_backend_name() == "postgresql":
            self._writer = create_engine(
                parsed, pool_size=threads, max_overflow=0, pool_timeout=BUSY_SECONDS_MAX
            )
            self._reader = self._writer.execution_options(postgresql_readonly=True)
        else:
            raise ValueError("database.url must begin with sqlite:/// or postgresql+psycopg://")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hyok-database")
        self._waiting = 0

    async def run(self, act: Callable[[Connection], T]) -> T:
        """Return what ``act`` returns, in one transaction that may write.

        The transaction is committed when ``act`` returns and rolled back when it raises.  If the
        awaiting task is cancelled, the transaction still runs to its end.

        Raises:
            Conflict: a constraint did not hold: another writer was first.
            Unavailable: the database did not answer, or too many calls are waiting.
            HyokError: whatever ``act`` raises.
        """
        return await self._in_thread(self.run_sync, act)

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Return what ``act`` returns, in a transaction that cannot write and waits for no writer.

        Raises:
            Unavailable: as for `run`.
        """
        return await self._in_thread(self.read_sync, act)

    def run_sync(self, act: Callable[[Connection], T]) -> T:
        """`run`, in the calling thread."""
        with _translated(), self._writer.begin() as connection:
            return act(connection)

    def read_sync(self, act: Callable[[Connection], T]) -> T:
        """`read`, in the calling thread."""
        with _translated(), self._reader.connect() as connection, connection.begin():
            return act(connection)

    def migrate(self) -> None:
        """Bring the schema to the newest version.  Blocking; processes may call it at once.

        Raises:
            Unavailable: the database did not answer.
        """
        self.run_sync(upgrade)

    def close(self) -> None:
        """Wait for the transactions that run, then let go of every connection."""
        self._pool.shutdown(wait=True)
        self._reader.dispose()
        self._writer.dispose()

    async def _in_thread(
        self,
        how: Callable[[Callable[[Connection], T]], T],
        act: Callable[[Connection], T],
    ) -> T:
        if self._waiting >= WAITING_MAX:
            raise _unavailable()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, how, act)
        finally:
            self._waiting -= 1


def _unavailable() -> Unavailable:
    return Unavailable(
        "The database does not answer.",
        reason="ServiceUnavailable",
        code="HY-3101",
        effect="Nothing was changed.",
        next_step="hyok doctor",
    )


def _damaged() -> Unavailable:
    return Unavailable(
        "The database is damaged.",
        reason="ServiceUnavailable",
        code="HY-3104",
        effect="Nothing was changed.",
        next_step="stop the gateway, keep the file aside, then hyok restore, or else hyok recover",
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours.  A statement that is wrong is our bug and passes."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(
            "The database already holds another answer to this.",
            reason="OperationAborted",
            code="HY-3102",
            effect="Nothing was changed.",
        ) from error
    except PoolTimeout as error:
        raise _unavailable() from error
    except DBAPIError as error:
        if any(word in str(error.orig) for word in _DAMAGED):
            raise _damaged() from error
        if not _is_outage(error):
            raise
        raise _unavailable() from error


def _is_outage(error: DBAPIError) -> bool:
    """Whether the database is busy, gone or full, rather than asked something wrong."""
    if error.connection_invalidated:
        return True
    said = str(error.orig).lower()
    wrong = ("no such table", "no such column", "syntax error", "readonly", "read-only")
    return type(error.orig).__name__ in {"OperationalError", "InterfaceError"} and not any(
        word in said for word in wrong
    )


def _sqlite_engines(url: URL, threads: int) -> tuple[Engine, Engine]:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ValueError("database.url must name a file: sqlite:////absolute/path/hyok.db")
    path = Path(url.database)
    # Made here so that nobody else may read it; SQLite gives -wal and -shm the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    options = {"timeout": BUSY_SECONDS_MAX, "check_same_thread": False}
    # One writing connection: threads of this process queue here, other processes in SQLite.
    writer = create_engine(
        url, connect_args=options, pool_size=1, max_overflow=0, pool_timeout=BUSY_SECONDS_MAX
    )
    reader = create_engine(
        url, connect_args=options, pool_size=threads, max_overflow=0, pool_timeout=BUSY_SECONDS_MAX
    )
    _prepare(writer, begin="BEGIN IMMEDIATE", pragmas=("foreign_keys=ON", "synchronous=FULL"))
    _prepare(reader, begin="BEGIN", pragmas=("query_only=ON",))
    return writer, reader


def _prepare(engine: Engine, *, begin: str, pragmas: tuple[str, ...]) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own BEGIN comes too late (before the first write only) and breaks savepoints.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_SECONDS_MAX * 1000}", "journal_mode=WAL", *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
