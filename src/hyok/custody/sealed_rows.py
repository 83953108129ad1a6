"""SealedRows: every row that a version of the installation's own key seals, renewed and counted.

Access keys' secrets, session keys, officers, proposals, grants, inventories: all stand in the
database under `system/secrets`.  After its rotation each is opened once and sealed under the new
version, by compare-and-set, so that the old one can end.

Source: docs/keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select, update

from hyok.custody.proofs import sealed_in
from hyok.custody.secret_box import sealed_under
from hyok.database.rows import BACKUP_MADE, bump_epoch, setting
from hyok.database.tables import executions, officer_decisions, proposals
from hyok.errors import Conflict, HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Connection, RowMapping, Table

    from hyok.custody.cases import CaseReader
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database

LOOKS_MAX = 4


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed values.

    Args:
        column: where they stand; None there: nothing is sealed.
        purpose: returns what a row's value is sealed for.
        epoch: bumped when rows change, since processes keep them in memory; empty: none does.
    """

    column: Column[Any]
    purpose: Callable[[RowMapping], str]
    epoch: str = ""

    @property
    def table(self) -> Table:
        """The column's table."""
        return self.column.table


class SealedElsewhere(Protocol):
    """Sealed values that stand outside the database, such as registrations in buckets."""

    async def under(self) -> Sequence[str]:
        """Return the key version of each, as the values name it."""
        ...

    async def renew(self, kek_id: str) -> int:
        """Seal anew what is not under this version; return how many."""
        ...


@dataclass(slots=True)
class Renewed:
    """What was sealed anew, and what could not be, as sentences."""

    values: int = 0
    failures: list[str] = field(default_factory=list)


class SealedRows:
    """Made once by whoever knows every column.

    Args:
        database: where the rows stand.
        box: opens and seals.
        columns: every sealed column but those of proposals.
        cases: proves and renews proposals with their decisions and executions.
        elsewhere: what stands outside the database.
    """

    def __init__(
        self,
        database: Database,
        box: HsmSecretBox,
        columns: Sequence[SealedColumn],
        cases: CaseReader,
        elsewhere: SealedElsewhere,
    ) -> None:
        self._database = database
        self._box = box
        self._columns = columns
        self._cases = cases
        self._elsewhere = elsewhere

    async def count(self) -> Mapping[str, int]:
        """Return how many sealed values name each key version.

        Raises:
            Unavailable: database or a store do not answer.
        """
        counts: dict[str, int] = {}
        for column in self._columns:
            for row in await self._rows(column):
                _add(counts, _named(row[column.column.name]))
        for values in (await self._of_cases()).values():
            for sealed in values:
                _add(counts, _named(sealed))
        for name in await self._elsewhere.under():
            _add(counts, name)
        return counts

    async def renew(
        self, kek_id: str, tell: Callable[[int, int], None] = lambda _done, _all: None
    ) -> Renewed:
        """Seal everything anew that is not under the version ``kek_id``, which writes now.

        May be killed and done again.  ``tell`` is called with the values gone through and all.

        Raises:
            Unavailable: HSM, database or a store do not answer.
        """
        done = Renewed()
        total = sum((await self.count()).values())
        seen = 0
        for column in self._columns:
            changed = done.values
            for row in await self._rows(column):
                seen += 1
                tell(seen, total)
                if _named(row[column.column.name]) != kek_id:
                    await self._tried(done, f"{column.table.name}", self._one(column, row))
            if column.epoch and done.values != changed:
                await self._database.run(partial(bump_epoch, name=column.epoch))
        for proposal_id, values in (await self._of_cases()).items():
            seen += len(values)
            tell(seen, total)
            if any(_named(sealed) != kek_id for sealed in values):
                await self._tried(done, f"proposal {proposal_id}", self._case(proposal_id))
        done.values += await self._elsewhere.renew(kek_id)
        return done

    async def last_backup_ms(self) -> int:
        """Return when the last backup was made, which the key of that day seals; 0: never."""
        made = await self._database.read(lambda connection: setting(connection, BACKUP_MADE))
        return int(made or 0)

    async def _tried(self, done: Renewed, what: str, work: Any) -> None:
        try:
            done.values += await work
        except HyokError as error:
            if error.retryable:
                raise
            done.failures.append(f"{what}: {error}")

    async def _rows(self, column: SealedColumn) -> Sequence[RowMapping]:
        query = select(column.table).where(column.column.is_not(None))
        return await self._database.read(
            lambda connection: connection.execute(query).mappings().all()
        )

    async def _one(self, column: SealedColumn, row: RowMapping) -> int:
        """Renew one value; a row that changed meanwhile was sealed by whoever changed it."""
        sealed = row[column.column.name]
        again = await self._box.renew(column.purpose(row), sealed)
        table = column.table
        mine = [one == row[one.name] for one in table.primary_key.columns]
        change = update(table).where(*mine, column.column == sealed)
        values = {column.column.name: again}
        return await self._database.run(
            lambda connection: connection.execute(change.values(**values)).rowcount
        )

    async def _of_cases(self) -> Mapping[str, Sequence[bytes]]:
        """Return the sealed values of each proposal: its own, of its decisions and execution."""

        def act(connection: Connection) -> Mapping[str, list[bytes]]:
            found = {row.proposal_id: [row.sealed] for row in connection.execute(select(proposals))}
            for row in connection.execute(select(officer_decisions)):
                found[row.proposal_id].append(_proof_of(row.method, row.proof))
            for row in connection.execute(select(executions)):
                found[row.proposal_id].append(row.sealed)
                found[row.proposal_id].append(_proof_of(row.method, row.proof or b""))
            return {name: [one for one in values if one] for name, values in found.items()}

        return await self._database.read(act)

    async def _case(self, proposal_id: str) -> int:
        for _ in range(LOOKS_MAX):
            try:
                await self._cases.renew(proposal_id)
            except Conflict:
                continue
            except NotFound:
                return 0
            return 1
        raise Conflict("officers decide about it at this moment")


def _proof_of(method: str, proof: bytes) -> bytes:
    try:
        return sealed_in(method, proof)
    except (Tampered, KeyError, ValueError):
        return b"?"  # it names no key, so it is told as one that cannot be renewed


def _named(sealed: bytes) -> str:
    try:
        return sealed_under(sealed)
    except Tampered:
        return ""


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
