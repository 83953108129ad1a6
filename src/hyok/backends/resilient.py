"""ResilientStore: a store whose passing failures are tried again, where that is safe.

Safe to repeat: reads, lists, deletes, and writes of bytes held whole, as long as no condition is
attached: twice is as good as once.  A write with a condition, a copy onto itself and a Complete
would meet their own first attempt, so they are made again only when the store is known to have done
nothing.  Streamed bytes are gone once sent: only the opening of a stream is repeated, and that of a
read until its first byte has come.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, WHOLE
from hyok.backends.reopened import ReopenedSource
from hyok.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.backends.port import (
        Condition,
        DefaultLock,
        Deleted,
        Lock,
        ObjectStore,
        PartSink,
        Span,
        Stored,
        StoredFacts,
        StoredPart,
        StoredUpload,
        StoreFeatures,
        StoreListing,
        StoreSink,
        StoreSource,
        VersionListing,
    )
    from hyok.backends.retries import Retries

REOPEN_SECONDS_GRACE = 5.0


class ResilientStore:
    """Wraps any `ObjectStore`; its methods promise what the port says."""

    def __init__(self, store: ObjectStore, retries: Retries) -> None:
        self._store = store
        self._retries = retries

    @property
    def features(self) -> StoreFeatures:
        return self._store.features

    async def features_of(self, bucket: str) -> StoreFeatures:
        return await self._retries.run(
            partial(self._store.features_of, bucket), what="features", bounded=False
        )

    async def changes_tags(self, bucket: str) -> bool:
        return await self._retries.run(
            partial(self._store.changes_tags, bucket), what="changes_tags", bounded=False
        )

    def check_name(self, name: str) -> None:
        self._store.check_name(name)

    # -- objects ---------------------------------------------------------------------------------

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        return await self._retries.run(
            partial(self._store.put_whole, bucket, name, body, facts, condition),
            what="put_whole",
            untouched_only=condition != ALWAYS,
        )

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> StoreSink:
        # Nothing is sent before the sink is written to.
        return await self._retries.run(
            partial(self._store.put, bucket, name, size, facts, condition), what="put"
        )

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        return await self._retries.run(
            partial(self._store.head, bucket, name, version_id), what="head"
        )

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        return await self._retries.run(
            partial(self._store.read_whole, bucket, name, span, if_match, version_id),
            what="read_whole",
        )

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource:
        async def open_it(if_match: str) -> StoreSource:
            return await self._retries.run(
                partial(self._store.read, bucket, name, span, if_match, version_id), what="read"
            )

        longest = self._retries.rules.deadline_seconds + REOPEN_SECONDS_GRACE
        return ReopenedSource(await open_it(if_match), open_it, longest)

    async def delete(
        self,
        bucket: str,
        name: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> Deleted:
        # Done twice where versions are kept, it leaves two delete markers: the name is gone either
        # way, and a delete marker holds nothing.
        return await self._retries.run(
            partial(
                self._store.delete,
                bucket,
                name,
                condition,
                version_id,
                bypass_governance=bypass_governance,
            ),
            what="delete",
            untouched_only=condition != ALWAYS,
        )

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        return await self._retries.run(
            partial(self._store.list, bucket, prefix, delimiter, after, limit), what="list"
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
        return await self._retries.run(
            partial(
                self._store.list_versions, bucket, prefix, delimiter, after, after_version, limit
            ),
            what="list_versions",
        )

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        return await self._retries.run(
            partial(self._store.replace_facts, bucket, name, facts, if_match),
            what="replace_facts",
            untouched_only=True,
            bounded=False,
        )

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
        onto_itself = (bucket, name) == (to_bucket, to_name)
        return await self._retries.run(
            partial(
                self._store.copy,
                bucket,
                name,
                to_bucket,
                to_name,
                facts,
                if_match,
                condition,
                version_id,
            ),
            what="copy",
            untouched_only=onto_itself or condition != ALWAYS,
            bounded=False,
        )

    # -- what hangs on a version or a bucket -----------------------------------------------------

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        return await self._retries.run(
            partial(self._store.tags, bucket, name, version_id), what="tags"
        )

    async def set_tags(
        self, bucket: str, name: str, tags: Mapping[str, str], version_id: str = ""
    ) -> str:
        # Without an id the second attempt could meet a newer version than the first.
        return await self._retries.run(
            partial(self._store.set_tags, bucket, name, tags, version_id),
            what="set_tags",
            untouched_only=not version_id,
        )

    async def set_lock(
        self,
        bucket: str,
        name: str,
        lock: Lock,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> None:
        await self._retries.run(
            partial(
                self._store.set_lock,
                bucket,
                name,
                lock,
                version_id,
                bypass_governance=bypass_governance,
            ),
            what="set_lock",
            untouched_only=not version_id,
        )

    async def versioning(self, bucket: str) -> str:
        return await self._retries.run(partial(self._store.versioning, bucket), what="versioning")

    async def set_versioning(self, bucket: str, status: str) -> None:
        await self._retries.run(
            partial(self._store.set_versioning, bucket, status), what="set_versioning"
        )

    async def object_lock(self, bucket: str) -> DefaultLock | None:
        return await self._retries.run(partial(self._store.object_lock, bucket), what="object_lock")

    async def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        await self._retries.run(
            partial(self._store.set_object_lock, bucket, default), what="set_object_lock"
        )

    # -- uploads ---------------------------------------------------------------------------------

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        # One begun twice leaves an empty upload behind, which nobody knows and nothing is in.
        return await self._retries.run(
            partial(self._store.begin_upload, bucket, name, facts), what="begin_upload"
        )

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart:
        return await self._retries.run(
            partial(self._store.put_part_whole, bucket, name, upload_id, number, body),
            what="put_part_whole",
        )

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> PartSink:
        return await self._retries.run(
            partial(self._store.put_part, bucket, name, upload_id, number, size), what="put_part"
        )

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        return await self._retries.run(
            partial(self._store.list_parts, bucket, name, upload_id, after, limit),
            what="list_parts",
        )

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        return await self._retries.run(
            partial(self._store.complete_upload, bucket, name, upload_id, parts, condition),
            what="complete_upload",
            untouched_only=True,
            bounded=False,
        )

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._removal(
            partial(self._store.abort_upload, bucket, name, upload_id), "abort_upload"
        )

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        return await self._retries.run(
            partial(self._store.list_uploads, bucket, prefix, limit), what="list_uploads"
        )

    # -- buckets ---------------------------------------------------------------------------------

    async def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        await self._retries.run(
            partial(self._store.create_bucket, bucket, object_lock=object_lock),
            what="create_bucket",
        )

    async def delete_bucket(self, bucket: str) -> None:
        await self._removal(partial(self._store.delete_bucket, bucket), "delete_bucket")

    async def has_bucket(self, bucket: str) -> bool:
        return await self._retries.run(partial(self._store.has_bucket, bucket), what="has_bucket")

    async def list_buckets(self) -> Sequence[str]:
        return await self._retries.run(self._store.list_buckets, what="list_buckets")

    async def sweep(self) -> int:
        return await self._store.sweep()

    async def close(self) -> None:
        await self._store.close()

    async def _removal(self, remove: Callable[[], Awaitable[None]], what: str) -> None:
        """Remove; what a second attempt does not find, the first one took away."""
        attempts = 0

        async def attempt() -> None:
            nonlocal attempts
            attempts += 1
            try:
                await remove()
            except NotFound:
                if attempts == 1:
                    raise

        await self._retries.run(attempt, what=what)
