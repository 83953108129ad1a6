"""MultipartVault: uploads in parts, each part sealed on arrival, bound together by the trailer.

What an upload is and which attempt of each part stands is known from our own ledger, never from the
store (format.md §8).  A part below 5 MiB can only be the last one, and a store would refuse it in
the middle: it waits, sealed, under `.hyok/aside/` and goes out as one part with the trailer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from hyok.backends.own_objects import erase
from hyok.backends.port import ALWAYS, Condition, StoredFacts, StoredPart
from hyok.envelope.block import parse
from hyok.envelope.layout import HYOK1, LAYOUT
from hyok.envelope.parts import part_header, part_id
from hyok.envelope.trailer import Entry, Trailer, seal_trailer
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered
from hyok.objects.facts import PutFacts, split
from hyok.objects.streams import seal_part
from hyok.objects.uploads import Upload, UploadPart
from hyok.objects.vault import PutResult
from hyok.s3 import checksums
from hyok.s3.names import etag_out, part_etag_in, part_etag_out
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySink, MemorySource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.backends.port import PartSink, StoreSink
    from hyok.envelope.keys import DataKey
    from hyok.objects.facts import ProvenBody
    from hyok.objects.places import Place
    from hyok.objects.uploads import UploadLedger
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask, Bucket, Source

PART_PLAIN_BYTES_MAX = 5_368_381_400
"""The largest plaintext whose sealed part fits into a store's 5 GiB (format.md §8, Sizes)."""

