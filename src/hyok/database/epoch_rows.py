"""EpochRows: rows that every request asks for, in memory, with a guarded age.

They are read again when their epoch moved, which is looked at every two seconds, so that a change
by another process bites within seconds.  The look is one for all rows of the process; it begins a
second before it is needed, and nobody waits for it: in a busy process it takes as long as everybody
else's turns together.  Without the database the memory serves for thirty seconds and then no
longer.
"""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from hyok.database.outage import unavailable
from hyok.database.rows import epoch
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.errors import HyokError

POLL_MS = 2_000
AHEAD_MS = 1_000
"""Rows of this age are looked at anew, while they serve until `POLL_MS`."""

LOOK_SECONDS_MAX = 3.0
"""How long one waits for a look while the rows still serve: a change is then seen within five
seconds, or the database counts as away."""

MISS_MS = 250
"""A row that is not there may have been written just now by another process: it is looked for
again, at most this often, so that names of rows that never were do not flood the database."""

AGE_MS_MAX = 30_000

R = TypeVar("R")


class _Begun(NamedTuple):
    at_ms: int
    written: int
    read: int


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
        self._read_alone = 0  # counts our own readings, beside the looks of all
        self._failed: HyokError | None = None
        self._lock = asyncio.Lock()
        database.epochs.join(self)

    async def now(self) -> Mapping[str, R]:
        """Return the rows.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        now = self._clock_ms()  # once: a request asks eight times
        age = now - self._asked_ms
        serves = 0 <= now - self._fresh_ms <= AGE_MS_MAX
        if not 0 <= age < POLL_MS or not serves:
            await self._look(LOOK_SECONDS_MAX if serves else None)
        elif age >= AHEAD_MS:
            self._database.epochs.begin()
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

    async def from_now(self) -> Mapping[str, R]:
        """Return the rows as they stand after this question, which may wait for `MISS_MS`.

        For a row that another process wrote before it let anybody ask for it.  All who ask within
        that time share one reading.

        Raises:
            Unavailable: as `now`.
        """
        wanted = self._read_alone + 1
        if self._just_asked(MISS_MS):
            await asyncio.sleep(MISS_MS / 1000)
        async with self._lock:
            if self._read_alone < wanted:
                await self._ask()
        return self._rows

    def stale(self) -> None:
        """Look again at the next question: we wrote a row ourselves."""
        self._asked_ms = 0
        self._written += 1

    def _may_serve(self) -> bool:
        return 0 <= self._clock_ms() - self._fresh_ms <= AGE_MS_MAX

    def _just_asked(self, within_ms: int = POLL_MS) -> bool:
        # A clock that was set back must not keep old rows for as long.
        return 0 <= self._clock_ms() - self._asked_ms < within_ms

    async def _look(self, seconds: float | None) -> None:
        if self._asked_ms != 0:
            ended = await self._database.epochs.look(self, seconds)
            if ended and self._failed is not None:
                raise copy(self._failed)  # a traceback belongs to one task
            if self._may_serve():
                return
            if not ended:
                raise unavailable()
        # Never read, or written by ourselves, or being read apart from the look.
        async with self._lock:
            if not self._just_asked():
                await self._ask()

    async def _ask(self) -> None:
        self._read_alone += 1
        begun = self._begin()
        try:
            loaded = await self._database.read(
                lambda c: self.load(c, {self._name: epoch(c, self._name)})
            )
        except Unavailable:
            if not self._bear():
                raise
        else:
            self._take(begun, loaded)

    def _bear(self) -> bool:
        """Go on with what is remembered while the database is away, where that may be."""
        if not self._may_serve():
            return False
        # Of now, not of when it was asked: else all who waited for it would ask once more.
        self._asked_ms = self._clock_ms()
        return True

    def _begin(self) -> _Begun:
        return _Begun(self._clock_ms(), self._written, self._read_alone)

    def _take(self, begun: _Begun, loaded: tuple[int, Mapping[str, R] | None]) -> None:
        self._failed = None
        self._fresh_ms = begun.at_ms
        if begun.written == self._written:  # else what was read may be older than what we wrote
            self._asked_ms = begun.at_ms
        number, rows = loaded
        if rows is not None:
            self._epoch, self._rows = number, rows

    # -- what a look at all epochs asks of us (hyok.database.epochs) -----------------------------

    def begin(self) -> _Begun | None:
        """Take part, once the rows were asked for at all."""
        return self._begin() if self._epoch >= 0 else None

    def load(
        self, connection: Connection, numbers: Mapping[str, int]
    ) -> tuple[int, Mapping[str, R] | None]:
        """Return the epoch, and the rows where it moved."""
        number = numbers.get(self._name, 0)
        return number, None if number == self._epoch else self._load(connection)

    def saw(self, begun: _Begun, loaded: tuple[int, Mapping[str, R] | None]) -> None:
        """Take the rows, unless we began to read them ourselves meanwhile."""
        if begun.read == self._read_alone:
            self._take(begun, loaded)

    def missed(self, begun: _Begun, error: HyokError) -> None:
        """Keep the failure for whoever waits, unless memory still serves."""
        if begun.read == self._read_alone and not (isinstance(error, Unavailable) and self._bear()):
            self._failed = error
