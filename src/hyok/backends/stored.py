"""What stores and their callers speak of: objects, versions, locks, conditions, pages, features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from hyok.s3.columns import Columns

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
    tags: bool = False  # tags of a version can change without making it anew
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


class ListedObjects(Columns[Listed]):
    """Objects of a listing."""

    __slots__ = ()

    row = Listed

    @property
    def names(self) -> Sequence[str]:
        return self.columns[0]

    @property
    def etags(self) -> Sequence[str]:
        return self.columns[1]

    @property
    def sizes(self) -> Sequence[int]:
        return self.columns[2]

    @property
    def modified_ms(self) -> Sequence[int]:
        return self.columns[3]


@dataclass(frozen=True, slots=True)
class StoreListing:
    """One page, in the byte order of the store's names (UTF-8)."""

    objects: ListedObjects
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
