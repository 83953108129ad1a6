"""What custody asks of floors above and beside it, filled by wiring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.kek import Kek
    from hyok.envelope.block import Envelope
    from hyok.envelope.keys import DataKey
    from hyok.envelope.metadata import Metadata
    from hyok.vocabulary import Ask, Bucket, ClassificationName, ObjectRef

KEYRING_FOLDER = "keyring/"
"""Where a bucket's mirror keeps records: ``keyring/<ik_id in hex>``."""

TOMBSTONES_FOLDER = "tombstones/"
"""What stands here under the same name stops a record that comes back from a backup."""


class KeyringMirror(Protocol):
    """The reserved prefix of a bucket; `hyok.objects.mirror` fills it."""

    async def write(self, bucket: Bucket, name: str, raw: bytes) -> None: ...

    async def read(self, bucket: Bucket, name: str) -> bytes | None: ...

    async def list(self, bucket: Bucket, prefix: str) -> Sequence[str]: ...

    async def remove(self, bucket: Bucket, name: str) -> None: ...


class KekBook(Protocol):
    """Which key versions there are, from our own configuration or the HSM, never from a store."""

    async def find(self, name: str) -> Kek | None: ...

    async def active(self, tenant: str, classification: str) -> Kek: ...


class RecoveredKey(NamedTuple):
    """A stored object's key; every field of the envelope is proven."""

    data_key: DataKey
    envelope: Envelope
    metadata: Metadata
    classification: ClassificationName
    ref: ObjectRef  # the object whose context it opened in
    kek_id: str  # the key version it is kept under now; a record may have been rewritten


class IssuedKey(NamedTuple):
    """A new object's key and its envelope."""

    data_key: DataKey
    envelope: bytes
    object_id: bytes
    kek_id: str


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """A new envelope of data that stays as it is."""

    envelope: bytes
    object_id: bytes
    kek_id: str


class KeyOpener(Protocol):
    """Opens the key of a stored object: the custodian, or `LoneKeys` without a database."""

    async def recover(self, ask: Ask, envelope: bytes) -> RecoveredKey: ...
