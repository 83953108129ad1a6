"""Values that every floor shares.  No rules, no I/O."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NewType, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ClassificationName = NewType("ClassificationName", str)
"""The name of a classification, as its YAML file has it: ``vertrouwelijk``."""

PlainOffset = NewType("PlainOffset", int)
"""A position in the object as the client sees it, in bytes."""

SealedOffset = NewType("SealedOffset", int)
"""A position in the object as the store holds it, in bytes."""

T = TypeVar("T")

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts that no network reaches: plain http is spoken there only."""

WHOLE_BODY_BYTES_MAX = 1 << 20
"""Bodies up to this length are held whole and handled on the event loop."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object as the client names it.  ``bucket_id`` never changes, the backend's name may."""

    tenant: str
    bucket_id: str
    key: str


@dataclass(frozen=True, slots=True)
class DataSubject:
    """Whom the personal data of an object is about, as its labels say.  Never written in clear."""

    value: str = field(repr=False)
    kind: str = ""  # what sort of number it is: BSN, a URI of a register


SUBJECT, SUBJECT_KIND = "betrokkene", "betrokkene-type"
"""Tags and user metadata that say whom an object is about."""


def subject_of(tags: Mapping[str, str], user_metadata: Mapping[str, str]) -> DataSubject | None:
    """Return whom an object's labels say that it is about; None where they name nobody."""
    if not tags and not user_metadata:
        return None
    value, kind = (
        tags.get(word) or user_metadata.get(word) or "" for word in (SUBJECT, SUBJECT_KIND)
    )
    return DataSubject(value, kind) if value else None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are.

    ``clearance`` is the highest classification level the app may touch; ``purpose`` comes from the
    app's registration, since a plain S3 client cannot send one.
    """

    id: str
    tenant: str
    kind: str = "app"  # app | officer | system | anonymous (a reader without credentials)
    clearance: int = 0
    purpose: str = ""
    buckets: frozenset[str] = frozenset()  # bucket ids; empty: every bucket of the tenant
    grants: frozenset[str] = frozenset()  # read, write, delete, list, create-bucket
    # `access key:name` of a session, for the log; no right follows from it, so that decisions
    # are remembered for all sessions of an app alike.
    session: str = field(default="", compare=False)
    # A URI in the register of processing activities (AVG art. 30), for the log as well.
    processing_activity: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A registered bucket."""

    bucket_id: str  # the name clients use; unique in an installation
    tenant: str
    store: str  # a store's name in the settings
    backend_name: str
    classification: ClassificationName  # default of the bucket
    names: str  # clear | sealed
    names_ik_id: bytes = b""  # 16 bytes; empty when names are clear
    allowed: frozenset[str] = frozenset()  # classifications ever allowed here
    prefix_rules: Mapping[str, str] = field(default_factory=dict)  # key prefix -> classification
    created_ms: int = 0
    documents: Mapping[str, str] = field(default_factory=dict)  # kind (cors, tagging) -> its text
    adoption: str = ""  # refuse | read-through | seal, where plaintext stood there before us
    public: bool = False  # an officer opened it: whoever asks may read what its class lets them


class Source(Protocol):
    """Bytes that can be read once, into buffers that the caller owns.

    Blocking: called in a pump thread, or on the loop when the bytes are in memory already.
    """

    def read_into(self, buffer: memoryview) -> int:
        """Fill the front of ``buffer``; return how many bytes, 0 at the proven end.

        Raises:
            HyokError: the bytes ended early or failed a proof; nothing more may be used.
        """
        ...


class Sink(Protocol):
    """A place for bytes, given in views that the caller will use again."""

    def write(self, view: memoryview) -> None:
        """Take all of ``view`` before returning."""
        ...


