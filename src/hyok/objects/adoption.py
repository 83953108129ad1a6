"""Adoptions: plaintext of before in an adopted bucket, as clients meet it when they read.

An object is handed out in clear only while its row of the inventory counts, the store shows no
envelope, and ETag and length are those that were counted.  Whatever the gateway writes or removes
takes the row away before the client is told (`replacing`), so a supplier who strips an envelope, or
brings old plaintext back, gets the answer that an object without envelope always gets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.backends.port import Span
from hyok.errors import Malformed, NotFound, Refused, Unavailable
from hyok.objects.facts import ObjectFacts
from hyok.objects.locking import told_lock
from hyok.objects.places import Place
from hyok.objects.plaintext_errors import (
    another_object,
    no_envelope,
    older_version,
    stands_in_clear,
)
from hyok.objects.reading import ObjectReader
from hyok.objects.unsealed import Unsealed
from hyok.policy.classify import judge
from hyok.s3.names import etag_out
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, ClassificationName, MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.backends.port import Stored
    from hyok.custody.custodian import KeyCustodian
    from hyok.objects.inventory import Adopted, Inventories
    from hyok.objects.places import Places
    from hyok.objects.streams import Rooms
    from hyok.policy.classifications import Classifications
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask

REFUSE, READ_THROUGH, SEAL = "refuse", "read-through", "seal"
MODES = (REFUSE, READ_THROUGH, SEAL)


@dataclass(frozen=True, slots=True)
class Plain:
    """An object that may be handed out as it stands: where, and what the store says of it."""

    place: Place
    stored: Stored
    tags: Mapping[str, str]


class Adoptions:
    """Made once by wiring; safe for many requests at once."""

    def __init__(
        self,
        *,
        inventories: Inventories,
        places: Places,
        custodian: KeyCustodian,
        classifications: Classifications,
        rooms: Rooms,
    ) -> None:
        self.inventories = inventories
        self._places = places
        self._custodian = custodian
        self._classifications = classifications
        self._rooms = rooms
        self._reader = ObjectReader(custodian, rooms)

    async def head(
        self, ask: Ask, check: Callable[[ObjectFacts], None], version_id: str = ""
    ) -> ObjectFacts | None:
        """Return the facts of an object that stands in clear; None: look for a sealed one.

        ``version_id``: empty for the newest; another than was counted is None.

        Raises:
            Tampered: it is another object than was counted (code HY-3511).
            Refused, NotFound, Unavailable: as reading says.
        """
        found = await self.find(ask, version_id)
        if found is None:
            return None
        facts = self._facts(ask, found)
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
        version_id: str = "",
    ) -> Unsealed | None:
        """Return an object that stands in clear, ready to be handed out; None as `head`.

        The caller concludes, with the outcome of the facts.

        Raises:
            Malformed: the range or part is not there (reasons ``InvalidRange``,
                ``InvalidPartNumber``); and as `head`.
        """
        found = await self.find(ask, version_id)
        if found is None:
            return None
        place, stored = found.place, found.stored
        facts = self._facts(ask, found)
        await self._custodian.decide(_as(ask, facts))
        check(facts)
        if part_number not in (None, 1):
            raise Malformed(
                "The requested partnumber is not satisfiable", reason="InvalidPartNumber"
            )
        start, stop = (0, facts.size) if asked is None else asked.resolve(facts.size)
        same = {"if_match": stored.etag, "version_id": stored.version_id}
        if stop - start > WHOLE_BODY_BYTES_MAX:
            source = await place.store.read(place.bucket, place.name, Span(start, stop), **same)
            return Unsealed(facts, start, stop, source, source, self._rooms)
        body = b""
        if stop > start:
            span = Span(start, stop)
            _, body = await place.store.read_whole(place.bucket, place.name, span, **same)
        return Unsealed(facts, start, stop, MemorySource(body), None, self._rooms)

    async def find(self, ask: Ask, version_id: str = "") -> Plain | None:
        """Return what may be handed out as it stands; None: look for a sealed object."""
        bucket = ask.bucket
        assert bucket is not None
        if not bucket.adoption:
            return None
        entry = await self.inventories.find(bucket.bucket_id, ask.key)
        if entry is None or entry.replaced:
            return None
        if bucket.adoption == REFUSE:
            if bucket.names == "sealed" and not await self._is_sealed(ask):
                raise no_envelope()
            return None
        if bucket.names == "sealed" and await self.settled(ask, entry):
            return None
        return await self._counted(ask, entry, version_id)

    async def _counted(self, ask: Ask, entry: Adopted, version_id: str) -> Plain | None:
        """Return what stands under the clear name, if it is what was counted."""
        place = self.plain_place(ask)
        try:
            stored = await place.store.head(place.bucket, place.name, version_id)
        except NotFound:
            if version_id:  # it may be a sealed version's
                return None
            raise
        if stored.facts is not None and stored.facts.envelope:
            # Whoever wrote it did not get as far as the inventory, and told nobody of success.
            # Once it was seen sealed it never counts as plain again.
            if not version_id:
                await self.settled(ask, entry)
            return None
        if version_id and not is_counted(entry, stored):
            return None
        check_counted(entry, stored)
        return Plain(place, stored, await tags_in_clear(place, stored))

    async def check_no_plaintext(self, ask: Ask, version_id: str, effect: str) -> None:
        """Return quietly unless the object stands in clear.

        Raises:
            Refused: it does, and what is asked for is only for sealed ones (code HY-3515).
        """
        if await self.find(ask, version_id) is not None:
            raise stands_in_clear(effect)

    async def check_version(self, ask: Ask, stored: Stored, version_id: str) -> None:
        """Return quietly unless a version is asked for that an adopted bucket holds in clear.

        Raises:
            Refused: it is of before the adoption, or was written around us (code HY-3514).
        """
        if not version_id or (stored.facts is not None and stored.facts.envelope):
            return
        assert ask.bucket is not None
        if await self.inventories.is_adopted(ask.bucket.bucket_id):
            raise older_version()

    async def _is_sealed(self, ask: Ask) -> bool:
        assert ask.bucket is not None
        place = await self._places.of(ask.bucket, ask.key)
        try:
            await place.store.head(place.bucket, place.name)
        except NotFound:
            return False
        return True

    def _facts(self, ask: Ask, found: Plain) -> ObjectFacts:
        assert ask.bucket is not None
        stored = found.stored
        assert stored.facts is not None
        told = stored.facts
        judged = judge(self._classifications, ask.bucket, ask.key, found.tags, told.user_metadata)
        return ObjectFacts(
            size=stored.size,
            etag=etag_out(stored.etag),
            modified_ms=stored.modified_ms,
            headers=told.clear,
            user_metadata=told.user_metadata,
            tags=found.tags,
            classification=judged.classification,
            kek_id="",
            object_id="",
            version_id=stored.version_id,
            tag_count=len(found.tags),
            lock=told_lock(told.lock),
            sealed=False,
        )

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
            await self.inventories.mark_replaced(bucket.bucket_id, entry)
        else:
            await self.inventories.forget(bucket.bucket_id, entry)
        return True

    def plain_place(self, ask: Ask) -> Place:
        """Return where an object of this key stands in clear."""
        assert ask.bucket is not None
        return Place(self._places.store(ask.bucket), ask.bucket.backend_name, ask.key)


async def tags_in_clear(place: Place, stored: Stored) -> Mapping[str, str]:
    """Return the tags of an object of before; a label among them says how sensitive it is.

    Not every store tells their number with the object, so they are asked for always.

    Raises:
        Unavailable: the object was replaced meanwhile.
    """
    try:
        return await place.store.tags(place.bucket, place.name, stored.version_id)
    except NotFound as error:
        raise Unavailable(
            "The object was replaced while it was being read.", reason="ServiceUnavailable"
        ) from error
    except Refused as error:
        if error.reason != "NotImplemented":
            raise
        return {}


def is_counted(entry: Adopted, stored: Stored) -> bool:
    """Does the store show what was counted?"""
    return (stored.etag, stored.size) == (entry.etag, entry.size)


def check_counted(entry: Adopted, stored: Stored) -> None:
    """Return quietly if the store shows what was counted.

    Raises:
        Tampered: it is another object (code HY-3511).
    """
    if not is_counted(entry, stored):
        raise another_object()


def _as(ask: Ask, facts: ObjectFacts) -> Ask:
    """Return the question with the classification that the object would be sealed under."""
    return replace(ask, classification=ClassificationName(facts.classification))
