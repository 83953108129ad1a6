"""Freezes: an app, bucket, tenant, store, key or door that nobody uses until it is thawed.

One person freezes at once; every process heeds it at its next decision, at most two seconds later.

Source: docs/keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import freezes
from hyok.errors import Conflict, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.database.engine import Database
    from hyok.vocabulary import Ask

EPOCH = "freezes"
LIFECYCLE = "lifecycle"
"""Who carries out lifecycle rules: what is frozen is also kept from them."""


class Frozen(StrEnum):
    """What can be frozen."""

    APP = "app"
    BUCKET = "bucket"
    TENANT = "tenant"
    STORE = "store"
    KEY = "key"  # of a door, as `tenant/name`
    DOOR = "door"


@dataclass(frozen=True, slots=True)
class Freeze:
    """One of them, since when (unix milliseconds), by whom and why."""

    kind: Frozen
    name: str
    since_ms: int
    by: str
    reason: str

    @property
    def word(self) -> str:
        """As a decision's reason names it."""
        return f"freeze:{self.kind}:{self.name}"


class Freezes:
    """The table `freezes`, in memory.  Made once in each process."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms
        self._rows: EpochRows[Freeze] = EpochRows(database, clock_ms, EPOCH, _load)

    async def touching(self, ask: Ask) -> Freeze | None:
        """Return the freeze that stops this question; officers act on what is frozen, too.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        rows = await self._rows.now()
        if not rows or (ask.principal.kind == "officer" and ask.principal.id != LIFECYCLE):
            return None
        names = [(Frozen.APP, ask.principal.id), (Frozen.TENANT, ask.principal.tenant)]
        if ask.bucket is not None:
            names += [
                (Frozen.BUCKET, ask.bucket.bucket_id),
                (Frozen.TENANT, ask.bucket.tenant),
                (Frozen.STORE, ask.bucket.store),
            ]
        if ask.use is not None:
            names += [
                (Frozen.KEY, ask.use.key),
                (Frozen.DOOR, ask.use.door),
                (Frozen.TENANT, ask.use.tenant),
            ]
        for kind, name in names:
            found = rows.get(_key(kind, name))
            if found is not None:
                return found
        return None

    async def all(self) -> Sequence[Freeze]:
        """Return what is frozen, the newest first."""
        rows = await self._rows.again()
        return sorted(rows.values(), key=lambda one: one.since_ms, reverse=True)

    async def freeze(self, kind: Frozen, name: str, by: str, reason: str) -> Freeze:
        """Stop every use of it.

        Raises:
            Conflict: it is frozen already (code HY-2316).
        """
        made = Freeze(kind, name, self._clock_ms(), by, reason)

        def act(connection: Connection) -> None:
            connection.execute(
                insert(freezes).values(
                    kind=str(kind), name=name, since_ms=made.since_ms, by=by, reason=reason
                )
            )
            bump_epoch(connection, EPOCH)

        try:
            await self._database.run(act)
        except Conflict as error:
            raise Conflict(f"The {kind} {name} is frozen already.", code="HY-2316") from error
        self._rows.stale()
        return made

    async def thaw(self, kind: Frozen, name: str) -> None:
        """Let it be used again.

        Raises:
            NotFound: it is not frozen (code HY-2316).
        """

        def act(connection: Connection) -> int:
            mine = (freezes.c.kind == str(kind)) & (freezes.c.name == name)
            gone = connection.execute(delete(freezes).where(mine)).rowcount
            bump_epoch(connection, EPOCH)
            return gone

        if not await self._database.run(act):
            raise NotFound(f"The {kind} {name} is not frozen.", code="HY-2316")
        self._rows.stale()


def refusal(freeze: Freeze) -> Refused:
    """Return what a client hears: no more than that the access is suspended."""
    return Refused(
        f"Access Denied: use of this {freeze.kind} was suspended by the key's owner.",
        reason="AccessDenied",
        code="HY-2315",
        effect="Nothing was read or written.",
        next_step="ask the security officer",
    )


def _key(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def _load(connection: Connection) -> Mapping[str, Freeze]:
    return {
        _key(row.kind, row.name): Freeze(
            Frozen(row.kind), row.name, row.since_ms, row.by, row.reason
        )
        for row in connection.execute(select(freezes))
    }
