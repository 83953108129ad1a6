"""ObjectStore: a place that keeps sealed bytes and understands none of them.

The names here are the *store's* names (sealed where the bucket says so) and every offset and size
is of the sealed body.  Sinks and sources are driven in a pump thread; every ``async`` method runs
on the loop.  Every method may raise `Unavailable`.  Callers never retry: `resilient.py` wraps a
store and knows which calls are safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Lock:
    """Object lock of one version, as S3 has it; the store enforces it, we never act around it."""

    mode: str = ""  # GOVERNANCE | COMPLIANCE; empty: no retention
    until_ms: int = 0  # unix time, milliseconds; kept to the second
    hold: bool | None = None  # legal hold; None: never said


NO_LOCK = Lock()


@dataclass(frozen=True, slots=True)
class DefaultLock:
    """What a bucket with object lock gives to new versions.  ``mode`` empty: no default."""

    mode: str = ""
    days: int = 0
    years: int = 0


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the store keeps beside the bytes.

    ``envelope`` is format.md §7 in bytes; empty for the gateway's own small objects under `.hyok/`.
    ``clear`` holds lower-case header names of facts left in clear by policy (content-type, …);
    ``user_metadata`` names come without ``x-amz-meta-``.  ``tags`` are written with the object and
    are not read back with it: see `ObjectStore.tags`.  ``lock`` is both written and read back.
    """

    envelope: bytes = b""
    clear: Mapping[str, str] = field(default_factory=dict)
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: Lock = NO_LOCK


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as the store tells it.  None of it is proven (format.md §14)."""

    name: str
    etag: str  # the store's own, without quotes
    size: int  # bytes of the sealed body
    modified_ms: int  # unix time, milliseconds
    facts: StoredFacts | None = None  # None: not told
    version_id: str = ""  # empty: no versions ever, or (of a write) the store did not say
    tag_count: int = 0  # how many tags the store keeps for it


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version, or one delete marker, of a listing of versions."""

    name: str
    version_id: str  # "null": written while the bucket had no versions
    modified_ms: int
    latest: bool
    marker: bool = False  # a delete marker: no bytes, no ETag
    etag: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a delete did.

    ``version_id``: the version that was removed, or the delete marker that was made; empty in a
    bucket without versions.  ``marker``: a delete marker was made or removed.
    """

    version_id: str = ""
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Which sealed bytes to read: ``[start, stop)``, to the end, or the last ``suffix`` bytes."""

    start: int = 0
    stop: int | None = None
    suffix: int = 0  # when not 0, start and stop are ignored


WHOLE = Span()


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold at the destination, decided by the store atomically.

    ``if_match``: the store's ETag there now; ``absent``: nothing there (If-None-Match: *);
    ``exists``: something there (If-Match: *); ``not_match``: nothing there, or something with
    another ETag (If-None-Match).  One of them at most; Amazon S3 knows the first two on writes.
    """

    if_match: str = ""
    absent: bool = False
    exists: bool = False
    not_match: str = ""

    @property
    def rare(self) -> bool:
        """Is it one that many stores do not decide, though they decide the others?"""
        return self.exists or bool(self.not_match)


ALWAYS = Condition()


@dataclass(frozen=True, slots=True)
class StoreFeatures:
    """What this store can do; tried, not guessed.

    A condition is true only where the store decides it itself, at the destination, between writers
    that come at once; a write with a condition that it does not decide is refused
    (``NotImplemented``), and callers serialise.  ``rare_conditions`` is about the conditions of a
    PUT that are `Condition.rare`; elsewhere they are not offered.
    """

    keeps_metadata: bool  # facts in clear beside the bytes; else all goes into the envelope
    conditional_put: bool
    conditional_copy: bool
    conditional_delete: bool = False
    conditional_complete: bool = False
    rare_conditions: bool = False
    trailing_checksum: bool = False
    versioning: bool = False
    tags: bool = False  # tags of a version can change without touching anything else of it
    object_lock: bool = False
    single_put_bytes_max: int = 5 << 30  # of one PUT and of one copy; more goes in parts
    part_bytes_min: int = 5 << 20
    part_bytes_max: int = 5 << 30

    def decides_copy(self, size: int) -> bool:
        """Do `copy` and `replace_facts` of ``size`` bytes decide conditions at the destination?"""
        long = size > self.single_put_bytes_max
        return self.conditional_complete if long else self.conditional_copy


class Listed(NamedTuple):
    """One object of a listing, as `Stored` has it; a page has a thousand."""

    name: str
    etag: str
    size: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class StoreListing:
    """One page, in the byte order of the store's names (UTF-8)."""

    objects: Sequence[Listed]
    prefixes: Sequence[str]
    next_after: str = ""  # pass as ``after`` for the next page; empty: this was the last


@dataclass(frozen=True, slots=True)
class VersionListing:
    """One page, by name in byte order and newest first within a name."""

    versions: Sequence[StoredVersion]
    prefixes: Sequence[str]
    next_name: str = ""  # pass both on for the next page; both empty: this was the last
    next_version: str = ""


@dataclass(frozen=True, slots=True)
class StoredPart:
    number: int
    etag: str
    size: int
    modified_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredUpload:
    name: str
    upload_id: str
    begun_ms: int


class StoreSink(Protocol):
    """Takes exactly the promised length, then `commit`; or stores nothing.  Blocking."""

    def write(self, view: memoryview) -> None: ...

    def commit(self) -> Stored:
        """Make the object exist and return it.

        Until this returns, and after `abort`, a short body or a crash, what was there before is
        still there, whole.

        Raises:
            Conflict: the condition did not hold (reason ``PreconditionFailed``, or
                ``ConditionalRequestConflict`` when lost in a race).
        """
        ...

    def abort(self) -> None:
        """Give up, from any state and any thread; never raises; may be called twice."""
        ...


class PartSink(Protocol):
    """Like `StoreSink`, for one part of an upload."""

    def write(self, view: memoryview) -> None: ...

    def commit(self) -> StoredPart: ...

    def abort(self) -> None: ...


class StoreSource(Protocol):
    """Stored bytes on their way in.  ``stored`` is known before the first byte.  Blocking."""

    stored: Stored

    def read_into(self, buffer: memoryview) -> int:
        """As `hyok.vocabulary.Source`; `Unavailable` when the store's answer is cut short."""
        ...

    def close(self) -> None:
        """Stop reading; give the connection back or break it.  Never raises; idempotent."""
        ...


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

        Makes no version and leaves bytes, other facts, ETag and time of the version alone.
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