ASIDE_PREFIX = ".hyok/aside/"
UPLOAD_SECONDS_MAX = 7 * 86_400
"""Uploads older than this are swept; said in docs/s3-compatibility.md."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What the client is told of a new upload."""

    upload_id: str
    kek_id: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of an upload's parts or of a bucket's uploads."""

    upload: Upload
    parts: Sequence[UploadPart]
    truncated: bool


@dataclass(frozen=True, slots=True)
class Completed:
    """What the client is told of an object joined from parts."""

    result: PutResult
    checksum_algorithm: int
    checksum_type: str
    checksum: str


class MultipartVault:
    """The multipart family, over the same vault, keys and stores as whole objects."""

    def __init__(self, vault: ObjectVault, ledger: UploadLedger) -> None:
        self._vault = vault
        self._ledger = ledger

    async def create(
        self, ask: Ask, facts: PutFacts, *, checksum_algorithm: int = 0, checksum_type: str = ""
    ) -> Begun:
        """Begin an upload: the object's key and envelope are made now."""
        assert ask.bucket is not None
        assert ask.classification is not None
        vault = self._vault
        vault.check_names(ask)
        place = await vault.places.of(ask.bucket, ask.key)
        protect = frozenset(vault.classifications.get(ask.classification).seal.protect)
        metadata, clear = split(facts, protect, keeps_metadata=place.store.features.keeps_metadata)
        issued = await vault.custodian.issue(
            ask, plain_size=None, multipart=True, metadata=metadata, part_header=b""
        )
        issued.data_key.close()
        upload_id = vault.entropy(24).hex()
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
        aside = body.size < HYOK1.min_part_bytes
        if number == 10_000 and not aside:
            raise Malformed(
                "Part number 10000 is kept for the object's trailer; use 1 to 9999.",
                reason="InvalidArgument",
            )
        place = await self._vault.places.of(ask.bucket, ask.key)
        key = await self._vault.custodian.recover(ask, upload.envelope)
        header = part_header(self._vault.entropy(32), self._vault.entropy(7))
        attempt = part_id(header)
        aside_name = f"{ASIDE_PREFIX}{upload_id}/{attempt.hex()}" if aside else ""
        try:
            etag = await self._send_part(
                place, upload, number, body, key.data_key, header, aside_name
            )
        finally:
            key.data_key.close()
        proofs = body.proofs()
        replaced = await self._ledger.put_part(
            upload_id,
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
        if replaced is not None and replaced.aside_name:
            with suppress(Refused):  # locked by the bucket's default: it waits for the sweep
                await erase(place.store, place.bucket, replaced.aside_name)
        await self._vault.custodian.conclude(
            ask, "done", object_id=upload.object_id, size_bytes=body.size
        )
        return part_etag_out(etag, attempt), key.envelope.kek_id

    async def _send_part(
        self,
        place: Place,
        upload: Upload,
        number: int,
        body: ProvenBody,
        data_key: DataKey,
        header: bytes,
        aside_name: str,
    ) -> str:
        """Seal the body to the store, as a part or held aside; return the store's ETag."""
        size = LAYOUT.part_sealed_size(body.size)
        store = place.store
        if body.size <= WHOLE_BODY_BYTES_MAX:
            sink = MemorySink(size)
            self._seal(data_key, number, header, MemorySource(await body.whole()), body.size, sink)
            if aside_name:
                facts = StoredFacts()
                return (await store.put_whole(place.bucket, aside_name, sink.room, facts)).etag
            return (
                await store.put_part_whole(
                    place.bucket, place.name, upload.store_upload_id, number, sink.room
                )
            ).etag
        target: StoreSink | PartSink
        if aside_name:
            target = await store.put(place.bucket, aside_name, size, StoredFacts())
        else:
            target = await store.put_part(
                place.bucket, place.name, upload.store_upload_id, number, size
            )

        def work(source: Source) -> str:
            self._seal(data_key, number, header, source, body.size, target)
            return target.commit().etag

        try:
            return await body.pump(work)
        except BaseException:
            target.abort()
            raise

    def _seal(
        self,
        data_key: DataKey,
        number: int,
        header: bytes,
        source: Source,
        size: int,
        sink: StoreSink | PartSink | MemorySink,
    ) -> None:
        room = self._vault.rooms.take()
        try:
            seal_part(data_key, number, header, source, size, sink, room)
        finally:
            self._vault.rooms.give(room)

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
        part_checksums: Mapping[int, Mapping[checksums.Algorithm, str]] | None = None,
    ) -> Completed:
        """Join the parts that the client lists, with the trailer that commits them.

        ``wanted``: part number and client ETag, in the client's order; ``part_checksums``: what the
        client says again of a part, in base64.  A repeat after success answers success again.

        Raises:
            Malformed: reasons InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest.
        """
        assert ask.bucket is not None
        upload = await self.find(ask.bucket, ask.key, upload_id)
        if upload.done:
            return _completed(upload)
        parts = _chosen(wanted, {p.number: p for p in await self._ledger.parts(upload_id)})
        _check_parts(parts, part_checksums or {})
        plain_size = sum(part.plain_size for part in parts)
        if object_size is not None and object_size != plain_size:
            raise Malformed(
                "The object size given does not match the sum of the parts.",
                reason="InvalidRequest",
            )
        algorithm, kind, value = _checksum(upload, parts)
        _check_checksum(algorithm, kind, value, len(parts), checksum, checksum_type)
        place = await self._vault.places.of(ask.bucket, ask.key)
        key = await self._vault.custodian.recover(ask, upload.envelope)
        try:
            trailer = seal_trailer(
                Trailer(
                    suite_id=HYOK1.id,
                    multipart=True,
                    entries=tuple(Entry(p.number, p.plain_size, p.part_id) for p in parts),
                    plain_size=plain_size,
                    object_id=upload.object_id,
                    md5=bytes(16),
                    checksum_algorithm=algorithm,
                    checksum_type=1 if kind == "COMPOSITE" else 0,
                    checksum=value,
                    created_ms=ask.at_ms,
                ),
                key.data_key,
                self._vault.entropy(16),
            )
        finally:
            key.data_key.close()
        etag, modified_ms = await self._join(place, upload, parts, trailer, condition, plain_size)
        finished = replace(
            upload,
            done=True,
            result_etag=etag,
            result_ms=modified_ms,
            checksum_algorithm=algorithm,
            checksum_type=kind if algorithm else "",
            result_checksum=_checksum_text(algorithm, kind, value, len(parts)),
            kek_id=key.envelope.kek_id,
        )
        await self._ledger.finish(finished)
        await self._clear_aside(place, upload_id)
        await self._vault.custodian.conclude(
            ask,
            "done",
            object_id=upload.object_id,
            kek_id=key.envelope.kek_id,
            size_bytes=plain_size,
        )
        return _completed(finished)

    async def _join(
        self,
        place: Place,
        upload: Upload,
        parts: Sequence[UploadPart],
        trailer: bytes,
        condition: Condition,
        plain_size: int,
    ) -> tuple[str, int]:
        """Have the store assemble the object; return its ETag and time.

        A Complete that was cut off may have succeeded: then the object is there, with this
        object_id, and no second trailer is written for it.
        """
        store = place.store
        joined = [StoredPart(p.number, p.store_etag, 0) for p in parts if not p.aside_name]
        last = parts[-1]
        number = last.number if last.aside_name else last.number + 1
        tail = trailer
        if last.aside_name:
            _, held = await store.read_whole(place.bucket, last.aside_name)
            if (
                len(held) != LAYOUT.part_sealed_size(last.plain_size)
                or part_id(held[:40]) != last.part_id
            ):
                raise Tampered("the part held aside is not the one that was sealed")
            tail = held + trailer
        try:
            joined.append(
                await store.put_part_whole(
                    place.bucket, place.name, upload.store_upload_id, number, tail
                )
            )
            stored = await store.complete_upload(
                place.bucket, place.name, upload.store_upload_id, joined, condition
            )
        except (NotFound, Conflict) as error:
            if error.reason == "PreconditionFailed":
                raise
            found = await self._finished_before(place, upload)
            if found is None:
                raise
            return found
        if stored.size and stored.size != LAYOUT.object_sealed_size(plain_size):
            raise Tampered("the store joined the parts to a wrong length", code="HY-3504")
        return stored.etag, stored.modified_ms

    async def _finished_before(self, place: Place, upload: Upload) -> tuple[str, int] | None:
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            return None
        if stored.facts is None or not stored.facts.envelope:
            return None
        if parse(stored.facts.envelope).object_id != upload.object_id:
            return None
        return stored.etag, stored.modified_ms

    async def _clear_aside(self, place: Place, upload_id: str) -> None:
        """Delete what was held aside; the sweep takes what a crash leaves."""
        try:
            page = await place.store.list(place.bucket, f"{ASIDE_PREFIX}{upload_id}/")
            names = [entry.name for entry in page.objects]
            if names:
                await erase(place.store, place.bucket, *names)
        except HyokError:
            return

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
        with suppress(NotFound):
            await place.store.abort_upload(place.bucket, place.name, upload.store_upload_id)
        await self._clear_aside(place, upload.upload_id)
        await self._ledger.forget(upload.upload_id)

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

    async def sweep(self, bucket: Bucket, now_ms: int) -> int:
        """Drop uploads of the bucket past their life; return how many."""
        before = now_ms - UPLOAD_SECONDS_MAX * 1000
        stale = await self._ledger.stale(bucket.bucket_id, before)
        for upload in stale:
            if upload.done:
                await self._ledger.forget(upload.upload_id)
                continue
            await self._drop(await self._vault.places.of(bucket, upload.key), upload)
        return len(stale)


