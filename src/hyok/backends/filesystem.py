"""The embedded file store: sealed files in a folder, found through a catalogue.

A put is: fill a data file under a lock, flush it, commit its row, remove the file it replaced.  At
every instruction of that the name shows the old object or the new one, whole, and `sweep` removes
what a crash left.  Conditions are decided inside the row's transaction, so they hold between
threads and worker processes alike.

A new envelope goes into the catalogue first (durable, and the moment it counts) and then in place
into the file: until that write is flushed readers take the catalogue's copy, and opening the store
repeats the write.  Readers that are under way keep the file they opened, also when it is replaced.

Nothing in clear is kept but tags, which stand in the catalogue: a store of this kind has
`keeps_metadata` False.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hyok.backends import catalogue_listing
from hyok.backends.catalogue import Catalogue, bucket_id, translated
from hyok.backends.data_files import DIRECTORY_MODE, FILE_MODE, DataFiles, translated_files
from hyok.backends.filesystem_bodies import now_ms, write_whole
from hyok.backends.filesystem_buckets import Buckets
from hyok.backends.filesystem_labels import Labels
from hyok.backends.filesystem_objects import Objects, check_catalogue, check_name
from hyok.backends.filesystem_upload import Uploads
from hyok.backends.port import (
    ALWAYS,
    WHOLE,
    Condition,
    DefaultLock,
    Deleted,
    Lock,
    PartSink,
    Span,
    Stored,
    StoredFacts,
    StoreFeatures,
    VersionListing,
)
from hyok.envelope.layout import PRODUCTION_SUITES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hyok.backends.port import StoredPart, StoredUpload, StoreListing, StoreSink, StoreSource
    from hyok.envelope.layout import Suite

T = TypeVar("T")

THREADS = 16
SLOW_THREADS = 4
"""Copies and joins have threads of their own, so that a large one keeps no small read waiting."""

FEATURES = StoreFeatures(
    keeps_metadata=False,
    conditional_put=True,
    conditional_copy=True,
    conditional_delete=True,
    conditional_complete=True,
    rare_conditions=True,
    versioning=True,
    tags=True,
    object_lock=True,
    single_put_bytes_max=1 << 43,  # 8 TiB: half of the largest file of ext4
    part_bytes_min=1,
    part_bytes_max=1 << 43,
)


class FileStore:
    """See the module's docstring; `hyok.backends.port.ObjectStore` says what each method does."""

    features = FEATURES

    def __init__(
        self,
        root: Path,
        *,
        threads: int = THREADS,
        suites: Mapping[int, Suite] = PRODUCTION_SUITES,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        """Open the store in ``root``; make it when there is none.  Blocking.

        Args:
            root: the store's folder.
            threads: how many calls are at work at a time.
            suites: those whose blocks are taken for sealed ones.
            clock_ms: unix time in milliseconds; dates objects and ends retentions.

        Raises:
            Conflict: there are data files and no catalogue, or a newer release made it.
            Unavailable: the folder cannot be used.
        """
        with translated_files():
            root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            # One process at a time makes or repairs; the others wait for it to be whole.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._files = DataFiles(root / "data", suites)
            path = root / "catalogue.sqlite3"
            check_catalogue(path, self._files)
            self._catalogue = Catalogue(path)
            self._objects = Objects(self._catalogue, self._files, suites, clock_ms)
            self._objects.repair()
        finally:
            os.close(lock)
        self._clock_ms = clock_ms
        self._uploads = Uploads(self._catalogue, self._files)
        self._buckets = Buckets(self._catalogue, self._files, self._uploads, clock_ms)
        self._labels = Labels(self._catalogue, clock_ms)
        self._quick = ThreadPoolExecutor(threads, thread_name_prefix="file-store")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="file-store-slow")

    async def _run(self, work: Callable[[], T], *, slow: bool = False) -> T:
        pool = self._slow if slow else self._quick
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    async def features_of(self, bucket: str) -> StoreFeatures:
        del bucket
        return self.features

    async def changes_tags(self, bucket: str) -> bool:
        return (await self.features_of(bucket)).tags

    def check_name(self, name: str) -> None:
        check_name(name)

    # ── objects ──────────────────────────────────────────────────────────────────────────────

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        def work() -> Stored:
            return write_whole(self._objects.sink(bucket, name, len(body), facts, condition), body)

        return await self._run(work)

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> StoreSink:
        return await self._run(partial(self._objects.sink, bucket, name, size, facts, condition))

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        return await self._run(partial(self._objects.head, bucket, name, version_id))

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        def work() -> tuple[Stored, bytes]:
            with closing(self._objects.source(bucket, name, span, if_match, version_id)) as source:
                return source.stored, source.read_all()

        return await self._run(work)

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource:
        return await self._run(
            partial(self._objects.source, bucket, name, span, if_match, version_id)
        )

    async def delete(
        self,
        bucket: str,
        name: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> Deleted:
        return await self._run(
            partial(
                self._objects.delete,
                bucket,
                name,
                condition,
                version_id,
                bypass=bypass_governance,
            )
        )

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        def work() -> StoreListing:
            with translated():
                db = self._catalogue.reading
                return catalogue_listing.page(
                    db, bucket_id(db, bucket), prefix, delimiter, after, limit
                )

        return await self._run(work)

    async def list_versions(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        after_version: str = "",
        limit: int = 1000,
    ) -> VersionListing:
        def work() -> VersionListing:
            with translated():
                db = self._catalogue.reading
                return catalogue_listing.version_page(
                    db, bucket_id(db, bucket), prefix, delimiter, after, after_version, limit
                )

        return await self._run(work)

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        work = partial(self._objects.replace_facts, bucket, name, facts, if_match)
        return await self._run(work, slow=bool(await self.versioning(bucket)))

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
        return await self._run(
            partial(
                self._objects.copy,
                bucket,
                name,
                to_bucket,
                to_name,
                facts,
                if_match,
                condition,
                version_id,
            ),
            slow=True,
        )

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        return await self._run(partial(self._labels.tags, bucket, name, version_id))

    async def set_tags(
        self, bucket: str, name: str, tags: Mapping[str, str], version_id: str = ""
    ) -> str:
        return await self._run(partial(self._labels.set_tags, bucket, name, tags, version_id))

    async def set_lock(
        self,
        bucket: str,
        name: str,
        lock: Lock,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> None:
        await self._run(
            partial(self._labels.set_lock, bucket, name, lock, version_id, bypass=bypass_governance)
        )

    # ── uploads ──────────────────────────────────────────────────────────────────────────────

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        check_name(name)
        self._objects.block(facts)
        return await self._run(partial(self._uploads.begin, bucket, name, facts, self._clock_ms()))

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart:
        def work() -> StoredPart:
            size = len(body)
            sink = self._uploads.part(bucket, name, upload_id, number, size, self._clock_ms)
            return write_whole(sink, body)

        return await self._run(work)

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> PartSink:
        return await self._run(
            partial(self._uploads.part, bucket, name, upload_id, number, size, self._clock_ms)
        )

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        return await self._run(partial(self._uploads.parts, bucket, name, upload_id, after, limit))

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        def work() -> Stored:
            joining = self._uploads.check(bucket, name, upload_id, parts)
            sink = self._objects.sink(
                bucket, name, joining.size, joining.facts, condition, lock_checked=True
            )
            return self._uploads.join(upload_id, joining, sink)

        return await self._run(work, slow=True)

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._run(partial(self._uploads.abort, bucket, name, upload_id))

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        return await self._run(partial(self._uploads.open_ones, bucket, prefix, limit))

    # ── buckets and the store ────────────────────────────────────────────────────────────────

    async def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        await self._run(partial(self._buckets.create, bucket, object_lock=object_lock))

    async def delete_bucket(self, bucket: str) -> None:
        await self._run(partial(self._buckets.delete, bucket))

    async def has_bucket(self, bucket: str) -> bool:
        return await self._run(partial(self._buckets.has, bucket))

    async def list_buckets(self) -> Sequence[str]:
        return await self._run(self._buckets.names)

    async def versioning(self, bucket: str) -> str:
        return await self._run(partial(self._buckets.versioning, bucket))

    async def set_versioning(self, bucket: str, status: str) -> None:
        await self._run(partial(self._buckets.set_versioning, bucket, status))

    async def object_lock(self, bucket: str) -> DefaultLock | None:
        return await self._run(partial(self._buckets.object_lock, bucket))

    async def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        await self._run(partial(self._buckets.set_object_lock, bucket, default))

    async def sweep(self) -> int:
        return await self._run(self._objects.sweep, slow=True)

    async def close(self) -> None:
        def work() -> None:
            self._quick.shutdown()
            self._slow.shutdown()
            self._catalogue.close()

        await asyncio.to_thread(work)
