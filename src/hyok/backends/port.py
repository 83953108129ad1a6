"""ObjectStore: a place that keeps sealed bytes and understands none of them.

The names here are the *store's* names (sealed where the bucket says so) and every offset and size
is of the sealed body.  Sinks and sources are driven in a pump thread; every ``async`` method runs
on the loop.  Every method may raise `Unavailable`.  Callers never retry: `resilient.py` wraps a
store and knows which calls are safe to repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hyok.backends.bodies import PartSink, StoreSink, StoreSource
from hyok.backends.stored import (
    ALWAYS,
    NO_LOCK,
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ALWAYS",
    "NO_LOCK",
    "WHOLE",
    "Condition",
    "DefaultLock",
    "Deleted",
    "Listed",
    "ListedObjects",
    "Lock",
    "ObjectStore",
    "PartSink",
    "ReadableStore",
    "Span",
    "StoreFeatures",
    "StoreListing",
    "StoreSink",
    "StoreSource",
    "Stored",
    "StoredFacts",
    "StoredPart",
    "StoredUpload",
    "StoredVersion",
    "VersionListing",
]


class ReadableStore(Protocol):
    """The part of `ObjectStore` that opening an object needs; an export folder has it too."""

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]: ...

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource: ...

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]: ...


class ObjectStore(Protocol):
    """See the module's docstring.  ``bucket`` is the backend's name of the bucket.

    ``NotFound`` has reason ``NoSuchKey``, ``NoSuchBucket``, ``NoSuchUpload`` or ``NoSuchVersion``.
    ``version_id`` empty means the newest version.  Where that is a delete marker, reading raises
    ``NotFound`` (reason ``NoSuchKey``) with the facts ``delete-marker`` and ``version-id``; asking
    for the marker by its own id raises ``Malformed`` (reason ``MethodNotAllowed``) with the same
    facts.  A version that object lock protects is neither removed nor changed: ``Refused`` (reason
    ``AccessDenied``).
    """

    @property
    def features(self) -> StoreFeatures:
        """What is known by now of every bucket; a store that was not asked yet knows less."""
        ...

    async def features_of(self, bucket: str) -> StoreFeatures:
        """Return what holds in this bucket; what is not known yet is tried now."""
        ...

    async def changes_tags(self, bucket: str) -> bool:
        """Can `set_tags` change tags of a version here?  As `features_of`, but that alone."""
        ...

    def check_name(self, name: str) -> None:
        """Return quietly if the store can hold this name.

        Raises:
            Refused: it cannot (reason ``KeyTooLongError`` or ``InvalidArgument``); says what fits.
        """
        ...

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored: ...

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> StoreSink: ...

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored: ...

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        """Return facts and bytes of a span known to be small.

        Raises:
            NotFound: no such object.
            Conflict: replaced since ``if_match`` was seen (reason ``PreconditionFailed``).
            Malformed: the span lies outside (reason ``InvalidRange``).
        """
        ...

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> StoreSource:
        """As `read_whole`, for any length."""
        ...

    async def delete(
        self,
        bucket: str,
        name: str,
        condition: Condition = ALWAYS,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> Deleted:
        """Remove, or lay a delete marker over it where the bucket keeps versions.

        Quiet when there is nothing; where versions are kept a marker is laid all the same, unless
        ``condition`` names an ETag.  With ``version_id`` that version is gone for good.

        Raises:
            Refused: object lock protects the version (reason ``AccessDenied``).
        """
        ...

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing: ...

    async def list_versions(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        after_version: str = "",
        limit: int = 1000,
    ) -> VersionListing:
        """Return a page of every version and delete marker.

        ``after`` alone: from the name behind it; with ``after_version``: from the version of that
        name that is older.
        """
        ...

    async def versioning(self, bucket: str) -> str:
        """Return ``Enabled``, ``Suspended``, or empty: never switched on."""
        ...

    async def set_versioning(self, bucket: str, status: str) -> None:
        """Switch to ``Enabled`` or ``Suspended``.

        Raises:
            Conflict: object lock needs versions (reason ``InvalidBucketState``).
        """
        ...

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        """Return the tags that the store keeps for a version; they mean nothing to it.

        Object lock does not keep them: they may change on a locked version.
        """
        ...

    async def set_tags(
        self, bucket: str, name: str, tags: Mapping[str, str], version_id: str = ""
    ) -> str:
        """Replace a version's tags; return its id.

        Makes no version and leaves bytes, other facts and ETag of the version alone; its time too,
        but for stores that move it themselves (docs/stores.md).
        """
        ...

    async def object_lock(self, bucket: str) -> DefaultLock | None:
        """Return a bucket's object lock; None where it has none."""
        ...

    async def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        """Switch object lock on, or change what new versions get.

        Raises:
            Conflict: the bucket keeps no versions (reason ``InvalidBucketState``).
        """
        ...

    async def set_lock(
        self,
        bucket: str,
        name: str,
        lock: Lock,
        version_id: str = "",
        *,
        bypass_governance: bool = False,
    ) -> None:
        """Change a version's lock: ``mode`` and ``until_ms`` together, or ``hold`` when not None.

        Fields at their defaults are left alone.

        Raises:
            Refused: the change would weaken a lock that holds (reason ``AccessDenied``).
            Malformed: the bucket has no object lock (reason ``InvalidRequest``).
        """
        ...

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        """Give the object new facts (a rewrapped envelope), its bytes untouched.

        Where `StoreFeatures.decides_copy` is False a write between the store's check and its copy
        is lost: callers serialise with all writes of the key (format.md §9).  Where the bucket
        keeps versions this makes a new one, and the old one stays as it is.  The tags go along,
        unless ``facts`` brings some; the lock is that of ``facts``, else the bucket's default.

        Raises:
            Conflict: it is no longer the version of ``if_match``.
        """
        ...

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
        """Copy the sealed bytes of a version inside the store, of any length, with new facts.

        All of the facts are the new ones, tags and lock too.

        Raises:
            Conflict: the source is no longer the version of ``if_match``, or ``condition`` does not
                hold at the destination.
        """
        ...

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        """Return the store's upload id."""
        ...

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart: ...

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> PartSink: ...

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]: ...

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        """Join the parts, in this order, into one object.  An error in a 200 answer is an error."""
        ...

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None: ...

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]: ...

    async def create_bucket(self, bucket: str, *, object_lock: bool = False) -> None:
        """Make the backend's bucket; quiet when it is there already and ours.

        ``object_lock``: with object lock and versions switched on.
        """
        ...

    async def delete_bucket(self, bucket: str) -> None:
        """Remove an empty one.  Conflict (reason ``BucketNotEmpty``) otherwise."""
        ...

    async def has_bucket(self, bucket: str) -> bool: ...

    async def list_buckets(self) -> Sequence[str]:
        """Return the backend's buckets that our credentials may see, by name."""
        ...

    async def sweep(self) -> int:
        """Remove what crashes left (temporary files); return how many.  Safe at any time."""
        ...

    async def close(self) -> None: ...
