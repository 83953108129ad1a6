"""What a client says about an object and what it is told, and where each fact is kept.

A fact that the classification protects stands sealed in the envelope; the others stand beside the
object in clear, and are the store's word only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hyok.backends.port import StoredFacts
from hyok.envelope.metadata import Metadata
from hyok.objects.locking import NO_LOCK, store_lock
from hyok.vocabulary import Body, subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import Stored
    from hyok.s3.locks import LockAsked
    from hyok.vocabulary import Ask

HEADERS: Mapping[str, str] = {
    "content-type": "ct",
    "content-encoding": "ce",
    "content-disposition": "cd",
    "content-language": "cl",
    "cache-control": "cc",
    "expires": "ex",
}
"""Header name to its member in the sealed metadata (format.md §7)."""

PROTECT_MEMBERS: Mapping[str, str] = {**HEADERS, "user-metadata": "um", "tags": "tg"}
"""The words of `seal.protect` in a classification to members of the sealed metadata."""

ALGORITHM_NAMES: Mapping[int, str] = {
    1: "CRC32",
    2: "CRC32C",
    3: "CRC64NVME",
    4: "SHA1",
    5: "SHA256",
    6: "SHA512",
}
"""The trailer's numbers of checksum algorithms (format.md §6) to the names that S3 uses."""


class Proofs(NamedTuple):
    """What held of a body once it has ended: digests over the plaintext."""

    md5: bytes = b""  # 16 bytes, when the client sent Content-MD5
    checksum_algorithm: int = 0
    checksum: bytes = b""


class ProvenBody(Body, Protocol):
    """A `Body` that can say what was proven, after it ended."""

    def proofs(self) -> Proofs:
        """Return the digests.  Only after `whole` returned or the pumped source ended."""
        ...


@dataclass(frozen=True, slots=True)
class PutFacts:
    """What the client says beside the body.  Names are lower-case; empty: not said.

    ``checksums``: algorithm name to base64 value, known before the body.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    lock: LockAsked = NO_LOCK


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One object as its client sees it: plaintext size, mapped ETag, its own metadata.

    ``tags`` in clear are fetched only when they are asked for; ``tag_count`` counts them anyway.
    ``lock`` is the store's word.
    """

    size: int
    etag: str
    modified_ms: int
    headers: Mapping[str, str]
    user_metadata: Mapping[str, str]
    tags: Mapping[str, str]
    classification: str
    kek_id: str
    object_id: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str = "FULL_OBJECT"
    parts_count: int | None = None
    version_id: str = ""
    tag_count: int = 0
    lock: LockAsked = NO_LOCK
    sealed: bool = True  # False: it stands in clear at the store, and nothing of it is proven

    @property
    def outcome(self) -> str:
        """The audit log's word for a reading of it that went well."""
        return "done" if self.sealed else "unsealed"


def about(ask: Ask, facts: ObjectFacts) -> Ask:
    """Return ``ask`` with whom an opened object is about, for the record of its reading."""
    subject = subject_of(facts.tags, facts.user_metadata)
    return ask if subject == ask.subject else replace(ask, subject=subject)


_ALL_MEMBERS = frozenset(PROTECT_MEMBERS.values())


@lru_cache(maxsize=64)
def _members(protect: tuple[str, ...]) -> frozenset[str]:
    return frozenset(PROTECT_MEMBERS[word] for word in protect)


def split(
    facts: PutFacts, protect: tuple[str, ...], *, keeps_metadata: bool
) -> tuple[Metadata, StoredFacts]:
    """Return what is sealed and what stands in clear beside the object.

    ``protect`` holds the words of a classification's `seal.protect`.  A store that keeps no
    metadata gets none: then all of it is sealed.
    """
    members = _members(protect) if keeps_metadata else _ALL_MEMBERS
    texts: dict[str, str] = {}
    in_clear: dict[str, str] = {}
    for name, value in facts.headers.items():
        member = HEADERS.get(name)
        if member in members:
            texts[member] = value
        elif member is not None:
            in_clear[name] = value
    sealed = Metadata(
        **texts,
        um=dict(facts.user_metadata) if "um" in members else None,
        tg=dict(facts.tags) if "tg" in members else None,
        ck=dict(facts.checksums),
        protected=members | {"ck"},
    )
    clear = StoredFacts(
        clear=in_clear,
        user_metadata={} if "um" in members else dict(facts.user_metadata),
        tags={} if "tg" in members else dict(facts.tags),
        lock=store_lock(facts.lock),
    )
    return sealed, clear


def joined_headers(metadata: Metadata, stored: Stored) -> dict[str, str]:
    """Return the client's header facts: the sealed ones, and the store's word for the others."""
    clear = stored.facts.clear if stored.facts else {}
    protected = metadata.protected
    found: dict[str, str] = {}
    for (name, member), sealed in zip(HEADERS.items(), metadata.values, strict=False):
        value = sealed if member in protected else clear.get(name)
        if isinstance(value, str):
            found[name] = value
    return found


def joined_map(metadata: Metadata, member: str, clear: Mapping[str, str]) -> Mapping[str, str]:
    """Return user metadata (``um``) or tags (``tg``): sealed, or the store's word."""
    if member not in metadata.protected:
        return clear
    value = metadata.value(member)
    return value if value is not None and not isinstance(value, str) else {}
