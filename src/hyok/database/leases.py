"""Leases: one holder of a name at a time in the whole installation, for a bounded time.

For what no transaction can span, such as a call to a store.  A holder that dies loses the name when
its time is over; so whoever acts under a lease renews it first, and has the store decide as well.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, update

from hyok.database.tables import leases
from hyok.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection

    from hyok.database.engine import Database

HOLD_MS = 120_000
KEPT_MS = 10_000
"""For those who keep renewing: how long a name is lost after its holder was killed."""


class Lease:
    """A name that is ours for now."""

    def __init__(
        self,
        database: Database,
        name: str,
        holder: bytes,
        clock_ms: Callable[[], int],
        hold_ms: int,
    ) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._clock_ms = clock_ms
        self._hold_ms = hold_ms

    async def renew(self) -> None:
        """Hold on for as long again.

        Raises:
            Conflict: it took too long and another holds the name now (reason ``OperationAborted``).
        """

        def act(connection: Connection) -> bool:
            now = self._clock_ms()
            mine = update(leases).where(
                leases.c.name == self._name,
                leases.c.holder == self._holder,
                leases.c.until_ms > now,
            )
            return connection.execute(mine.values(until_ms=now + self._hold_ms)).rowcount == 1

        if not await self._database.run(act):
            raise _taken()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew all through the block, and break it off when the name is another's.

        Raises:
            Conflict: the name was lost meanwhile (reason ``OperationAborted``).
        """
        owner = asyncio.current_task()
        assert owner is not None
        lost = False

        async def beat() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(self._hold_ms / 4_000)
                try:
                    await self.renew()
                except Unavailable:  # nobody else can take it meanwhile either
                    continue
                except Conflict:
                    lost = True
                    owner.cancel()
                    return

        beating = asyncio.create_task(beat())
        try:
            yield
        except asyncio.CancelledError:
            if not lost:
                raise
            owner.uncancel()
            raise _taken() from None
        finally:
            beating.cancel()


class Leases:
    """The table `leases`."""

    def __init__(
        self, database: Database, entropy: Callable[[int], bytes], clock_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._entropy = entropy
        self._clock_ms = clock_ms

    @asynccontextmanager
    async def hold(self, name: str, hold_ms: int = HOLD_MS) -> AsyncIterator[Lease]:
        """Hold ``name`` until the block ends, or ``hold_ms`` after it was last renewed.

        Raises:
            Conflict: another holds it (reason ``OperationAborted``).
        """
        holder = self._entropy(16)
        await self._take(name, holder, hold_ms)
        try:
            yield Lease(self._database, name, holder, self._clock_ms, hold_ms)
        finally:
            with suppress(Unavailable):  # then it ends by itself
                await self._database.run(lambda connection: _give_back(connection, name, holder))

    async def _take(self, name: str, holder: bytes, hold_ms: int) -> None:
        def act(connection: Connection) -> None:
            now = self._clock_ms()
            connection.execute(
                delete(leases).where(leases.c.name == name, leases.c.until_ms <= now)
            )
            connection.execute(
                insert(leases).values(name=name, holder=holder, until_ms=now + hold_ms)
            )

        try:
            await self._database.run(act)
        except Conflict as error:
            raise _taken() from error


def _give_back(connection: Connection, name: str, holder: bytes) -> None:
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def _taken() -> Conflict:
    return Conflict(
        "The same is being done by another process.",
        reason="OperationAborted",
        code="HY-3105",
        effect="Nothing was changed.",
        next_step="try again when it has ended",
    )
