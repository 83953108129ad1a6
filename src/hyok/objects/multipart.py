"""MultipartVault: uploads in parts, each part sealed on arrival, bound together by the trailer.

What an upload is and which attempt of each part stands is known from our own ledger, never from the
store (format.md §8).  A part below 5 MiB can only be the last one, and a store would refuse it in
the middle: it waits, sealed, under `.hyok/aside/` and goes out as one part with the trailer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.envelope.layout import HYOK1
from hyok.envelope.parts import part_header, part_id
from hyok.envelope.trailer import Entry, Trailer, seal_trailer
from hyok.errors import HyokError, Malformed, NotFound, Tampered
from hyok.objects.completion import check_parts, chosen, trailer_number, whole_checksum
from hyok.objects.facts import PutFacts, split
from hyok.objects.joining import join
from hyok.objects.locking import check_lockable
from hyok.objects.name_warning import warn_of_name
from hyok.objects.part_sealing import PartSender
from hyok.objects.upload_answers import Begun, Completed, Listed, completed
from hyok.objects.upload_places import UploadPlaces
from hyok.objects.uploads import Upload, UploadPart
from hyok.s3.names import part_etag_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.port import RecoveredKey
    from hyok.envelope.keys import DataKey
    from hyok.objects.asides import Asides
    from hyok.objects.facts import ProvenBody
    from hyok.objects.places import Place
    from hyok.objects.uploads import UploadLedger
    from hyok.objects.vault import ObjectVault
    from hyok.s3.checksums import Algorithm
    from hyok.vocabulary import Ask, Bucket

PART_PLAIN_BYTES_MAX = 5_368_381_400
"""The largest plaintext whose sealed part fits into a store's 5 GiB (format.md §8, Sizes)."""

UPLOAD_SECONDS_MAX = 7 * 86_400
"""Uploads older than this are swept; said in docs/s3-compatibility.md."""


