"""Where an object stands: which store, which of its buckets, under which name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from hyok.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.backends.port import ObjectStore, ReadableStore
    from hyok.custody.custodian import KeyCustodian
    from hyok.envelope.names import NameKey
    from hyok.vocabulary import Bucket


class ReadPlace(Protocol):
    """Where an object can be read: a `Place`, or a file of an export."""

    @property
    def store(self) -> ReadableStore: ...

    @property
    def bucket(self) -> str: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FilePlace:
    """One object of an export folder."""

    store: ReadableStore
    name: str
    bucket: str = ""


class Place(NamedTuple):
    """One object's place."""

    store: ObjectStore
    bucket: str  # the backend's name of the bucket
    name: str  # the store's name of the object


class Places:
    """From (bucket, key) to `Place`; keeps the name keys of sealed buckets through custody."""

    def __init__(self, stores: Mapping[str, ObjectStore], custodian: KeyCustodian) -> None:
        self._stores = stores
        self._custodian = custodian

    def store(self, bucket: Bucket) -> ObjectStore:
        """Return the store that holds the bucket.

        Raises:
            Unavailable: the settings no longer name it (code HY-4101).
        """
        try:
            return self._stores[bucket.store]
        except KeyError:
            raise Unavailable(
                f"bucket {bucket.bucket_id} stands in store {bucket.store!r}, which is not set up",
                code="HY-4101",
                effect="Its objects cannot be reached.",
                next_step="add the store to the settings and restart",
            ) from None

    async def name_key(self, bucket: Bucket) -> NameKey | None:
        """Return the key of sealed names; None where names are clear."""
        if bucket.names != "sealed":
            return None
        return await self._custodian.names_key(bucket)

    async def of(self, bucket: Bucket, key: str) -> Place:
        """Return where the object of this key stands.

        Raises:
            Refused: the store cannot hold such a name; says what fits.
        """
        store = self.store(bucket)
        name_key = await self._custodian.names_key(bucket) if bucket.names == "sealed" else None
        name = key if name_key is None else name_key.seal(key)
        try:
            store.check_name(name)
        except Refused as refused:
            if name_key is not None and refused.reason == "KeyTooLongError":
                raise Refused(
                    "Your key is too long once its names are sealed: each of its segments grows "
                    "by a third and 22 characters.",
                    reason="KeyTooLongError",
                ) from refused
            raise
        return Place(store, bucket.backend_name, name)
