"""Held: an object of one part whose stored bytes are all in memory, opened without copying them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from hyok.envelope.trailer import open_trailer
from hyok.objects.opened import Opened
from hyok.objects.streams import open_held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.custody.port import RecoveredKey
    from hyok.envelope.layout import ReadPlan
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.streams import PartSpan, Room, Rooms


class Held(Opened):
    """Has the shape of an opened object; what is small, and most ranges, are handed out so.

    ``sealed`` begins at the part's header, or at the first segment wanted.  ``sealed_size`` is the
    stored length of the whole object, where all of it is wanted: then its trailer follows the part,
    and nothing is handed out before that is proven.  None: a range.
    """

    def __init__(  # nothing is left to be read
        self,
        facts: ObjectFacts,
        key: RecoveredKey,
        span: PartSpan,
        plan: ReadPlan,
        sealed: memoryview,
        sealed_size: int | None,
        rooms: Rooms,
    ) -> None:
        self.facts = facts
        self.start = span.start
        self.stop = span.stop
        self._stored = None
        self._key = key
        self._span = span
        self._plan = plan
        self._sealed = sealed
        self._sealed_size = sealed_size
        self._rooms = rooms

    @override
    def whole(self) -> bytearray:
        key = self._key
        plain, rest = open_held(key.data_key, self._span, self._plan, self._sealed, self._rooms)
        if self._sealed_size is not None:
            open_trailer(
                bytes(rest),
                key.data_key,
                sealed_size=self._sealed_size,
                object_id=key.envelope.object_id,
                multipart=False,
                part_header=key.envelope.part_header,
            )
        return plain

    @override
    def _pieces(self, room: Room) -> Iterator[memoryview]:
        del room
        yield memoryview(self.whole())
