"""EpochRows: rows that every request asks for, in memory, with a guarded age.

They are read again when their epoch moved, which is looked at every two seconds, so that a change
by another process bites within seconds.  Without the database the memory serves for thirty seconds
and then no longer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from hyok.database.rows import epoch
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from hyok.database.engine import Database

POLL_MS = 2_000
MISS_MS = 250
"""A row that is not there may have been written just now by another process: it is looked for
again, at most this often, so that names of rows that never were do not flood the database."""

AGE_MS_MAX = 30_000

R = TypeVar("R")


class EpochRows(Generic[R]):
    """Rows by name.

    Args:
        database: where they stand.
        clock_ms: unix time in milliseconds.
        name: of the epoch; whoever writes a row bumps it in the same transaction.
        load: reads all rows, in a transaction that cannot write.
    """

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        name: str,
        load: Callable[[Connection], Mapping[str, R]],
    ) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._name = name
        self._load = load
        self._rows: Mapping[str, R] = {}
        self._epoch = -1
        self._asked_ms = 0
        self._fresh_ms = 0
        self._written = 0  # counts our own writes
        self._lock = asyncio.Lock()

    async def now(self) -> Mapping[str, R]:
        """Return the rows.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        if not 0 <= self._clock_ms() - self._asked_ms < POLL_MS:
            async with self._lock:
                if not self._just_asked():
                    await self._ask()
        return self._rows

    async def find(self, name: str) -> R | None:
        """Return a row; one that is not in memory is looked for in the database.

        Raises:
            Unavailable: as `now`.
        """
        row = (await self.now()).get(name)
        return row if row is not None else (await self.again()).get(name)

    async def again(self) -> Mapping[str, R]:
        """Return the rows as they are about now, whatever was remembered."""
        if not self._just_asked(MISS_MS):
            async with self._lock:
                if not self._just_asked(MISS_MS):
                    await self._ask()
        return self._rows

    def stale(self) -> None:
        """Look again at the next question: we wrote a row ourselves."""
        self._asked_ms = 0
        self._written += 1

    def _just_asked(self, within_ms: int = POLL_MS) -> bool:
        # A clock that was set back must not keep old rows for as long.
        return 0 <= self._clock_ms() - self._asked_ms < within_ms

    async def _ask(self) -> None:
        now, written = self._clock_ms(), self._written
        try:
            number, rows = await self._database.read(self._read)
        except Unavailable:
            if not 0 <= now - self._fresh_ms <= AGE_MS_MAX:
                raise
            self._asked_ms = now
            return
        self._fresh_ms = now
        if written == self._written:  # else what we read may be older than what we wrote
            self._asked_ms = now
        if rows is not None:
            self._epoch, self._rows = number, rows

    def _read(self, connection: Connection) -> tuple[int, Mapping[str, R] | None]:
        number = epoch(connection, self._name)
        return number, None if number == self._epoch else self._load(connection)
