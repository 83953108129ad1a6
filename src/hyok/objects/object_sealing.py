"""Sealing the body of one single-part object: part 1, then the trailer that commits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.envelope.layout import HYOK1, LAYOUT
from hyok.envelope.parts import part_id
from hyok.envelope.trailer import Entry, Trailer, seal_trailer
from hyok.errors import Malformed
from hyok.objects.streams import seal_held, seal_part

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import Stored, StoreSink
    from hyok.custody.custodian import IssuedKey
    from hyok.objects.facts import Proofs, ProvenBody
    from hyok.objects.streams import Rooms
    from hyok.vocabulary import Sink, Source


class ObjectSealing:
    """Seals one single-part object: part 1, then the trailer that commits it."""

    def __init__(
        self,
        issued: IssuedKey,
        header: bytes,
        size: int,
        trailer_salt: bytes,
        at_ms: int,
        rooms: Rooms,
    ) -> None:
        self._issued = issued
        self._header = header
        self._size = size
        self._salt = trailer_salt
        self._at_ms = at_ms
        self._rooms = rooms

    def _trailer(self, proofs: Proofs) -> bytes:
        return seal_trailer(
            Trailer(
                suite_id=HYOK1.id,
                multipart=False,
                entries=(Entry(1, self._size, part_id(self._header)),),
                plain_size=self._size,
                object_id=self._issued.object_id,
                md5=proofs.md5 or bytes(16),
                checksum_algorithm=proofs.checksum_algorithm,
                checksum_type=0,
                checksum=proofs.checksum,
                created_ms=self._at_ms,
            ),
            self._issued.data_key,
            self._salt,
        )

    def whole(self, plain: memoryview, proofs: Proofs) -> bytearray:
        """Return the sealed body of a plaintext held in memory.

        Raises:
            Malformed: it has another length than was declared (reason ``IncompleteBody``).
        """
        if len(plain) != self._size:
            raise Malformed("The body has another length than declared.", reason="IncompleteBody")
        sealed = bytearray(LAYOUT.object_sealed_size(self._size))
        at = seal_held(self._issued.data_key, 1, self._header, plain, memoryview(sealed))
        trailer = self._trailer(proofs)
        assert at + len(trailer) == len(sealed)
        sealed[at:] = trailer
        return sealed

    def pump(self, source: Source, sink: StoreSink, body: ProvenBody) -> Stored:
        """Seal from ``source`` into ``sink`` and commit; abort on any failure.  Blocking."""
        try:
            self.pour(source, sink, body.proofs)
            return sink.commit()
        except BaseException:
            sink.abort()
            raise

    def pour(self, source: Source, sink: Sink, proofs: Callable[[], Proofs]) -> None:
        """Seal from ``source`` into ``sink``; the trailer follows when ``proofs`` held.  Blocking.

        Raises:
            Malformed: the source ended early or holds more (reason ``IncompleteBody``); without its
                trailer nobody takes what went out for an object.
        """
        room = self._rooms.take()
        try:
            seal_part(self._issued.data_key, 1, self._header, source, self._size, sink, room)
            sink.write(memoryview(self._trailer(proofs())))
        finally:
            self._rooms.give(room)
