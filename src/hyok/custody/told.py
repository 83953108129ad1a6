"""ToldOnce: what is said once in an installation, by whichever process comes first.

Source: docs/policies.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from hyok.database.tables import policy_told
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from hyok.audit.port import Journal
    from hyok.audit.record import AuditRecord
    from hyok.database.engine import Database


class ToldOnce:
    """The table `policy_told`."""

    def __init__(self, database: Database, journal: Journal, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._journal = journal
        self._clock_ms = clock_ms

    async def record(self, name: str, record: AuditRecord) -> bool:
        """Have a record in the audit log once for ``name``; return whether it was now.

        Raises:
            Unavailable: database or log do not answer; it is to be told again.
        """
        if not await self._database.run(lambda connection: self._first(connection, name)):
            return False
        try:
            await self._journal.record(record, durable=True)
        except HyokError:
            mine = delete(policy_told).where(policy_told.c.name == name)
            await self._database.run(lambda connection: connection.execute(mine))
            raise
        return True

    def _first(self, connection: Connection, name: str) -> bool:
        query = select(policy_told.c.name).where(policy_told.c.name == name)
        if connection.execute(query).one_or_none() is not None:
            return False
        try:
            with connection.begin_nested():
                connection.execute(insert(policy_told).values(name=name, at_ms=self._clock_ms()))
        except IntegrityError:  # PostgreSQL: another process came between
            return False
        return True
