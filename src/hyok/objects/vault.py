"""ObjectVault: put, open, head and delete whole objects, sealed.

The one road from a client's object to a store: name → decision and key → seal → store → record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyok.backends.port import ALWAYS, Condition, Deleted, StoredFacts
from hyok.envelope.layout import LAYOUT
from hyok.envelope.parts import part_header
from hyok.errors import HyokError, Malformed, NotFound, Refused
from hyok.objects.facts import ObjectFacts, about, split
from hyok.objects.first_reading import FirstReader
from hyok.objects.known_parts import KnownParts
from hyok.objects.locking import NO_LOCK, check_lockable, store_lock
from hyok.objects.name_warning import warn_of_name
from hyok.objects.object_sealing import ObjectSealing
from hyok.objects.read_ahead import ReadAhead
from hyok.objects.reading import ObjectReader
from hyok.s3.names import etag_out
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import Stored
    from hyok.custody.custodian import IssuedKey, KeyCustodian, Rewrapped
    from hyok.objects.adoption import Adoptions
    from hyok.objects.facts import ProvenBody, PutFacts
    from hyok.objects.opened import Opened
    from hyok.objects.places import Place, Places
    from hyok.objects.replacing import Removal, Replacements
    from hyok.objects.streams import Rooms
    from hyok.objects.uploads import Upload
    from hyok.policy.classifications import Classifications
    from hyok.s3.locks import LockAsked
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask, Bucket, Pump

SINGLE_PUT_BYTES_MAX = 5 << 30
"""S3's own limit for one PutObject, in plaintext bytes."""


class PutResult(NamedTuple):
    """What the client is told of an object just written."""

    etag: str
    modified_ms: int
    kek_id: str
    version_id: str = ""


