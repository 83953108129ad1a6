"""ObjectStore: a place that keeps sealed bytes and understands none of them.

The names here are the *store's* names (sealed where the bucket says so) and every offset and size
is of the sealed body.  Sinks and sources are driven in a pump thread; every ``async`` method runs
on the loop.  Every method may raise `Unavailable`.  Callers never retry: `resilient.py` wraps a
store and knows which calls are safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """What the store keeps beside the bytes.

    ``envelope`` is format.md §7 in bytes; empty for the gateway's own small objects under `.hyok/`.
    ``clear`` holds lower-case header names of facts left in clear by policy (content-type, …);
    ``user_metadata`` names come without ``x-amz-meta-``.
    """

    envelope: bytes = b""
    clear: Mapping[str, str] = field(default_factory=dict)
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as the store tells it.  None of it is proven (format.md §14)."""

    name: str
    etag: str  # the store's own, without quotes
    size: int  # bytes of the sealed body
    modified_ms: int  # unix time, milliseconds
    facts: StoredFacts | None = None  # None in listings
    version_id: str = ""


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
    single_put_bytes_max: int = 5 << 30  # of one PUT and of one copy; more goes in parts
    part_bytes_min: int = 5 << 20
    part_bytes_max: int = 5 << 30

    def decides_copy(self, size: int) -> bool:
        """Do `copy` and `replace_facts` of ``size`` bytes decide conditions at the destination?"""
        long = size > self.single_put_bytes_max
        return self.conditional_complete if long else self.conditional_copy


@dataclass(frozen=True, slots=True)
class StoreListing:
    """One page, in the byte order of the store's names (UTF-8)."""

    objects: Sequence[Stored]
    prefixes: Sequence[str]
    next_after: str = ""  # pass as ``after`` for the next page; empty: this was the last


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
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> tuple[Stored, bytes]: ...

    async def read(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> StoreSource: ...


class ObjectStore(Protocol):
    """See the module's docstring.  ``bucket`` is the backend's name of the bucket.

    ``NotFound`` has reason ``NoSuchKey``, ``NoSuchBucket`` or ``NoSuchUpload``.
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

    async def head(self, bucket: str, name: str) -> Stored: ...

    async def read_whole(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> tuple[Stored, bytes]:
        """Return facts and bytes of a span known to be small.

        Raises:
            NotFound: no such object.
            Conflict: replaced since ``if_match`` was seen (reason ``PreconditionFailed``).
            Malformed: the span lies outside (reason ``InvalidRange``).
        """
        ...

    async def read(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> StoreSource:
        """As `read_whole`, for any length."""
        ...

    async def delete(self, bucket: str, name: str, condition: Condition = ALWAYS) -> None:
        """Remove; quiet when there is nothing."""
        ...

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing: ...

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        """Give the object new facts (a rewrapped envelope), its bytes untouched.

        Where `StoreFeatures.decides_copy` is False a write between the store's check and its copy
        is lost: callers serialise with all writes of the key (format.md §9).

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
    ) -> Stored:
        """Copy the sealed bytes inside the store, of any length, with new facts.

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

    async def create_bucket(self, bucket: str) -> None:
        """Make the backend's bucket; quiet when it is there already and ours."""
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
