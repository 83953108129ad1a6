"""Freezes: an app, bucket, tenant, store, supplier, key or door that nobody uses until thawed.

One person freezes at once; every process heeds it at its next decision, at most two seconds later.
A supplier is each store whose settings name it as parent when it is decided, also one that came
after the freeze.

Source: docs/keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
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

NOBODYS: Mapping[str, str] = MappingProxyType({})
_OF_SUPPLIER = "supplier:"
"""How a supplier's row, of the kind `store`, begins its name: no store is called so."""


class Frozen(StrEnum):
    """What can be frozen."""

    APP = "app"
    BUCKET = "bucket"
    TENANT = "tenant"
    STORE = "store"
    SUPPLIER = "supplier"
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
    """The table `freezes`, in memory.  Made once in each process.

    ``parents``: of each store by its name, empty where it has none.  A store that is not among them
    may be anybody's.
    """

    def __init__(
        self,
        database: Database,
        clock_ms: Callable[[], int],
        parents: Mapping[str, str] = NOBODYS,
    ) -> None:
        self._parents = parents
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
        if ask.door:
            names.append((Frozen.DOOR, ask.door))
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
        return None if ask.bucket is None else self._of_supplier(rows, ask.bucket.store)

    def _of_supplier(self, rows: Mapping[str, Freeze], store: str) -> Freeze | None:
        parent = self._parents.get(store)
        if parent is None:
            return next((one for one in rows.values() if one.kind is Frozen.SUPPLIER), None)
        return rows.get(_key(Frozen.SUPPLIER, parent)) if parent else None

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
                    **_row(kind, name), since_ms=made.since_ms, by=by, reason=reason
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
            row = _row(kind, name)
            mine = (freezes.c.kind == row["kind"]) & (freezes.c.name == row["name"])
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


def supplier_of(parent: str) -> str:
    """Return a supplier's name as names are compared: people write it in capitals, or not."""
    return " ".join(parent.casefold().split())


def _key(kind: Frozen, name: str) -> str:
    return f"{kind}:{supplier_of(name) if kind is Frozen.SUPPLIER else name}"


def _row(kind: Frozen, name: str) -> dict[str, str]:
    if kind is Frozen.SUPPLIER:
        return {"kind": str(Frozen.STORE), "name": _OF_SUPPLIER + name}
    return {"kind": str(kind), "name": name}


def _load(connection: Connection) -> Mapping[str, Freeze]:
    found = {}
    for row in connection.execute(select(freezes)):
        kind, name = Frozen(row.kind), row.name
        if kind is Frozen.STORE and name.startswith(_OF_SUPPLIER):
            kind, name = Frozen.SUPPLIER, name.removeprefix(_OF_SUPPLIER)
        found[_key(kind, name)] = Freeze(kind, name, row.since_ms, row.by, row.reason)
    return found