class MemorySource:
    """A `Source` over bytes in memory."""

    __slots__ = ("_at", "_view")

    def __init__(self, whole: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(whole)
        self._at = 0

    def read_into(self, buffer: memoryview) -> int:
        piece = self._view[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class MemorySink:
    """A `Sink` that fills one buffer made beforehand; a write beyond it is our bug."""

    __slots__ = ("at", "room")

    def __init__(self, size_bytes: int) -> None:
        self.room = bytearray(size_bytes)
        self.at = 0

    def write(self, view: memoryview) -> None:
        end = self.at + len(view)
        assert end <= len(self.room), "the length promised was too small"
        self.room[self.at : end] = view
        self.at = end


class Body(Protocol):
    """A plaintext body on its way in.  Exactly one of `whole` and `pump` is called, once.

    The first call is what lets the client send (100 Continue), so refuse before it.
    """

    @property
    def size(self) -> int:
        """The plaintext length in bytes that the client declared."""
        ...

    async def whole(self) -> memoryview:
        """Return the whole body, every proof checked.  Only up to `WHOLE_BODY_BYTES_MAX`.

        Raises:
            HyokError: signature, checksum or length did not hold.
        """
        ...

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` in a pump thread over the body; its source ends only if every proof held."""
        ...


class Pump(Protocol):
    """Runs blocking work in the bounded pool of pump threads."""

    async def run(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns; wait for a free thread first."""
        ...


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Use of a door's key, as whoever asks for it tells it.

    Rules may read all of it; the log has `words`, in which nobody is named.
    """

    door: str  # xks
    tenant: str  # whose key it is
    name: str
    operation: str = ""  # what it is for, in the other side's words: GenerateDataKey
    caller: str = field(default="", repr=False)  # on whose behalf; may name a person
    via: str = ""  # the service through which they came
    resource: str = ""  # the other side's name of the key
    caller_id: str = field(default="", compare=False)  # opaque
    correlation: str = field(default="", compare=False)  # the other side's id of the whole call

    @property
    def key(self) -> str:
        """The key's name in the whole installation."""
        return f"{self.tenant}/{self.name}"

    @property
    def words(self) -> tuple[str, ...]:
        """What a record of the audit log says of it."""
        said = {
            "door": self.door,
            "key": self.key,
            "operation": self.operation,
            "caller": self.caller_id,
            "via": self.via,
            "resource": self.resource,
            "correlation": self.correlation,
        }
        return tuple(f"{name}:{value}" for name, value in said.items() if value)


@dataclass(frozen=True, slots=True)
class Ask:
    """Who wants to do what to which object, with what a decision or a record needs."""

    principal: Principal
    action: str  # object:put object:get object:head object:delete bucket:list bucket:create ...
    bucket: Bucket | None
    key: str
    request_id: str
    origin: str  # network address of the caller
    at_ms: int  # unix time, milliseconds
    classification: ClassificationName | None = None  # None: the object's own says (reads)
    scope_label: str = ""  # value of the tag `zaak`, else `betrokkene`
    trace_id: str = ""
    parent_span_id: str = ""  # the caller's span in that trace
    subject: DataSubject | None = None
    approval: str = ""  # the proposal of officers that is being executed
    use: KeyUse | None = None  # of a door's key; then there is no bucket
    door: str = ""  # through which a bucket's keys are asked for, where it is not the S3 door

    @property
    def ref(self) -> ObjectRef:
        """The object asked for.  Only where a bucket is known."""
        assert self.bucket is not None
        return ObjectRef(self.bucket.tenant, self.bucket.bucket_id, self.key)


class Did(Enum):
    """What came of one object that bulk work had to do with."""

    CHANGED = "changed"
    NOTHING = "nothing"
    """Nothing was to do."""
    KEPT = "kept"
    """It was its turn, and something keeps it: object lock, its classification."""


@dataclass(frozen=True, slots=True)
class SignHow:
    """What a private key signs: a digest made elsewhere; ``padding``: pkcs1 or pss."""

    padding: str
    hash: str  # SHA1, SHA256 or SHA512
    digest: bytes
    salt_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DecryptHow:
    """What a private key opens; ``padding``: pkcs1 or oaep."""

    padding: str
    sealed: bytes
    hash: str = "SHA1"
    label: bytes = b""


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint of the audit log says: whose log, how many records, their root hash.

    ``extensions`` are further lines of the signed text.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the text that is signed, and nothing else ever is by the key that signs it.

        Source: C2SP tlog-checkpoint, "Note text".
        """
        root = base64.b64encode(self.root).decode()
        return "\n".join((self.origin, str(self.size), root, *self.extensions)) + "\n"