def _chosen(
    wanted: Sequence[tuple[int, str]], known: dict[int, UploadPart]
) -> Sequence[UploadPart]:
    """Return the ledger's parts for the client's list, all rules of S3 checked."""
    if not wanted:
        raise Malformed("You must specify at least one part", reason="MalformedXML")
    numbers = [number for number, _ in wanted]
    if any(a >= b for a, b in pairwise(numbers)):
        raise Malformed("The list of parts was not in ascending order.", reason="InvalidPartOrder")
    parts = []
    for number, client_etag in wanted:
        part = known.get(number)
        store_etag, attempt = part_etag_in(client_etag)
        same = part is not None and store_etag == part.store_etag
        if part is None or not same or (attempt is not None and attempt != part.part_id):
            raise Malformed(
                "One or more of the specified parts could not be found. The part may not have "
                "been uploaded, or the specified entity tag may not match the part's entity tag.",
                reason="InvalidPart",
            )
        parts.append(part)
    if any(part.plain_size < HYOK1.min_part_bytes for part in parts[:-1]):
        raise Malformed(
            "Your proposed upload is smaller than the minimum allowed size",
            reason="EntityTooSmall",
        )
    return parts


def _check_parts(
    parts: Sequence[UploadPart], said: Mapping[int, Mapping[checksums.Algorithm, str]]
) -> None:
    """Return quietly if the checksums said of the parts are those that were verified."""
    for part in parts:
        for algorithm, text in said.get(part.number, {}).items():
            known = checksums.encode(part.checksum) if part.checksum else ""
            if part.checksum_algorithm != algorithm or text != known:
                raise Malformed(
                    f"The checksum of part {part.number} is not the one that was uploaded.",
                    reason="InvalidPart",
                )


def _checksum(upload: Upload, parts: Sequence[UploadPart]) -> tuple[int, str, bytes]:
    """Return algorithm, type and value of the whole object; 0 where some part has none."""
    algorithm = upload.checksum_algorithm or parts[0].checksum_algorithm
    if not algorithm or any(p.checksum_algorithm != algorithm for p in parts):
        return 0, "", b""
    known = checksums.Algorithm(algorithm)
    kind = upload.checksum_type or checksums.check_multipart_type(known, None)
    if kind == "COMPOSITE":
        return algorithm, kind, checksums.composite(known, [p.checksum for p in parts])
    value = checksums.combine(known, [(p.checksum, p.plain_size) for p in parts])
    return algorithm, kind, value


def _checksum_text(algorithm: int, kind: str, value: bytes, count: int) -> str:
    if not algorithm:
        return ""
    return (
        checksums.composite_text(value, count) if kind == "COMPOSITE" else checksums.encode(value)
    )


def _check_checksum(
    algorithm: int, kind: str, value: bytes, count: int, given: str, given_type: str
) -> None:
    if given_type and algorithm and given_type != kind:
        raise Malformed(
            f"The upload was created using the {kind} checksum mode. The complete request must use "
            "the same checksum mode.",
            reason="InvalidRequest",
        )
    if not given:
        return
    text = _checksum_text(algorithm, kind, value, count)
    if given not in {text, text.partition("-")[0]} or not algorithm:
        raise checksums.bad_digest(checksums.Algorithm(algorithm).name if algorithm else "checksum")


def _completed(upload: Upload) -> Completed:
    return Completed(
        result=PutResult(etag_out(upload.result_etag), upload.result_ms, upload.kek_id),
        checksum_algorithm=upload.checksum_algorithm,
        checksum_type=upload.checksum_type,
        checksum=upload.result_checksum,
    )
