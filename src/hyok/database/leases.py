"""Leases: one holder of a name at a time in the whole installation, for a bounded time.

For what no transaction can span, such as a call to a store.  A holder that dies loses the name when
its time is over; so whoever acts under a lease renews it first, and has the store decide as well.
"""

from __future__ import annotations

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


class Lease:
    """A name that is ours for now."""

    def __init__(self, database: Database, name: str, holder: bytes, clock_ms: Callable[[], int]):
        self._database = database
        self._name = name
        self._holder = holder
        self._clock_ms = clock_ms

    async def renew(self) -> None:
        """Hold on for another `HOLD_MS`.

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
            return connection.execute(mine.values(until_ms=now + HOLD_MS)).rowcount == 1

        if not await self._database.run(act):
            raise _taken()


class Leases:
    """The table `leases`."""

    def __init__(
        self, database: Database, entropy: Callable[[int], bytes], clock_ms: Callable[[], int]
    ) -> None:
        self._database = database
        self._entropy = entropy
        self._clock_ms = clock_ms

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[Lease]:
        """Hold ``name`` until the block ends.

        Raises:
            Conflict: another holds it (reason ``OperationAborted``).
        """
        holder = self._entropy(16)
        await self._take(name, holder)
        try:
            yield Lease(self._database, name, holder, self._clock_ms)
        finally:
            with suppress(Unavailable):  # then it ends by itself
                await self._database.run(lambda connection: _give_back(connection, name, holder))

    async def _take(self, name: str, holder: bytes) -> None:
        def act(connection: Connection) -> None:
            now = self._clock_ms()
            connection.execute(
                delete(leases).where(leases.c.name == name, leases.c.until_ms <= now)
            )
            connection.execute(
                insert(leases).values(name=name, holder=holder, until_ms=now + HOLD_MS)
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
