"""A store in memory: the port's promises, and nothing of a disk or a wire.

``keeps_metadata`` chooses between the two families of stores: S3 and its like, or sealed files.
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, TypeVar

from hyok.backends.port import (
    ALWAYS,
    WHOLE,
    Condition,
    Span,
    Stored,
    StoredFacts,
    StoredPart,
    StoredUpload,
    StoreFeatures,
    StoreListing,
)
from hyok.errors import Conflict, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
NAME_BYTES_MAX = 16_384


@dataclass(slots=True)
class _Upload:
    bucket: str
    name: str
    facts: StoredFacts
    begun_ms: int
    parts: dict[int, tuple[StoredPart, bytes]] = field(default_factory=dict)


class MemoryStore:
    """See the module's docstring.  ``objects`` is open to tests that play the dishonest store."""

    def __init__(self, *, keeps_metadata: bool = True) -> None:
        self.features = StoreFeatures(
            keeps_metadata=keeps_metadata,
            conditional_put=True,
            conditional_copy=True,
            conditional_delete=True,
            conditional_complete=True,
            rare_conditions=True,
            part_bytes_min=1,
        )
        self.objects: dict[str, dict[str, tuple[Stored, bytes]]] = {}
        self.uploads: dict[str, _Upload] = {}
        self._count = itertools.count(1)
        self._lock = threading.RLock()

    async def features_of(self, bucket: str) -> StoreFeatures:
        del bucket
        return self.features

    def check_name(self, name: str) -> None:
        if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
            raise Refused("this store holds names of 1 to 16384 bytes", reason="KeyTooLongError")

    # ── objects ──────────────────────────────────────────────────────────────────────────────

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        sink = await self.put(bucket, name, len(body), facts, condition)
        sink.write(memoryview(body))
        return sink.commit()

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> MemoryStoreSink[Stored]:
        self.check_name(name)
        self._check_facts(facts)
        self._check(bucket, name, condition)
        return MemoryStoreSink(size, lambda body: self._store(bucket, name, body, facts, condition))

    def _store(
        self, bucket: str, name: str, body: bytes, facts: StoredFacts, condition: Condition
    ) -> Stored:
        with self._lock:
            self._check(bucket, name, condition)
            stored = Stored(name, self._etag(), len(body), _now_ms(), facts)
            self.objects[bucket][name] = (stored, body)
            return stored

    def _etag(self) -> str:
        return blake2b(next(self._count).to_bytes(8, "big"), digest_size=16).hexdigest()

    def _check_facts(self, facts: StoredFacts) -> None:
        in_clear = facts.clear or facts.user_metadata or facts.tags
        if in_clear and not self.features.keeps_metadata:
            raise Malformed("this store keeps no metadata in clear")

    def _bucket(self, bucket: str) -> dict[str, tuple[Stored, bytes]]:
        if bucket not in self.objects:
            raise NotFound("the bucket does not exist in this store", reason="NoSuchBucket")
        return self.objects[bucket]

    def _find(self, bucket: str, name: str) -> tuple[Stored, bytes]:
        found = self._bucket(bucket).get(name)
        if found is None:
            raise NotFound("the object does not exist", reason="NoSuchKey")
        return found

    def _check(self, bucket: str, name: str, condition: Condition) -> None:
        found = self._bucket(bucket).get(name)
        if condition.absent and found is not None:
            raise Conflict("an object of this name exists already", reason="PreconditionFailed")
        if condition.exists and found is None:
            raise Conflict("no object of this name exists", reason="PreconditionFailed")
        if condition.not_match and found is not None and found[0].etag == condition.not_match:
            raise Conflict("the object is still that version", reason="PreconditionFailed")
        if condition.if_match and (found is None or found[0].etag != condition.if_match):
            raise Conflict("the object is no longer that version", reason="PreconditionFailed")

    async def head(self, bucket: str, name: str) -> Stored:
        return self._find(bucket, name)[0]

    async def read_whole(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> tuple[Stored, bytes]:
        stored, body = self._find(bucket, name)
        self._check(bucket, name, Condition(if_match=if_match))
        if span.suffix:
            return stored, body[max(0, len(body) - span.suffix) :]
        stop = len(body) if span.stop is None else span.stop
        if span.start > max(0, len(body) - 1) or stop < span.start:
            raise Malformed("the range lies outside the object", reason="InvalidRange")
        return stored, body[span.start : stop]

    async def read(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> MemoryStoreSource:
        return MemoryStoreSource(*await self.read_whole(bucket, name, span, if_match))

    async def delete(self, bucket: str, name: str, condition: Condition = ALWAYS) -> None:
        with self._lock:
            if name in self._bucket(bucket):
                self._check(bucket, name, condition)
                del self.objects[bucket][name]

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        # By code point is by UTF-8 byte: that order is a property of the encoding.
        entries: dict[str, Stored | None] = {}
        for name in sorted(self._bucket(bucket)):
            if not name.startswith(prefix) or name <= after:
                continue
            end = name.find(delimiter, len(prefix)) if delimiter else -1
            folder = name[: end + len(delimiter)] if end >= 0 else ""
            if folder:
                if folder != after:
                    entries[folder] = None
            else:
                entries[name] = replace(self.objects[bucket][name][0], facts=None)
        page = dict(itertools.islice(entries.items(), max(0, limit)))
        more = page and len(entries) > len(page)
        return StoreListing(
            [stored for stored in page.values() if stored is not None],
            [name for name, stored in page.items() if stored is None],
            list(page)[-1] if more else "",
        )

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        self._check_facts(facts)
        with self._lock:
            stored, body = self._find(bucket, name)
            self._check(bucket, name, Condition(if_match=if_match))
            if bool(facts.envelope) is not bool(stored.facts and stored.facts.envelope):
                raise Malformed("a sealed object needs an envelope, and a plain one takes none")
            stored = replace(stored, etag=self._etag(), facts=facts)
            self.objects[bucket][name] = (stored, body)
            return stored

    async def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition = ALWAYS,
    ) -> Stored:
        _, body = await self.read_whole(bucket, name, if_match=if_match)
        return await self.put_whole(to_bucket, to_name, body, facts, condition)

    # ── uploads ──────────────────────────────────────────────────────────────────────────────

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        self.check_name(name)
        self._check_facts(facts)
        self._bucket(bucket)
        upload_id = f"upload-{next(self._count)}"
        self.uploads[upload_id] = _Upload(bucket, name, facts, _now_ms())
        return upload_id

    def _open(self, bucket: str, name: str, upload_id: str) -> _Upload:
        upload = self.uploads.get(upload_id)
        if upload is None or (upload.bucket, upload.name) != (bucket, name):
            raise NotFound("the upload does not exist", reason="NoSuchUpload")
        return upload

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart:
        sink = await self.put_part(bucket, name, upload_id, number, len(body))
        sink.write(memoryview(body))
        return sink.commit()

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> MemoryStoreSink[StoredPart]:
        if not 1 <= number <= 10_000:
            raise Malformed("a part's number lies between 1 and 10000", reason="InvalidArgument")
        self._open(bucket, name, upload_id)

        def store(body: bytes) -> StoredPart:
            upload = self._open(bucket, name, upload_id)
            part = StoredPart(number, self._etag(), len(body), _now_ms())
            upload.parts[number] = (part, body)
            return part

        return MemoryStoreSink(size, store)

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        parts = self._open(bucket, name, upload_id).parts
        return [parts[number][0] for number in sorted(parts) if number > after][:limit]

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        with self._lock:
            upload = self._open(bucket, name, upload_id)
            if not parts:
                raise Malformed("an upload needs a part", reason="MalformedXML")
            numbers = [part.number for part in parts]
            if numbers != sorted(set(numbers)):
                raise Malformed("the parts are not in order", reason="InvalidPartOrder")
            for part in parts:
                kept = upload.parts.get(part.number)
                if kept is None or kept[0].etag != part.etag:
                    raise Malformed(f"part {part.number} is not there", reason="InvalidPart")
            body = b"".join(upload.parts[number][1] for number in numbers)
            stored = self._store(bucket, name, body, upload.facts, condition)
            del self.uploads[upload_id]
            return stored

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        self._open(bucket, name, upload_id)
        del self.uploads[upload_id]

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        self._bucket(bucket)
        found = [
            StoredUpload(upload.name, upload_id, upload.begun_ms)
            for upload_id, upload in self.uploads.items()
            if upload.bucket == bucket and upload.name.startswith(prefix)
        ]
        return sorted(found, key=lambda upload: (upload.name, upload.begun_ms))[:limit]

    # ── buckets and the store ────────────────────────────────────────────────────────────────

    async def create_bucket(self, bucket: str) -> None:
        self.objects.setdefault(bucket, {})

    async def delete_bucket(self, bucket: str) -> None:
        if self._bucket(bucket):
            raise Conflict("the bucket is not empty", reason="BucketNotEmpty")
        del self.objects[bucket]
        self.uploads = {k: u for k, u in self.uploads.items() if u.bucket != bucket}

    async def has_bucket(self, bucket: str) -> bool:
        return bucket in self.objects

    async def list_buckets(self) -> Sequence[str]:
        return sorted(self.objects)

    async def sweep(self) -> int:
        return 0

    async def close(self) -> None: ...


class MemoryStoreSink(Generic[T]):
    """Takes exactly the promised length."""

    def __init__(self, size: int, store: Callable[[bytes], T]) -> None:
        self._size = size
        self._store = store
        self._body: bytearray | None = bytearray()

    def write(self, view: memoryview) -> None:
        if self._body is None:
            raise Malformed("the upload was given up", reason="IncompleteBody")
        if len(self._body) + len(view) > self._size:
            self._body = None
            raise Malformed("the body is longer than was promised", reason="IncompleteBody")
        self._body += view

    def commit(self) -> T:
        body, self._body = self._body, None
        if body is None or len(body) != self._size:
            raise Malformed("the body ended early", reason="IncompleteBody")
        return self._store(bytes(body))

    def abort(self) -> None:
        self._body = None


class MemoryStoreSource:
    """Reads what was there when it was opened."""

    def __init__(self, stored: Stored, body: bytes) -> None:
        self.stored = stored
        self._body = memoryview(body)

    def read_into(self, buffer: memoryview) -> int:
        piece = self._body[: len(buffer)]
        buffer[: len(piece)] = piece
        self._body = self._body[len(piece) :]
        return len(piece)

    def close(self) -> None:
        self._body = memoryview(b"")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