class ObjectVault:
    """Sealed objects.  Made once by wiring; safe for many requests at once."""

    def __init__(
        self,
        *,
        places: Places,
        custodian: KeyCustodian,
        classifications: Classifications,
        rooms: Rooms,
        pump: Pump,
        entropy: Callable[[int], bytes],
        adoptions: Adoptions,
        replacements: Replacements,
    ) -> None:
        self.places = places
        self.custodian = custodian
        self.classifications = classifications
        self.rooms = rooms
        self.pump = pump
        self.entropy = entropy
        self.adoptions = adoptions
        self.replacements = replacements
        parts = KnownParts()
        self.reader = ObjectReader(custodian, rooms, parts)
        self.ahead = ReadAhead()
        self._first = FirstReader(parts, self.ahead)

    def check_names(self, ask: Ask) -> None:
        """Return quietly if an object of this classification may stand in this bucket.

        Raises:
            Refused: its names must be sealed and the bucket's are clear.
        """
        assert ask.bucket is not None
        assert ask.classification is not None
        rule = self.classifications.get(ask.classification)
        if rule.seal.names == "sealed" and ask.bucket.names == "clear":
            raise Refused(
                f"Objects of classification {ask.classification} need sealed names, and bucket "
                f"{ask.bucket.bucket_id} keeps clear names. Use a bucket made with sealed names.",
                reason="AccessDenied",
                code="HY-3201",
            )

    async def put(
        self, ask: Ask, body: ProvenBody, facts: PutFacts, condition: Condition = ALWAYS
    ) -> PutResult:
        """Seal ``body`` into the store.  Any failure leaves what was there before.

        Raises:
            Refused, Malformed, Conflict, Unavailable, NotFound: as the step that failed says.
        """
        assert ask.bucket is not None
        if not ask.bucket.adoption:  # nothing stood there before us
            return await self._put(ask, body, facts, condition)
        async with self.replacements.replacing(ask, condition) as held:
            return await self._put(ask, body, facts, held)

    async def _put(
        self, ask: Ask, body: ProvenBody, facts: PutFacts, condition: Condition
    ) -> PutResult:
        assert ask.bucket is not None
        assert ask.classification is not None
        if body.size > SINGLE_PUT_BYTES_MAX:
            raise Malformed(
                "Your proposed upload exceeds the maximum allowed size", reason="EntityTooLarge"
            )
        self.check_names(ask)
        place = await self.places.of(ask.bucket, ask.key)
        if facts.lock != NO_LOCK:
            await check_lockable(place, facts.lock)
        protect = self.classifications.get(ask.classification).seal.protect
        metadata, clear = split(facts, protect, keeps_metadata=place.store.features.keeps_metadata)
        random = self.entropy(55)  # in one draw: the salts of part and trailer, and the nonce's
        header = part_header(random[:32], random[32:39])
        issued = await self.custodian.issue(
            ask, plain_size=body.size, multipart=False, metadata=metadata, part_header=header
        )
        stored_facts = StoredFacts(
            issued.envelope, clear.clear, clear.user_metadata, clear.tags, clear.lock
        )
        sealing = ObjectSealing(issued, header, body.size, random[39:], ask.at_ms, self.rooms)
        try:
            if body.size <= WHOLE_BODY_BYTES_MAX:
                sealed = sealing.whole(await body.whole(), body.proofs())
                stored = await place.store.put_whole(
                    place.bucket, place.name, sealed, stored_facts, condition
                )
            else:
                size = LAYOUT.object_sealed_size(body.size)
                sink = await place.store.put(
                    place.bucket, place.name, size, stored_facts, condition
                )
                try:
                    stored = await body.pump(lambda source: sealing.pump(source, sink, body))
                except BaseException:
                    sink.abort()
                    raise
        except BaseException as error:
            await self.conclude_failure(ask, issued, error)
            raise
        finally:
            issued.data_key.close()
        await self.custodian.conclude(
            ask, "done", object_id=issued.object_id, kek_id=issued.kek_id, size_bytes=body.size
        )
        warn_of_name(ask, issued.object_id)
        return PutResult(
            etag_out(stored.etag), stored.modified_ms, issued.kek_id, stored.version_id
        )

    async def conclude_failure(
        self, ask: Ask, issued: IssuedKey | Rewrapped | Upload, error: BaseException
    ) -> None:
        """Record a failed write.  The failure itself is what the caller must see."""
        word = type(error).__name__
        if isinstance(error, HyokError) and error.reason:
            word = f"{word}:{error.reason}"
        try:
            await self.custodian.conclude(
                ask, "failed", object_id=issued.object_id, kek_id=issued.kek_id, error=word
            )
        except HyokError:
            return

    async def head(
        self,
        ask: Ask,
        check: Callable[[ObjectFacts], None] = lambda _facts: None,
        *,
        checksums: bool = False,
        tags: bool = False,
        version_id: str = "",
    ) -> ObjectFacts:
        """Return what a client may know of an object, its envelope opened and checked.

        ``check`` is asked about the facts before anything else happens and may raise.
        ``version_id``: empty for the newest; ``tags``: also those that stand in clear.
        """
        assert ask.bucket is not None
        if ask.bucket.adoption:
            unsealed = await self.adoptions.head(ask, check, version_id)
            if unsealed is not None:
                return unsealed
        place, stored = await self.look(ask, version_id)
        opened = await self.reader.open(
            ask, place, stored, asked=None, checksums=checksums, tags=tags
        )
        try:
            check(opened.facts)
        finally:
            await opened.close()
        await self.custodian.conclude(
            about(ask, opened.facts),
            "done",
            object_id=bytes.fromhex(opened.facts.object_id),
            kek_id=opened.facts.kek_id,
            size_bytes=0,
        )
        return opened.facts

    async def look(self, ask: Ask, version_id: str = "") -> tuple[Place, Stored]:
        """Return where a sealed object stands and what the store says of it, nothing of it proven.

        Raises:
            NotFound: there is none; Refused: the version is of before the bucket's adoption.
        """
        assert ask.bucket is not None
        place = await self.places.of(ask.bucket, ask.key)
        stored = await place.store.head(place.bucket, place.name, version_id)
        await self.adoptions.check_version(ask, stored, version_id)
        return place, stored

    async def open(
        self,
        ask: Ask,
        asked: Asked | None,
        check: Callable[[ObjectFacts], None] = lambda _facts: None,
        *,
        checksums: bool = False,
        part_number: int | None = None,
        version_id: str = "",
        tags: bool = False,
    ) -> Opened:
        """Return an object whose key is open and whose first stored bytes are at hand.

        The caller must `Opened.close` it.  ``check`` judges the preconditions.

        Raises:
            NotFound, Refused, Tampered, Unavailable; Malformed (reason ``InvalidRange``).
        """
        assert ask.bucket is not None
        if ask.bucket.adoption:
            unsealed = await self.adoptions.open(ask, asked, check, part_number, version_id)
            if unsealed is not None:
                return unsealed
        place = await self.places.of(ask.bucket, ask.key)
        read = await self._first.read(ask, place, asked, part_number, version_id)
        if version_id:
            await self.adoptions.check_version(ask, read.stored, version_id)
        opened = await self.reader.open(
            ask,
            place,
            read.stored,
            asked=asked,
            checksums=checksums,
            check=check,
            first=read.sealed,
            first_at=read.at,
            body=True,
            part_number=part_number,
            tags=tags,
        )
        try:
            self._first.follow(ask, place, asked, version_id, read, opened)
        except BaseException:
            await opened.close()
            raise
        return opened

    async def has_object_lock(self, bucket: Bucket) -> bool:
        """Return whether versions in this bucket can be locked."""
        try:
            return await self.places.store(bucket).object_lock(bucket.backend_name) is not None
        except Refused:
            return False  # the store knows no object lock

    async def set_lock(
        self, ask: Ask, lock: LockAsked, version_id: str, *, bypass_governance: bool = False
    ) -> None:
        """Change the lock of a version that `head` told of, where the store agrees.

        Raises:
            Refused: the change would weaken a lock that holds, or the object stands in clear, where
                a lock would keep it so (reason ``AccessDenied``).
        """
        assert ask.bucket is not None
        await self.adoptions.check_no_plaintext(ask, version_id, "It was not locked.")
        await self.custodian.decide(ask)
        place = await self.places.of(ask.bucket, ask.key)
        try:
            await place.store.set_lock(
                place.bucket,
                place.name,
                store_lock(lock),
                version_id,
                bypass_governance=bypass_governance,
            )
        except HyokError as error:
            await self.custodian.conclude(ask, "failed", error=type(error).__name__)
            raise
        await self.custodian.conclude(ask, "done")

    async def delete(
        self,
        ask: Ask,
        condition: Condition = ALWAYS,
        *,
        version_id: str = "",
        bypass_governance: bool = False,
    ) -> Deleted:
        """Remove an object, or lay a delete marker over it; quiet when there is none.

        With ``version_id`` that version is gone for good.  Whether the caller may bypass governance
        is decided beforehand.

        Raises:
            Refused: the app may not; Unavailable.
        """
        assert ask.bucket is not None
        await self.custodian.decide(ask)
        try:
            async with self.replacements.removing(ask, condition, version_id) as removal:
                done = await self._delete(ask, removal, version_id, bypass=bypass_governance)
        except HyokError as error:
            await self.custodian.conclude(ask, "failed", error=type(error).__name__)
            raise
        await self.custodian.conclude(ask, "done")
        return done

    async def _delete(
        self, ask: Ask, removal: Removal, version_id: str, *, bypass: bool
    ) -> Deleted:
        assert ask.bucket is not None
        place = removal.place or await self.places.of(ask.bucket, ask.key)
        done = Deleted()
        try:
            done = await place.store.delete(
                place.bucket,
                place.name,
                removal.condition,
                version_id,
                bypass_governance=bypass,
            )
        except NotFound as error:
            if error.reason == "NoSuchBucket":
                raise
        return done
