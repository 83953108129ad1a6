"""StatementBook: statements of destruction, as drafts while it goes on and as they were made.

A statement is proven by the audit log, which has its SHA-256, and not by its row.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from hyok.database.tables import statements
from hyok.errors import NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.database.engine import Database


@dataclass(frozen=True, slots=True)
class Kept:
    """A statement, or what is known of one while objects are still being erased."""

    document: Mapping[str, object]
    final: bool
    at_ms: int


class StatementBook:
    """The table `statements`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(
        self, proposal_id: str, document: Mapping[str, object], at_ms: int, *, final: bool
    ) -> None:
        """Keep a draft, or the statement in its place."""
        text = json.dumps(document, ensure_ascii=False, sort_keys=True)

        def act(connection: Connection) -> None:
            mine = statements.c.proposal_id == proposal_id
            connection.execute(delete(statements).where(mine))
            connection.execute(
                insert(statements).values(
                    proposal_id=proposal_id, document=text, final=final, at_ms=at_ms
                )
            )

        await self._database.run(act)

    async def find(self, proposal_id: str) -> Kept | None:
        """Return what is kept of a proposal's execution.

        Raises:
            Tampered: the row is not readable.
        """
        query = select(statements).where(statements.c.proposal_id == proposal_id)

        def act(connection: Connection) -> Kept | None:
            row = connection.execute(query).one_or_none()
            if row is None:
                return None
            try:
                return Kept(json.loads(row.document), row.final, row.at_ms)
            except ValueError as error:
                raise Tampered("the row of a statement is not readable") from error

        return await self._database.read(act)

    async def get(self, proposal_id: str) -> Kept:
        """Return a statement that was made.

        Raises:
            NotFound: there is none (code HY-2322).
        """
        found = await self.find(proposal_id)
        if found is None or not found.final:
            raise NotFound(
                f"There is no statement of the proposal {proposal_id}.",
                code="HY-2322",
                next_step=f"hyok approvals execute {proposal_id}",
            )
        return found
