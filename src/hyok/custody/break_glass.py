"""Break-glass grants: who may read what beyond their rights, until an hour that was set.

A grant is a value sealed under the HSM; the columns beside it are for finding it.  It ends by the
clock at every single decision, whether or not anybody is there to end it.

Source: docs/officers.md.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select, update

from hyok.audit.record import AuditRecord
from hyok.custody.proposal import canonical, not_genuine
from hyok.database.epoch_rows import EpochRows
from hyok.database.rows import bump_epoch
from hyok.database.tables import break_glass
from hyok.errors import Conflict, HyokError, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.audit.port import Journal
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database
    from hyok.vocabulary import Ask

EPOCH = "break-glass"
REVIEW_MS = 7 * 86_400_000
"""Five working days, counted as a week."""


PRIVILEGED_CALLS: Mapping[str, frozenset[str]] = {
    "kacls": frozenset(
        {
            "privilegedwrap",
            "privilegedunwrap",
            "privilegedprivatekeydecrypt",
            "wrapprivatekey",
        }
    )
}
"""By door: what is asked of it with nobody's word but the caller's own, so officers have to say."""


@dataclass(frozen=True, slots=True)
class PrivilegedCall:
    """A call of a door that no authorization of the other side stands behind."""

    app: str  # in whose name the door uses the key
    tenant: str
    door: str
    key: str
    operation: str
    person: str  # a mail address without case, or the address of another key service
    resource: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What was granted.  ``keys`` or ``prefix`` names the objects.  Times are unix milliseconds.

    With a ``door`` it is about privileged calls of that door: ``keys`` names the resources there,
    and ``every`` says that they are not limited.
    """

    grant_id: str  # the proposal's
    app: str
    tenant: str
    bucket: str
    keys: tuple[str, ...]
    prefix: str
    classification: str
    level: int  # the highest that it opens
    ticket: str
    author: str
    starts_ms: int
    ends_ms: int
    door: str = ""
    door_key: str = ""
    operations: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    every: bool = False

    def covers(self, ask: Ask, level: int) -> bool:
        """Say whether it lets this principal read this object of this level now."""
        named = ask.key in self.keys or bool(self.prefix and ask.key.startswith(self.prefix))
        return (
            ask.bucket is not None
            and not self.door
            and (self.app, self.tenant) == (ask.principal.id, ask.principal.tenant)
            and (self.tenant, self.bucket) == (ask.bucket.tenant, ask.bucket.bucket_id)
            and named
            and level <= self.level
            and self.starts_ms <= ask.at_ms < self.ends_ms
        )

    def covers_call(self, call: PrivilegedCall, at_ms: int) -> bool:
        """Say whether it lets this person have this done by the door at this moment."""
        return (
            bool(self.door)
            and (self.app, self.tenant) == (call.app, call.tenant)
            and (self.door, self.door_key) == (call.door, call.key)
            and call.operation in self.operations
            and call.person in self.people
            and (self.every or call.resource in self.keys)
            and self.starts_ms <= at_ms < self.ends_ms
        )

    def render(self) -> bytes:
        """Return the canonical bytes; those of an object's grant are as they always were."""
        told = asdict(self)
        return canonical(
            {name: value for name, value in told.items() if value or name not in _OF_DOORS}
        )


_OF_DOORS = frozenset({"door", "door_key", "operations", "people", "every"})
_LISTS = frozenset({"keys", "operations", "people"})


