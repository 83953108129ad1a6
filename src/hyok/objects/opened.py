"""Opened: an object ready to be handed out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.objects.streams import Pieces, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hyok.backends.port import StoreSource
    from hyok.custody.port import RecoveredKey
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.streams import PartSpan, Room, Rooms
    from hyok.vocabulary import Sink, Source


class Opened:
    """An object ready to be handed out: facts, and verified plaintext of ``[start, stop)``."""

    def __init__(
        self,
        *,
        facts: ObjectFacts,
        start: int,
        stop: int,
        key: RecoveredKey,
        spans: Sequence[PartSpan],
        source: Source,
        stored: StoreSource | None,
        prove: Callable[[], None],
        rooms: Rooms,
    ) -> None:
        self.facts = facts
        self.start = start
        self.stop = stop
        self._key = key
        self._spans = spans
        self._source = source
        self._stored = stored
        self._prove = prove
        self._rooms = rooms

    @property
    def multipart(self) -> bool:
        """Was it written in parts?"""
        return self._key.envelope.multipart

    @property
    def size(self) -> int:
        """The plaintext bytes that `whole` and `pour` hand out."""
        return self.stop - self.start

    def _pieces(self, room: Room) -> Iterator[memoryview]:
        return opened(self._key.data_key, self._spans, self._source, room, self._prove)

    @property
    def at_hand(self) -> bool:
        """Is every stored byte in memory, so that `whole` does not block?"""
        return self._stored is None

    def whole(self) -> bytearray:
        """Return the plaintext.  Blocking unless `at_hand`.

        Raises:
            Tampered: nothing of it may be used.
        """
        held = bytearray(self.size)
        at = 0
        room = self._rooms.take()
        try:
            for piece in self._pieces(room):
                held[at : at + len(piece)] = piece
                at += len(piece)
        finally:
            self._rooms.give(room)
        return held

    def pour(self, begin: Callable[[], Sink]) -> None:
        """Write the plaintext into the sink that ``begin`` returns.  Blocking.

        ``begin`` is called once the first piece is verified, so early damage is an honest error.

        Raises:
            Tampered: what was written so far is genuine; the rest must not be promised any more.
        """
        sink: Sink | None = None
        room = self._rooms.take()
        try:
            for piece in self._pieces(room):
                if sink is None:
                    sink = begin()
                sink.write(piece)
            if sink is None:
                begin()
        finally:
            self._rooms.give(room)

    def source(self, room: Room) -> Source:
        """Return the plaintext as a source, for sealing it again.  Blocking."""
        return Pieces(self._pieces(room))

    async def close(self) -> None:
        """Let go of store and key.  Call always, once."""
        if self._stored is not None:
            self._stored.close()
        self._key.data_key.close()
