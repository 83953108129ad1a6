"""The first read of an object: what the store says of it, and the sealed bytes wanted, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyok.backends.port import WHOLE, Span
from hyok.envelope.layout import HEADER_BYTES, HYOK1
from hyok.errors import Malformed
from hyok.objects.part_map import PartMap
from hyok.objects.read_ahead import SEGMENTS_MAX, Segment
from hyok.objects.reading import FIRST_READ_BYTES
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.port import Stored
    from hyok.objects.known_parts import KnownParts
    from hyok.objects.opened import Opened
    from hyok.objects.places import Place
    from hyok.objects.read_ahead import ReadAhead, Stream
    from hyok.s3.ranges import Asked
    from hyok.vocabulary import Ask

RANGE_READ_BYTES = FIRST_READ_BYTES + 2 * HYOK1.segment_bytes
"""A range that is held whole touches a segment more than it fills on each side."""


class FirstRead(NamedTuple):
    """What the store told, and sealed bytes from ``at`` on."""

    stored: Stored
    sealed: bytes = b""
    at: int = 0
    goes_on: bool = False  # a range that begins where another ended
    ahead: Sequence[Segment] = ()  # what was read ahead of it, also behind its end


class FirstReader:
    """Reads what a range alone points at, or what was read ahead of it."""

    def __init__(self, parts: KnownParts, ahead: ReadAhead) -> None:
        self._parts = parts
        self._ahead = ahead

    async def read(
        self, ask: Ask, place: Place, asked: Asked | None, part_number: int | None, version_id: str
    ) -> FirstRead:
        """Ask the store once.

        Offsets of a single-part object follow from the client's range (format.md §8), those of a
        multipart one from the parts that it had when it was last read; where that turns out wrong
        they are read again.
        """
        if part_number is not None or (asked and (asked.suffix is not None or asked.last is None)):
            return FirstRead(await place.store.head(place.bucket, place.name, version_id))
        if asked is None or asked.last is None:
            return await self._read(place, Span(0, FIRST_READ_BYTES), version_id)
        span = self._span(place, asked.first, asked.last + 1)
        begin = (ask.principal.id, *place, version_id, asked.first)
        goes_on, stream = self._ahead.take(begin)
        if stream is not None:
            read = await self._read_behind(place, span, version_id, stream)
            if read is not None:
                return read
        return await self._read(place, span, version_id, goes_on=goes_on)

    def _span(self, place: Place, start: int, stop: int) -> Span:
        known = self._parts.map_of(place) if self._parts.entries else None
        if known is not None and start < known.size:
            sealed_start, sealed_stop = known.span(start, stop)
        else:
            quantum = HYOK1.segment_plain_bytes
            sealed_start = (start + HEADER_BYTES) // quantum * HYOK1.segment_bytes
            sealed_stop = ((stop - 1 + HEADER_BYTES) // quantum + 1) * HYOK1.segment_bytes
        return Span(sealed_start, min(sealed_stop, sealed_start + RANGE_READ_BYTES))

    async def _read(
        self, place: Place, span: Span, version_id: str, *, goes_on: bool = False
    ) -> FirstRead:
        try:
            stored, sealed = await place.store.read_whole(
                place.bucket, place.name, span if span.stop else WHOLE, version_id=version_id
            )
        except Malformed as error:
            if error.reason != "InvalidRange":
                raise
            found = await place.store.head(place.bucket, place.name, version_id)
            return FirstRead(found, goes_on=goes_on)
        return FirstRead(stored, sealed, span.start, goes_on)

    async def _read_behind(
        self, place: Place, span: Span, version_id: str, stream: Stream
    ) -> FirstRead | None:
        """Ask whether the version still stands, and for what is wanted behind what was read of it.

        None: it does not, or what was read ahead does not begin this range; then nothing of it is
        of use.
        """
        planned = stream.segments
        assert span.stop is not None
        if planned[0].start != span.start:
            stream.stop()
            return None
        behind = min(planned[-1].stop, stream.stored.size)
        rest = b""
        if behind < min(span.stop, stream.stored.size):
            read = await self._read(place, Span(behind, span.stop), version_id)
            stored, rest = read.stored, read.sealed
        else:
            stored = await place.store.head(place.bucket, place.name, version_id)
        if not stream.is_of(stored):
            stream.stop()
            return None
        held = await stream.sealed(span.stop)
        if not held or (rest and len(held) < len(planned)):
            return None
        sealed = held[0] if len(held) == 1 and not rest else b"".join([*held, rest])
        return FirstRead(stored, sealed, span.start, goes_on=True, ahead=planned)

    def follow(
        self,
        ask: Ask,
        place: Place,
        asked: Asked | None,
        version_id: str,
        read: FirstRead,
        opened: Opened,
    ) -> None:
        """Remember where a range ended; of one that went on, hold and fetch what comes next."""
        if asked is None or asked.last is None or opened.stop >= opened.facts.size:
            return
        if opened.stop - opened.start > WHOLE_BODY_BYTES_MAX:
            return  # a wait at its front is little of all that it takes
        end = (ask.principal.id, *place, version_id, opened.stop)
        if not read.goes_on:
            self._ahead.ended(end)
            return
        layout = self._layout(place, opened)
        if layout is None:
            self._ahead.ended(end)
            return
        there = {one.start: one for one in read.ahead if one.expected}
        wanted = [
            there.get(start) or Segment(start, stop, _cut(read, start, stop))
            for start, stop in layout.segments(opened.stop, SEGMENTS_MAX)
        ]
        self._ahead.go_on(end, place, read.stored, wanted)

    def _layout(self, place: Place, opened: Opened) -> PartMap | None:
        if not opened.multipart:
            return PartMap((opened.facts.size,))
        known = self._parts.map_of(place)
        return known if known is not None and known.size == opened.facts.size else None


def _cut(read: FirstRead, start: int, stop: int) -> bytes:
    """Return the sealed bytes of a segment if all of them were read; empty if not."""
    if read.at <= start and stop <= read.at + len(read.sealed):
        return read.sealed[start - read.at : stop - read.at]
    return b""
