"""Adoptions: plaintext of before in an adopted bucket, as clients meet it when they read or write.

An object is handed out in clear only while its row of the inventory counts, the store shows no
envelope, and ETag and length are those that were counted.  Whatever the gateway writes or removes
takes the row away before the client is told, so a supplier who strips an envelope, or brings old
plaintext back, gets the answer that an object without envelope always gets.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from hyok.backends.port import ALWAYS, Condition, Span
from hyok.database.leases import KEPT_MS
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered
from hyok.objects.facts import ObjectFacts
from hyok.objects.places import Place
from hyok.objects.reading import ObjectReader, no_envelope
from hyok.objects.unsealed import Unsealed
from hyok.policy.classify import judge
from hyok.s3.names import etag_out
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, ClassificationName, MemorySource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from hyok.backends.port import Stored
    from hyok.custody.custodian import KeyCustodian
    from hyok.database.leases import Lease, Leases
    from hyok.objects.inventory import Adopted, Inventories
    from hyok.objects.places import Places
    from hyok.objects.streams import Rooms
    from hyok.policy.classifications import Classifications
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask

log = structlog.get_logger("hyok.objects")

REFUSE, READ_THROUGH, SEAL = "refuse", "read-through", "seal"
MODES = (REFUSE, READ_THROUGH, SEAL)

WAIT_SECONDS_MAX = 15.0
WAIT_STEP_SECONDS = 0.1


class Adoptions:
    """Made once by wiring; safe for many requests at once."""

    def __init__(
        self,
        *,
        inventories: Inventories,
        places: Places,
        custodian: KeyCustodian,
        classifications: Classifications,
        leases: Leases,
        rooms: Rooms,
    ) -> None:
        self._inventories = inventories
        self._places = places
        self._custodian = custodian
        self._classifications = classifications
        self._leases = leases
        self._rooms = rooms
        self._reader = ObjectReader(custodian, rooms)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def head(self, ask: Ask, check: Callable[[ObjectFacts], None]) -> ObjectFacts | None:
        """Return the facts of an object that stands in clear; None: look for a sealed one.

        Raises:
            Tampered: it is another object than was counted (code HY-3511).
            Refused, NotFound, Unavailable: as reading says.
        """
        found = await self._find(ask)
        if found is None:
            return None
        facts = self._facts(ask, found[1])
        await self._custodian.decide(_as(ask, facts))
        check(facts)
        await self._custodian.conclude(_as(ask, facts), facts.outcome, size_bytes=0)
        return facts

    async def open(
        self,
        ask: Ask,
        asked: Asked | None,
        check: Callable[[ObjectFacts], None],
        part_number: int | None,
    ) -> Unsealed | None:
        """Return an object that stands in clear, ready to be handed out; None as `head`.

        The caller concludes, with the outcome of the facts.

        Raises:
            Malformed: the range or part is not there (reasons ``InvalidRange``,
                ``InvalidPartNumber``); and as `head`.
        """
        found = await self._find(ask)
        if found is None:
            return None
        place, stored = found
        facts = self._facts(ask, stored)
        await self._custodian.decide(_as(ask, facts))
        check(facts)
        if part_number not in (None, 1):
            raise Malformed(
                "The requested partnumber is not satisfiable", reason="InvalidPartNumber"
            )
        start, stop = (0, facts.size) if asked is None else asked.resolve(facts.size)
        if stop - start > WHOLE_BODY_BYTES_MAX:
            source = await place.store.read(
                place.bucket, place.name, Span(start, stop), if_match=stored.etag
            )
            return Unsealed(facts, start, stop, source, source, self._rooms)
        body = b""
        if stop > start:
            _, body = await place.store.read_whole(
                place.bucket, place.name, Span(start, stop), if_match=stored.etag
            )
        return Unsealed(facts, start, stop, MemorySource(body), None, self._rooms)

    async def _find(self, ask: Ask) -> tuple[Place, Stored] | None:
        """Return place and facts of what may be handed out as it stands."""
        bucket = ask.bucket
        assert bucket is not None
        if not bucket.adoption:
            return None
        entry = await self._inventories.find(bucket.bucket_id, ask.key)
        if entry is None or entry.replaced:
            return None
        if bucket.adoption == REFUSE:
            if bucket.names == "sealed" and not await self._is_sealed(ask):
                raise no_envelope()
            return None
        if bucket.names == "sealed" and await self.settled(ask, entry):
            return None
        place = self.plain_place(ask)
        stored = await place.store.head(place.bucket, place.name)
        if stored.facts is not None and stored.facts.envelope:
            # Whoever wrote it did not get as far as the inventory, and told nobody of success.
            # Once it was seen sealed it never counts as plain again.
            await self.settled(ask, entry)
            return None
        check_counted(entry, stored)
        return place, stored

    async def _is_sealed(self, ask: Ask) -> bool:
        assert ask.bucket is not None
        place = await self._places.of(ask.bucket, ask.key)
        try:
            await place.store.head(place.bucket, place.name)
        except NotFound:
            return False
        return True

    def _facts(self, ask: Ask, stored: Stored) -> ObjectFacts:
        assert ask.bucket is not None
        assert stored.facts is not None
        told = stored.facts
        judged = judge(self._classifications, ask.bucket, ask.key, told.tags, told.user_metadata)
        return ObjectFacts(
            size=stored.size,
            etag=etag_out(stored.etag),
            modified_ms=stored.modified_ms,
            headers=told.clear,
            user_metadata=told.user_metadata,
            tags=told.tags,
            classification=judged.classification,
            kek_id="",
            object_id="",
            version_id=stored.version_id,
            sealed=False,
        )

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def replacing(
        self, ask: Ask, condition: Condition = ALWAYS, *, deleting: bool = False
    ) -> AsyncIterator[Condition]:
        """Write or remove a key inside this block, under the condition that it yields.

        When the block ends well, and before the client may be told, whatever stood in clear under
        this key counts no more.

        Raises:
            Conflict: the condition does not hold for the plain object (reason
                ``PreconditionFailed``), or a job is sealing this very object
                (``OperationAborted``).
        """
        bucket = ask.bucket
        assert bucket is not None
        entry = None
        if bucket.adoption:
            entry = await self._inventories.find(bucket.bucket_id, ask.key)
        if entry is None or entry.replaced:
            yield condition
        elif bucket.names == "clear":  # the same name in the store, so the store decides
            yield condition
            await self._inventories.forget(bucket.bucket_id, entry)
        else:
            async with self._held(ask) as lease, lease.kept():
                entry = await self._inventories.find(bucket.bucket_id, ask.key)
                if entry is None or entry.replaced or await self.settled(ask, entry):
                    yield condition
                    return
                yield _condition_of(entry, condition, deleting=deleting)
                await lease.renew()
                await self._inventories.mark_replaced(bucket.bucket_id, entry)
                try:
                    await self.remove_plain(ask, entry)
                except HyokError as error:
                    # The write stands.  The row says what is left, and a job comes back to it.
                    log.warning("adoption.plain_object_left", error=error.explain())

    @asynccontextmanager
    async def _held(self, ask: Ask) -> AsyncIterator[Lease]:
        """Hold a key whose sealed and plain objects have two names, which no store can decide."""
        assert ask.bucket is not None
        raw = f"{ask.bucket.bucket_id}\0{ask.key}".encode()
        name = f"adopted:{sha256(raw).hexdigest()}"
        async with AsyncExitStack() as over:
            yield await self._taken(over, name)

    async def _taken(self, over: AsyncExitStack, name: str) -> Lease:
        waited = 0.0
        while True:
            try:
                return await over.enter_async_context(self._leases.hold(name, KEPT_MS))
            except Conflict:
                if waited >= WAIT_SECONDS_MAX:
                    raise
            waited += WAIT_STEP_SECONDS
            await asyncio.sleep(WAIT_STEP_SECONDS)

    async def settled(self, ask: Ask, entry: Adopted) -> bool:
        """Say whether a sealed object that opens stands for this entry; if so it counts no more.

        Raises:
            Tampered: an envelope stands there that does not open.
        """
        bucket = ask.bucket
        assert bucket is not None
        place = await self._places.of(bucket, ask.key)
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            return False
        if stored.facts is None or not stored.facts.envelope:
            if bucket.names == "sealed":
                raise no_envelope()
            return False
        examined = await self._reader.examine(ask, place, stored)
        examined.key.data_key.close()
        if bucket.names == "sealed":
            await self._inventories.mark_replaced(bucket.bucket_id, entry)
        else:
            await self._inventories.forget(bucket.bucket_id, entry)
        return True

    async def remove_plain(self, ask: Ask, entry: Adopted) -> None:
        """Remove what was counted under its clear name, and the row; quiet when it is gone.

        Raises:
            Conflict: another object stands there now; it stays (code HY-3511).
        """
        assert ask.bucket is not None
        place = self.plain_place(ask)
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            pass
        else:
            if (stored.etag, stored.size) != (entry.etag, entry.size):
                raise _changed()
            try:
                await place.store.delete(place.bucket, place.name, Condition(if_match=entry.etag))
            except Refused as error:
                if error.reason != "NotImplemented":
                    raise
                # No client of ours writes under a clear name here; only somebody around us could
                # have put something there since the look above.
                await place.store.delete(place.bucket, place.name)
        await self._inventories.forget(ask.bucket.bucket_id, entry)

    def plain_place(self, ask: Ask) -> Place:
        """Return where an object of this key stands in clear."""
        assert ask.bucket is not None
        return Place(self._places.store(ask.bucket), ask.bucket.backend_name, ask.key)


def check_counted(entry: Adopted, stored: Stored) -> None:
    """Return quietly if the store shows what was counted.

    Raises:
        Tampered: it is another object (code HY-3511).
    """
    if (stored.etag, stored.size) != (entry.etag, entry.size):
        raise Tampered(
            "The stored object is another one than was counted when the bucket was adopted.",
            code="HY-3511",
            effect="It is not handed out.",
            next_step="find out who wrote to the store; write the object anew through the gateway",
        )


def _changed() -> Conflict:
    return Conflict(
        "Another object than was counted stands under the clear name.",
        code="HY-3511",
        effect="It was left there.",
        next_step="find out who wrote to the store, and remove it there",
    )


def _condition_of(entry: Adopted, condition: Condition, *, deleting: bool) -> Condition:
    """Return what a condition on the plain object is for the sealed name, where nothing stands."""
    if condition.absent or condition.if_match not in ("", entry.etag):
        raise Conflict(
            "At least one of the pre-conditions you specified did not hold",
            reason="PreconditionFailed",
        )
    if deleting or condition == ALWAYS:
        return ALWAYS
    return Condition(absent=True)


def _as(ask: Ask, facts: ObjectFacts) -> Ask:
    """Return the question with the classification that the object would be sealed under."""
    return replace(ask, classification=ClassificationName(facts.classification))