def _grant_of(raw: bytes) -> Grant:
    told: dict[str, Any] = json.loads(raw)
    lists = {name: tuple(told[name]) for name in _LISTS & told.keys()}
    return Grant(**(told | lists))


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant and what became of it."""

    grant: Grant
    ended_ms: int | None
    review_due_ms: int
    review: Mapping[str, str] | None  # None: open


class GrantBook:
    """The table `break_glass`; the gateway's copy of it is two seconds old at most."""

    def __init__(
        self,
        database: Database,
        box: HsmSecretBox,
        journal: Journal,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._box = box
        self._journal = journal
        self._clock_ms = clock_ms
        self._rows: EpochRows[bytes] = EpochRows(database, clock_ms, EPOCH, self._load)
        self._proven: dict[tuple[str, bytes], Grant | None] = {}

    def _load(self, connection: Connection) -> Mapping[str, bytes]:
        table = break_glass.c
        rows = connection.execute(
            select(table.grant_id, table.sealed).where(table.ended_ms.is_(None))
        )
        return {row.grant_id: row.sealed for row in rows}

    async def covering(self, ask: Ask, level: int) -> str:
        """Return the id of a grant that covers this reading now, or nothing.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        rows = await self._rows.now()
        for grant_id, sealed in rows.items():
            grant = await self._known(grant_id, sealed)
            # The clock of now, not of when the request began to be read.
            if grant is not None and grant.covers(replace(ask, at_ms=self._clock_ms()), level):
                return grant_id
        return ""

    async def covering_call(self, call: PrivilegedCall) -> str:
        """Return the id of a grant that covers this call of a door now, or nothing.

        Raises:
            Unavailable: the database has been away for longer than the memory may serve.
        """
        rows = await self._rows.now()
        for grant_id, sealed in rows.items():
            grant = await self._known(grant_id, sealed)
            if grant is not None and grant.covers_call(call, self._clock_ms()):
                return grant_id
        return ""

    async def _known(self, grant_id: str, sealed: bytes) -> Grant | None:
        """Return a proven grant from memory, or prove it; one that is forged is told once."""
        mark = (grant_id, sealed)
        if mark in self._proven:
            return self._proven[mark]
        try:
            found: Grant | None = await self._open(grant_id, sealed)
        except Tampered:
            found = None
            await self._alarm(grant_id)
        except HyokError:
            return None  # the HSM is away; the next request asks again
        for old in [known for known in self._proven if known[0] == grant_id]:
            del self._proven[old]
        self._proven[mark] = found
        return found

    async def _open(self, grant_id: str, sealed: bytes) -> Grant:
        try:
            raw = await self._box.open(grant_purpose(grant_id), sealed)
        except Tampered as error:
            raise not_genuine("a break-glass grant") from error
        return _grant_of(raw)

    async def add(self, grant: Grant) -> None:
        """Let it begin; the same again changes nothing, so that it is never prolonged."""
        sealed = await self._box.seal(grant_purpose(grant.grant_id), grant.render())

        def act(connection: Connection) -> None:
            there = select(break_glass.c.grant_id).where(break_glass.c.grant_id == grant.grant_id)
            if connection.execute(there).one_or_none() is not None:
                return
            connection.execute(
                insert(break_glass).values(
                    grant_id=grant.grant_id,
                    sealed=sealed,
                    ends_ms=grant.ends_ms,
                    review_due_ms=grant.ends_ms + REVIEW_MS,
                )
            )
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    async def all(self) -> Sequence[Granted]:
        """Return every grant, newest first.

        Raises:
            Tampered: a row is not genuine (code HY-2507).
        """
        newest = select(break_glass).order_by(break_glass.c.ends_ms.desc())
        rows = await self._database.read(lambda connection: connection.execute(newest).all())
        found = []
        for row in rows:
            review = None
            if row.sealed_review is not None:
                try:
                    raw = await self._box.open(review_purpose(row.grant_id), row.sealed_review)
                except Tampered as error:
                    raise not_genuine("a review") from error
                review = json.loads(raw)
            grant = await self._open(row.grant_id, row.sealed)
            found.append(Granted(grant, row.ended_ms, row.review_due_ms, review))
        return found

    async def get(self, grant_id: str) -> Granted:
        """Return one grant.

        Raises:
            NotFound: there is none.
        """
        for found in await self.all():
            if found.grant.grant_id == grant_id:
                return found
        raise NotFound(
            f"There is no break-glass grant {grant_id}.", next_step="hyok break-glass list"
        )

    async def end_early(self, grant_id: str) -> Grant:
        """End a grant now, whatever its hour; gateways follow within five seconds.

        Raises:
            Conflict: it has ended (code HY-2505).
        """
        found = (await self.get(grant_id)).grant
        now = self._clock_ms()
        if now >= found.ends_ms:
            raise Conflict("This grant has ended.", code="HY-2505")
        # Sealed anew with its new end: taking the old row back would need the old value as well.
        ended = replace(found, ends_ms=now)
        sealed = await self._box.seal(grant_purpose(grant_id), ended.render())
        values = {"sealed": sealed, "ends_ms": now}
        await self._write(grant_id, values)
        return ended

    async def end_past(self) -> Sequence[Grant]:
        """Mark the grants whose hour has come as ended; return those that this call marked."""
        now = self._clock_ms()
        due = select(break_glass).where(break_glass.c.ended_ms.is_(None))
        rows = await self._database.read(lambda connection: connection.execute(due).all())
        ended = []
        for row in rows:
            try:
                grant = await self._open(row.grant_id, row.sealed)
            except Tampered:
                await self._known(row.grant_id, row.sealed)  # tells it once
                continue
            if now >= grant.ends_ms and await self._mark_ended(grant):
                ended.append(grant)
        return ended

    async def _mark_ended(self, grant: Grant) -> bool:
        def act(connection: Connection) -> bool:
            mine = update(break_glass).where(
                break_glass.c.grant_id == grant.grant_id, break_glass.c.ended_ms.is_(None)
            )
            changed = connection.execute(mine.values(ended_ms=grant.ends_ms)).rowcount == 1
            if changed:
                bump_epoch(connection, EPOCH)
            return changed

        changed = await self._database.run(act)
        self._rows.stale()
        return changed

    async def review(self, grant_id: str, reviewer: str, finding: str) -> None:
        """Close the review of a grant that has ended.

        Raises:
            Conflict: it still runs, or was reviewed (code HY-2505).
        """
        found = await self.get(grant_id)
        if self._clock_ms() < found.grant.ends_ms:
            raise Conflict("This grant still runs.", code="HY-2505")
        if found.review is not None:
            raise Conflict("This grant was reviewed.", code="HY-2505")
        said = {"reviewer": reviewer, "finding": finding, "at_ms": str(self._clock_ms())}
        sealed = await self._box.seal(review_purpose(grant_id), canonical(said))
        await self._write(grant_id, {"sealed_review": sealed})

    async def _write(self, grant_id: str, values: Mapping[str, object]) -> None:
        def act(connection: Connection) -> None:
            mine = update(break_glass).where(break_glass.c.grant_id == grant_id)
            connection.execute(mine.values(**values))
            bump_epoch(connection, EPOCH)

        await self._database.run(act)
        self._rows.stale()

    async def _alarm(self, grant_id: str) -> None:
        record = AuditRecord(
            at_ms=self._clock_ms(),
            phase="conclude",
            action="break-glass:alarm",
            outcome="failed",
            actor="system",
            tenant="system",
            origin="database",
            request_id=grant_id,
            reasons=(f"grant:{grant_id}",),
            error="Tampered:HY-2507",
        )
        await self._journal.record(record, durable=True)


def grant_purpose(grant_id: str) -> str:
    return f"break-glass {grant_id}"


def review_purpose(grant_id: str) -> str:
    return f"break-glass review {grant_id}"
