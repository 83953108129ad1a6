"""KnownParts: the parts of objects that were read lately, so that a range asks the store once.

What is kept was proven when it was read, and is used only for the object of the same name whose
envelope, proven anew, has the same mac, and of which the store tells the same version (format.md,
section 8).  A reading of the whole object proves the trailer that is stored now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from hyok.objects.part_map import PartMap

if TYPE_CHECKING:
    from typing import TypeAlias

    from hyok.backends.port import ReadableStore, Stored
    from hyok.custody.port import RecoveredKey
    from hyok.envelope.trailer import Trailer
    from hyok.objects.places import ReadPlace
    from hyok.vocabulary import ObjectRef

    _Where: TypeAlias = tuple[ReadableStore, str, str]
    _Identity: TypeAlias = tuple[ObjectRef, bytes, str, str, int]

ENTRIES_MAX = 20_000
"""Parts of all objects together, some 200 bytes each: two objects of S3's longest list."""

OBJECTS_MAX = 256


class _Known:
    """One object's trailer, and those headers of its parts that were read."""

    __slots__ = ("headers", "identity", "map", "trailer")

    def __init__(self, trailer: Trailer, identity: _Identity) -> None:
        self.trailer = trailer
        self.identity = identity
        self.map = PartMap([entry.plain_size for entry in trailer.entries])
        self.headers: dict[int, bytes] = {}


class KnownParts:
    """Remembers multipart objects by their place.  On one loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Where, _Known] = OrderedDict()
        self.entries = 0  # parts of all objects; 0: nothing is known of any

    def map_of(self, place: ReadPlace) -> PartMap | None:
        """Return how the object that was read last here was laid out: a guess about the next."""
        known = self._known.get(_where(place))
        return known.map if known is not None else None

    def trailer_of(self, place: ReadPlace, stored: Stored, key: RecoveredKey) -> Trailer | None:
        """Return the trailer of an object whose envelope is proven.

        Neither digest nor checksum is in it: those of a plaintext are not kept here.
        """
        known = self._of(place, stored, key)
        return known.trailer if known is not None else None

    def headers_of(
        self, place: ReadPlace, stored: Stored, key: RecoveredKey
    ) -> dict[int, bytes] | None:
        """Return the headers by part number, to be looked up and added to."""
        known = self._of(place, stored, key)
        return known.headers if known is not None else None

    def _of(self, place: ReadPlace, stored: Stored, key: RecoveredKey) -> _Known | None:
        where = _where(place)
        known = self._known.get(where)
        if known is None:
            return None
        if known.identity != _identity(stored, key):
            self._forget(where)
            return None
        self._known.move_to_end(where)
        return known

    def keep(self, place: ReadPlace, stored: Stored, key: RecoveredKey, trailer: Trailer) -> None:
        """Remember a trailer that was just proven; the least used make room."""
        where = _where(place)
        self._forget(where)
        if len(trailer.entries) > ENTRIES_MAX:
            return
        bare = trailer._replace(md5=bytes(16), checksum_algorithm=0, checksum_type=0, checksum=b"")
        self._known[where] = _Known(bare, _identity(stored, key))
        self.entries += len(trailer.entries)
        while self.entries > ENTRIES_MAX or len(self._known) > OBJECTS_MAX:
            self._forget(next(iter(self._known)))

    def forget(self, place: ReadPlace) -> None:
        """What stands here now was not written in parts."""
        self._forget(_where(place))

    def _forget(self, where: _Where) -> None:
        known = self._known.pop(where, None)
        if known is not None:
            self.entries -= len(known.trailer.entries)


def _where(place: ReadPlace) -> _Where:
    return place.store, place.bucket, place.name


def _identity(stored: Stored, key: RecoveredKey) -> _Identity:
    return key.ref, key.envelope.mac, stored.etag, stored.version_id, stored.size
