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

from hyok.backends import object_lock
from hyok.backends.port import (
    ALWAYS,
    WHOLE,
    Condition,
    DefaultLock,
    Deleted,
    Listed,
    ListedObjects,
    Lock,
    Span,
    Stored,
    StoredFacts,
    StoredPart,
    StoredUpload,
    StoredVersion,
    StoreFeatures,
    StoreListing,
    VersionListing,
)
from hyok.errors import Conflict, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
NAME_BYTES_MAX = 16_384


@dataclass(slots=True)
class _Upload:
    bucket: str
    name: str
    facts: StoredFacts
    begun_ms: int
    parts: dict[int, tuple[StoredPart, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Version:
    """One version; ``body`` None: a delete marker."""

    stored: Stored
    body: bytes | None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    names: dict[str, list[_Version]] = field(default_factory=dict)  # newest first, never empty
    versioning: str = ""
    lock: DefaultLock | None = None


class MemoryStore:
    """See the module's docstring."""

    def __init__(
        self, *, keeps_metadata: bool = True, clock_ms: Callable[[], int] | None = None
    ) -> None:
        self.features = StoreFeatures(
            keeps_metadata=keeps_metadata,
            conditional_put=True,
            conditional_copy=True,
            conditional_delete=True,
            conditional_complete=True,
            rare_conditions=True,
            versioning=True,
            tags=True,
            object_lock=True,
            part_bytes_min=1,
        )
        self.uploads: dict[str, _Upload] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._clock_ms = clock_ms or _now_ms
        self._count = itertools.count(1)
        self._lock = threading.RLock()

    async def features_of(self, bucket: str) -> StoreFeatures:
        del bucket
        return self.features

    async def changes_tags(self, bucket: str) -> bool:
        return (await self.features_of(bucket)).tags

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
        self._check_facts(bucket, facts)
        self._check(bucket, name, condition)
        return MemoryStoreSink(size, lambda body: self._store(bucket, name, body, facts, condition))

    def _store(
        self, bucket: str, name: str, body: bytes, facts: StoredFacts, condition: Condition
    ) -> Stored:
        with self._lock:
            self._check(bucket, name, condition)
            lock = object_lock.first(facts.lock, self._bucket(bucket).lock, self._clock_ms())
            kept = replace(facts, tags={}, lock=lock)
            version = _Version(
                Stored(name, self._etag(), len(body), self._clock_ms(), kept), body, facts.tags
            )
            self._add(bucket, version)
            return self._told(bucket, version)

    def _add(self, bucket: str, version: _Version) -> None:
        """Lay a version or a marker over what is there, or in place of the `null` one."""
        at = self._bucket(bucket)
        there = at.names.setdefault(version.stored.name, [])
        version_id = "null"
        if at.versioning == "Enabled":
            version_id = f"v{next(self._count)}"
        else:
            there[:] = [other for other in there if other.stored.version_id != "null"]
        version.stored = replace(version.stored, version_id=version_id)
        there.insert(0, version)

    def newest(self, bucket: str, name: str) -> tuple[Stored, bytes]:
        """Return what stands there, for tests that tamper with it."""
        found = self._find(bucket, name)
        return found.stored, found.body or b""

    def tamper(self, bucket: str, name: str, stored: Stored, body: bytes) -> None:
        """Make something else of what stands there, behind the gateway's back."""
        found = self._find(bucket, name)
        found.stored, found.body = stored, body

    def _told(self, bucket: str, version: _Version) -> Stored:
        version_id = version.stored.version_id if self._bucket(bucket).versioning else ""
        return replace(version.stored, version_id=version_id, tag_count=len(version.tags))

    def _etag(self) -> str:
        return blake2b(next(self._count).to_bytes(8, "big"), digest_size=16).hexdigest()

    def _check_facts(self, bucket: str, facts: StoredFacts) -> None:
        if (facts.clear or facts.user_metadata) and not self.features.keeps_metadata:
            raise Malformed("this store keeps no metadata in clear")
        object_lock.check_asked(facts.lock, self._clock_ms())
        object_lock.first(facts.lock, self._bucket(bucket).lock, 0)

    def _bucket(self, bucket: str) -> _Bucket:
        if bucket not in self._buckets:
            raise NotFound("the bucket does not exist in this store", reason="NoSuchBucket")
        return self._buckets[bucket]

    def _shown(self, bucket: str, name: str) -> Stored | None:
        """Return what a listing shows under a name."""
        there = self._bucket(bucket).names.get(name, [])
        return there[0].stored if there and there[0].body is not None else None

    def _find(self, bucket: str, name: str, version_id: str = "") -> _Version:
        there = self._bucket(bucket).names.get(name, [])
        if version_id:
            there = [version for version in there if version.stored.version_id == version_id]
        if not there:
            reason = "NoSuchVersion" if version_id else "NoSuchKey"
            raise NotFound("the object does not exist", reason=reason)
        found = there[0]
        if found.body is None:
            facts = {"delete-marker": "true", "version-id": found.stored.version_id}
            if version_id:
                raise Malformed("a delete marker", reason="MethodNotAllowed", facts=facts)
            raise NotFound("the object was deleted", reason="NoSuchKey", facts=facts)
        return found

    def _check(self, bucket: str, name: str, condition: Condition) -> None:
        _check_condition(self._shown(bucket, name), condition)

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        return self._told(bucket, self._find(bucket, name, version_id))

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        found = self._find(bucket, name, version_id)
        stored, body = self._told(bucket, found), found.body or b""
        _check_condition(stored, Condition(if_match=if_match))
        if span.suffix:
            return stored, body[max(0, len(body) - span.suffix) :]
        stop = len(body) if span.stop is None else span.stop
        if span.start > max(0, len(body) - 1) or stop < span.start:
            raise Malformed("the range lies outside the object", reason="InvalidRange")
        return stored, body[span.start : stop]

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> MemoryStoreSource:
        return MemoryStoreSource(*await self.read_whole(bucket, name, span, if_match, version_id))

    async def delete(
        self,
        bucket: str,
        name: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> Deleted:
        with self._lock:
            at = self._bucket(bucket)
            there = at.names.get(name, [])
            if version_id:
                found = [v for v in there if v.stored.version_id == version_id]
            else:
                found = [v for v in there[:1] if v.body is not None]
            if found:
                _check_condition(found[0].stored, condition)
            elif condition.if_match:
                return Deleted()
            if at.versioning and not version_id:
                marker = _Version(Stored(name, "", 0, self._clock_ms()), None)
                self._add(bucket, marker)
                return Deleted(marker.stored.version_id, marker=True)
            if not found:
                return Deleted()
            lock = found[0].stored.facts.lock if found[0].stored.facts else Lock()
            object_lock.check_free(lock, self._clock_ms(), bypass=bypass_governance)
            told = Deleted(self._told(bucket, found[0]).version_id, found[0].body is None)
            there.remove(found[0])
            if not there:
                del at.names[name]
            return told

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        # By code point is by UTF-8 byte: that order is a property of the encoding.
        entries: dict[str, Listed | None] = {}
        for name in sorted(self._bucket(bucket).names):
            stored = self._shown(bucket, name)
            if stored is None or not name.startswith(prefix) or name <= after:
                continue
            folder = _folder(name, prefix, delimiter)
            if not folder:
                entries[name] = Listed(name, stored.etag, stored.size, stored.modified_ms)
            elif folder != after:
                entries[folder] = None
        page = dict(itertools.islice(entries.items(), max(0, limit)))
        more = page and len(entries) > len(page)
        return StoreListing(
            ListedObjects.of(stored for stored in page.values() if stored is not None),
            [name for name, stored in page.items() if stored is None],
            list(page)[-1] if more else "",
        )

    async def list_versions(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        after_version: str = "",
        limit: int = 1000,
    ) -> VersionListing:
        if after_version and not after:
            raise Malformed("an id to go on from needs a name", reason="InvalidArgument")
        entries: list[tuple[str, StoredVersion | None]] = []
        names = self._bucket(bucket).names
        for name in sorted(names):
            ids = [version.stored.version_id for version in names[name]]
            if not name.startswith(prefix) or name < after:
                continue
            folder = _folder(name, prefix, delimiter)
            if folder:
                if folder != after and (folder, None) not in entries:
                    entries.append((folder, None))
                continue
            passed = len(ids)
            if name != after:
                passed = 0
            elif after_version:
                passed = ids.index(after_version) + 1
            for version in names[name][passed:]:
                told = version.stored
                latest = version is names[name][0]
                marker = version.body is None
                entries.append((
                    name,
                    StoredVersion(
                        name, told.version_id, told.modified_ms, latest, marker,
                        told.etag, told.size,
                    ),
                ))  # fmt: skip
        page = entries[: max(0, limit)]
        more = len(entries) > len(page) and page
        last = page[-1] if more else ("", None)
        return VersionListing(
            [version for _, version in page if version is not None],
            [name for name, version in page if version is None],
            last[0],
            last[1].version_id if last[1] else "",
        )

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        return dict(self._find(bucket, name, version_id).tags)

    async def set_tags(
        self, bucket: str, name: str, tags: Mapping[str, str], version_id: str = ""
    ) -> str:
        version = self._find(bucket, name, version_id)
        version.tags = dict(tags)
        return self._told(bucket, version).version_id

    async def set_lock(
        self,
        bucket: str,
        name: str,
        lock: Lock,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> None:
        if self._bucket(bucket).lock is None:
            raise Malformed("the bucket has no object lock", reason="InvalidRequest")
        version = self._find(bucket, name, version_id)
        facts = version.stored.facts
        assert facts is not None
        object_lock.check_asked(lock, self._clock_ms())
        new = object_lock.changed(facts.lock, lock, self._clock_ms(), bypass=bypass_governance)
        version.stored = replace(version.stored, facts=replace(facts, lock=new))

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        self._check_facts(bucket, facts)
        with self._lock:
            old = self._find(bucket, name)
            self._check(bucket, name, Condition(if_match=if_match))
            if bool(facts.envelope) is not bool(old.stored.facts and old.stored.facts.envelope):
                raise Malformed("a sealed object needs an envelope, and a plain one takes none")
            facts = replace(facts, tags=facts.tags or old.tags)
            return self._store(bucket, name, old.body or b"", facts, ALWAYS)

    async def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
    ) -> Stored:
        _, body = await self.read_whole(bucket, name, if_match=if_match, version_id=version_id)
        return await self.put_whole(to_bucket, to_name, body, facts, condition)

    # ── uploads ──────────────────────────────────────────────────────────────────────────────

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        self.check_name(name)
        self._check_facts(bucket, facts)
        upload_id = f"upload-{next(self._count)}"
        self.uploads[upload_id] = _Upload(bucket, name, facts, self._clock_ms())
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
            part = StoredPart(number, self._etag(), len(body), self._clock_ms())
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

    async def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        locked = _Bucket(versioning="Enabled", lock=DefaultLock())
        self._buckets.setdefault(bucket, locked if object_lock else _Bucket())

    async def delete_bucket(self, bucket: str) -> None:
        if self._bucket(bucket).names:
            raise Conflict("the bucket is not empty", reason="BucketNotEmpty")
        del self._buckets[bucket]
        self.uploads = {k: u for k, u in self.uploads.items() if u.bucket != bucket}

    async def has_bucket(self, bucket: str) -> bool:
        return bucket in self._buckets

    async def list_buckets(self) -> Sequence[str]:
        return sorted(self._buckets)

    async def versioning(self, bucket: str) -> str:
        return self._bucket(bucket).versioning

    async def set_versioning(self, bucket: str, status: str) -> None:
        if self._bucket(bucket).lock is not None and status != "Enabled":
            raise Conflict("object lock needs versions", reason="InvalidBucketState")
        self._bucket(bucket).versioning = status

    async def object_lock(self, bucket: str) -> DefaultLock | None:
        return self._bucket(bucket).lock

    async def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        object_lock.check_default(default)
        if self._bucket(bucket).versioning != "Enabled":
            raise Conflict("object lock needs versions", reason="InvalidBucketState")
        self._bucket(bucket).lock = default

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


def _folder(name: str, prefix: str, delimiter: str) -> str:
    """Return what a name is rolled up into; empty where it stands for itself."""
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: end + len(delimiter)] if end >= 0 else ""


def _check_condition(found: Stored | None, condition: Condition) -> None:
    if condition.absent and found is not None:
        raise Conflict("an object of this name exists already", reason="PreconditionFailed")
    if condition.exists and found is None:
        raise Conflict("no object of this name exists", reason="PreconditionFailed")
    if condition.not_match and found is not None and found.etag == condition.not_match:
        raise Conflict("the object is still that version", reason="PreconditionFailed")
    if condition.if_match and (found is None or found.etag != condition.if_match):
        raise Conflict("the object is no longer that version", reason="PreconditionFailed")