class MultipartVault:
    """The multipart family, over the same vault, keys and stores as whole objects."""

    def __init__(self, vault: ObjectVault, ledger: UploadLedger, asides: Asides) -> None:
        self._vault = vault
        self._ledger = ledger
        self._asides = asides
        self._sender = PartSender(vault.rooms)
        self._places = UploadPlaces(vault.places)

    async def create(
        self, ask: Ask, facts: PutFacts, *, checksum_algorithm: int = 0, checksum_type: str = ""
    ) -> Begun:
        """Begin an upload: the object's key and envelope are made now."""
        assert ask.bucket is not None
        assert ask.classification is not None
        vault = self._vault
        vault.check_names(ask)
        place = await vault.places.of(ask.bucket, ask.key)
        protect = vault.classifications.get(ask.classification).seal.protect
        metadata, clear = split(facts, protect, keeps_metadata=place.store.features.keeps_metadata)
        await check_lockable(place, facts.lock)
        upload_id = vault.entropy(24).hex()
        issued = await vault.custodian.issue(
            ask,
            plain_size=None,
            multipart=True,
            metadata=metadata,
            part_header=b"",
            upload_id=upload_id,
        )
        issued.data_key.close()
        store_id = ""
        try:
            store_id = await place.store.begin_upload(
                place.bucket, place.name, replace(clear, envelope=issued.envelope)
            )
            await self._ledger.begin(
                Upload(
                    upload_id=upload_id,
                    tenant=ask.bucket.tenant,
                    bucket_id=ask.bucket.bucket_id,
                    key=ask.key,
                    store_upload_id=store_id,
                    object_id=issued.object_id,
                    envelope=issued.envelope,
                    classification=ask.classification,
                    checksum_algorithm=checksum_algorithm,
                    checksum_type=checksum_type,
                    begun_ms=ask.at_ms,
                )
            )
            self._places.remember(upload_id, place.name)
        except BaseException as error:
            self._end(upload_id)
            if store_id:  # nobody knows of it, so nobody else would ever end it
                with suppress(HyokError):
                    await place.store.abort_upload(place.bucket, place.name, store_id)
            await vault.conclude_failure(ask, issued, error)
            raise
        await vault.custodian.conclude(
            ask, "done", object_id=issued.object_id, kek_id=issued.kek_id
        )
        return Begun(upload_id, issued.kek_id)

    async def find(self, bucket: Bucket, key: str, upload_id: str) -> Upload:
        """Return an upload of this object.

        Raises:
            NotFound: there is none (reason ``NoSuchUpload``).
        """
        upload = await self._ledger.get(upload_id)
        if upload is None or (upload.bucket_id, upload.key) != (bucket.bucket_id, key):
            raise NotFound(
                "The specified multipart upload does not exist. The upload ID might be invalid, "
                "or the multipart upload might have been aborted or completed.",
                reason="NoSuchUpload",
            )
        return upload

    async def _open(self, ask: Ask, upload_id: str) -> Upload:
        assert ask.bucket is not None
        upload = await self.find(ask.bucket, ask.key, upload_id)
        if upload.done:
            raise NotFound("The upload has been completed.", reason="NoSuchUpload")
        return upload

    def _end(self, upload_id: str) -> None:
        self._places.forget(upload_id)
        self._vault.custodian.end_upload(upload_id)

    async def _key_of(self, ask: Ask, upload: Upload) -> RecoveredKey:
        """Return the key of an open upload.

        Raises:
            Tampered: the envelope is not the one that was made for this upload (format.md §8).
        """
        key = await self._vault.custodian.recover(ask, upload.envelope, upload_id=upload.upload_id)
        found = key.envelope
        if (
            found.object_id != upload.object_id
            or not found.multipart
            or found.plain_size is not None
        ):
            key.data_key.close()
            raise Tampered("the upload's envelope is another object's")
        return key

    async def upload_part(
        self, ask: Ask, upload_id: str, number: int, body: ProvenBody
    ) -> tuple[str, str]:
        """Seal one part; return its ETag for the client and the kek_id.

        The record of the part is written after the store holds it; the last attempt wins.
        """
        assert ask.bucket is not None
        if body.size > PART_PLAIN_BYTES_MAX:
            raise Malformed(
                "Your proposed upload exceeds the maximum allowed size", reason="EntityTooLarge"
            )
        upload = await self._open(ask, upload_id)
        if number == 10_000 and body.size >= HYOK1.min_part_bytes:
            raise Malformed(
                "Part number 10000 is kept for the object's trailer; use 1 to 9999.",
                reason="InvalidArgument",
            )
        place = await self._places.of(ask, upload.upload_id)
        key = await self._key_of(ask, upload)
        try:
            etag = await self._take_part(ask, place, upload, number, body, key.data_key)
        except BaseException as error:
            await self._vault.conclude_failure(ask, upload, error)
            raise
        finally:
            key.data_key.close()
        await self._vault.custodian.conclude(
            ask, "done", object_id=upload.object_id, kek_id=key.kek_id, size_bytes=body.size
        )
        return etag, key.kek_id

    async def _take_part(
        self,
        ask: Ask,
        place: Place,
        upload: Upload,
        number: int,
        body: ProvenBody,
        data_key: DataKey,
    ) -> str:
        """Send one attempt at a part and write it down; return its ETag for the client."""
        aside = body.size < HYOK1.min_part_bytes
        header = part_header(self._vault.entropy(32), self._vault.entropy(7))
        attempt = part_id(header)
        aside_name = ""
        if aside:
            sealed = await self._sender.sealed(number, body, data_key, header)
            aside_name, etag = await self._asides.hold(place, upload.upload_id, attempt, sealed)
        else:
            etag = await self._sender.send(place, upload, number, body, data_key, header)
        proofs = body.proofs()
        try:
            replaced = await self._ledger.put_part(
                upload.upload_id,
                UploadPart(
                    number=number,
                    store_etag=etag,
                    part_id=attempt,
                    plain_size=body.size,
                    checksum_algorithm=proofs.checksum_algorithm,
                    checksum=proofs.checksum,
                    aside_name=aside_name,
                    at_ms=ask.at_ms,
                ),
            )
        except NotFound:  # the upload ended meanwhile, and its end swept before us
            if aside_name:
                await self._asides.drop(place, upload.upload_id, aside_name)
            raise
        if replaced is not None and replaced.aside_name:
            await self._asides.drop(place, upload.upload_id, replaced.aside_name)
        return part_etag_out(etag, attempt)

    async def complete(
        self,
        ask: Ask,
        upload_id: str,
        wanted: Sequence[tuple[int, str]],
        condition: Condition = ALWAYS,
        *,
        checksum: str = "",
        checksum_type: str = "",
        object_size: int | None = None,
        part_checksums: Mapping[int, Mapping[Algorithm, str]] | None = None,
    ) -> Completed:
        """Join the parts that the client lists, with the trailer that commits them.

        ``wanted``: part number and client ETag, in the client's order; ``part_checksums``: what the
        client says again of a part, in base64.  A repeat after success answers success again.

        Raises:
            Malformed: reasons InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest.
        """
        assert ask.bucket is not None
        # In this order: who finishes between the two takes the parts away.
        known = {p.number: p for p in await self._ledger.parts(upload_id)}
        upload = await self.find(ask.bucket, ask.key, upload_id)
        if upload.done:
            return completed(upload)
        parts = chosen(wanted, known)
        check_parts(parts, part_checksums or {})
        plain_size = sum(part.plain_size for part in parts)
        if object_size is not None and object_size != plain_size:
            raise Malformed(
                "The object size given does not match the sum of the parts.",
                reason="InvalidRequest",
            )
        whole = whole_checksum(upload, parts)
        whole.check(checksum, checksum_type)
        kept_as, kind, value = whole.kept
        place = await self._places.of(ask, upload.upload_id)
        key = await self._key_of(ask, upload)
        try:
            trailer = seal_trailer(
                Trailer(
                    suite_id=HYOK1.id,
                    multipart=True,
                    entries=tuple(Entry(p.number, p.plain_size, p.part_id) for p in parts),
                    plain_size=plain_size,
                    object_id=upload.object_id,
                    md5=bytes(16),
                    checksum_algorithm=kept_as,
                    checksum_type=kind,
                    checksum=value,
                    created_ms=ask.at_ms,
                ),
                key.data_key,
                self._vault.entropy(16),
            )
        finally:
            key.data_key.close()
        try:
            last = await self._asides.read(place, upload_id, parts[-1])
            async with self._vault.replacements.replacing(ask, condition) as held:
                joined = await join(
                    place,
                    upload,
                    parts,
                    last + trailer,
                    held,
                    trailer_number(parts, known.values()),
                )
        except BaseException as error:
            await self._vault.conclude_failure(ask, upload, error)
            raise
        finished = replace(
            upload,
            done=True,
            result_etag=joined.etag,
            result_ms=joined.modified_ms,
            result_version=joined.version_id,
            checksum_algorithm=whole.algorithm,
            checksum_type=whole.kind,
            result_checksum=whole.text,
            kek_id=key.kek_id,
        )
        await self._ledger.finish(finished)
        self._end(upload_id)
        await self._asides.clear(place, upload_id)
        await self._vault.custodian.conclude(
            ask,
            "done",
            object_id=upload.object_id,
            kek_id=key.kek_id,
            size_bytes=plain_size,
        )
        warn_of_name(ask, upload.object_id)
        return completed(finished)

    async def abort(self, ask: Ask, upload_id: str) -> None:
        """End an upload and forget its parts.

        Raises:
            NotFound: no such open upload (reason ``NoSuchUpload``).
        """
        assert ask.bucket is not None
        await self._vault.custodian.decide(ask)
        upload = await self._open(ask, upload_id)
        place = await self._vault.places.of(ask.bucket, ask.key)
        await self._drop(place, upload)
        await self._vault.custodian.conclude(ask, "done", object_id=upload.object_id)

    async def _drop(self, place: Place, upload: Upload) -> None:
        if not upload.done:
            with suppress(NotFound):
                await place.store.abort_upload(place.bucket, place.name, upload.store_upload_id)
        await self._asides.clear(place, upload.upload_id)
        await self._ledger.forget(upload.upload_id)
        self._end(upload.upload_id)

    async def list_parts(self, ask: Ask, upload_id: str, after: int, limit: int) -> Listed:
        """Return a page of an upload's parts, as the ledger has them."""
        await self._vault.custodian.decide(ask)
        upload = await self._open(ask, upload_id)
        parts = [p for p in await self._ledger.parts(upload_id) if p.number > after]
        await self._vault.custodian.conclude(ask, "done", object_id=upload.object_id)
        return Listed(upload, parts[:limit], len(parts) > limit)

    async def list_uploads(self, ask: Ask, prefix: str) -> Sequence[Upload]:
        """Return the bucket's open uploads below a prefix, by key and upload id."""
        assert ask.bucket is not None
        await self._vault.custodian.decide(ask)
        found = await self._ledger.open_uploads(ask.bucket.bucket_id, prefix)
        await self._vault.custodian.conclude(ask, "done")
        return found

    async def open_uploads(self, bucket: Bucket, prefix: str) -> Sequence[Upload]:
        """Return the bucket's open uploads below a prefix, for work of our own: nobody is asked."""
        return await self._ledger.open_uploads(bucket.bucket_id, prefix)

    async def forget_ended(self) -> None:
        """Drop from memory the keys of uploads that another worker completed or aborted.

        Raises:
            Unavailable: the database does not answer.
        """
        held = self._vault.custodian.uploads_held()
        if held:
            for upload_id in set(held) - await self._ledger.still_open(held):
                self._end(upload_id)

    async def sweep(self, bucket: Bucket, now_ms: int) -> int:
        """Drop uploads of the bucket past their life; return how many."""
        before = now_ms - UPLOAD_SECONDS_MAX * 1000
        stale = await self._ledger.stale(bucket.bucket_id, before)
        dropped = 0
        for upload in stale:
            # One that cannot be dropped now must not keep the others.
            with suppress(HyokError):
                await self._drop(await self._vault.places.of(bucket, upload.key), upload)
                dropped += 1
        return dropped
