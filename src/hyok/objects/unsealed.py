"""Unsealed: an object handed out as it stands at the store, with nothing of it proven."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.errors import Unavailable
from hyok.objects.opened import Opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.backends.port import StoreSource
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.streams import Room, Rooms
    from hyok.vocabulary import Source


class Unsealed(Opened):
    """Has the shape of an opened object, so that every door hands it out the same way."""

    def __init__(  # it has no key, and nothing to prove
        self,
        facts: ObjectFacts,
        start: int,
        stop: int,
        source: Source,
        stored: StoreSource | None,
        rooms: Rooms,
    ) -> None:
        self.facts = facts
        self.start = start
        self.stop = stop
        self._source = source
        self._stored = stored
        self._rooms = rooms

    @override
    def _pieces(self, room: Room) -> Iterator[memoryview]:
        left = self.size
        while left:
            count = self._source.read_into(room.plain[:left])
            if not count:
                raise Unavailable("The store's answer was cut short.", reason="ServiceUnavailable")
            yield room.plain[:count]
            left -= count

    @override
    async def close(self) -> None:
        if self._stored is not None:
            self._stored.close()
