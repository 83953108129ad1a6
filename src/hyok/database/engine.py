"""Database: short transactions on SQLite or PostgreSQL, run in a small pool of named threads.

The same holds on both: a transaction that may write has the installation's write lock from its
beginning to its end, so no act on rows need think of another writer; one that reads waits for
nobody and cannot write.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hyok.database import postgresql, sqlite
from hyok.database.config import check_url
from hyok.database.epochs import Epochs
from hyok.database.outage import Outage, unavailable
from hyok.database.schema import is_newest
from hyok.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from hyok.vocabulary import T

THREADS = 4
"""More would wait on one disk; a query takes well under a millisecond."""

WAITING_MAX = 512
"""Calls waiting for a thread.  Beyond it the database is not keeping up, and waiting won't help."""

BUSY_SECONDS_MAX = 5
"""How long a writer waits for another process's transaction before `Unavailable`."""

AWAY_SECONDS_MAX = 0.25
"""How long one waits for a database that did not answer the last time; it is tried all the same."""

_DAMAGED = ("file is not a database", "disk image is malformed")
"""What SQLite says of a file that it cannot read."""


class Database:
    """One database.  Safe from many tasks and threads; one instance per process.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql+psycopg://...``.

    Raises:
        ValueError: it is no URL that is taken (`hyok.database.config`).
    """

    def __init__(self, url: str, *, threads: int = THREADS) -> None:
        parsed = make_url(check_url(url))
        kind = sqlite if parsed.get_backend_name() == "sqlite" else postgresql
        self._writer, self._reader = kind.engines(parsed, threads, BUSY_SECONDS_MAX)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hyok-database")
        self._waiting = 0
        self._outage = Outage(_away)
        self.epochs = Epochs(self)

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
            Unavailable: as for `run`; soon, of a database that did not answer the last time.
        """
        answer = self._in_thread(self.read_sync, act)
        if not self._outage.is_known:
            return await answer
        trying = asyncio.ensure_future(answer)
        trying.add_done_callback(_seen)  # who asked may have gone by then
        await asyncio.wait({trying}, timeout=AWAY_SECONDS_MAX)
        if not trying.done():
            raise unavailable()
        return trying.result()

    def run_sync(self, act: Callable[[Connection], T]) -> T:
        """`run`, in the calling thread."""
        self._outage.check()
        with translated(), self._writer.begin() as connection:
            return act(connection)

    def read_sync(self, act: Callable[[Connection], T]) -> T:
        """`read`, in the calling thread."""
        reader = self._reader
        with (
            translated(),
            self._outage.passed(),
            reader.connect() as connection,
            connection.begin(),
        ):
            return act(connection)

    def migrate(self) -> None:
        """Bring the schema to the newest version.  Blocking; processes may call it at once.

        Raises:
            Unavailable: the database did not answer.
        """
        if self.read_sync(is_newest):
            return
        from hyok.database.migrate import upgrade  # noqa: PLC0415 - Alembic takes long to load

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
            raise unavailable()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, how, act)
        finally:
            self._waiting -= 1


def _seen(ended: asyncio.Future[Any]) -> None:
    """Take what a call ended with that nobody waits for any more."""
    if not ended.cancelled():
        ended.exception()


def _damaged() -> Unavailable:
    return Unavailable(
        "The database is damaged.",
        reason="ServiceUnavailable",
        code="HY-3104",
        effect="Nothing was changed.",
        next_step="stop the gateway, keep the file aside, then hyok restore, or else hyok recover",
    )


@contextmanager
def translated() -> Iterator[None]:
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
        raise unavailable() from error
    except DBAPIError as error:
        if any(word in str(error.orig) for word in _DAMAGED):
            raise _damaged() from error
        if not _is_outage(error):
            raise
        raise unavailable() from error


def _away(error: Exception) -> Unavailable | None:
    """Say what others are told when a call that only reads ended with this."""
    return unavailable() if isinstance(error, DBAPIError) and _is_outage(error) else None


def _is_outage(error: DBAPIError) -> bool:
    """Whether the database is busy, gone or full, rather than asked something wrong."""
    if error.connection_invalidated:
        return True
    said = str(error.orig).lower()
    wrong = ("no such table", "no such column", "syntax error", "readonly", "read-only")
    # psycopg has a subclass for every SQLSTATE: lock_not_available, query_canceled, disk_full, ...
    names = {kind.__name__ for kind in type(error.orig).__mro__}
    return not names.isdisjoint({"OperationalError", "InterfaceError"}) and not any(
        word in said for word in wrong
    )
