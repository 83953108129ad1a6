"""From a source through seal or open to a sink, segment by segment, in two buffers used again.

Blocking by design: it runs in a pump thread over sockets and files, or on the loop over bytes that
are in memory already.  The last segment of a part is sealed only after its source has ended well,
and the last plaintext of a full read is handed out only after the trailer has been checked.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from hyok.envelope.layout import HEADER_BYTES, HYOK1, LAYOUT, TAG_BYTES
from hyok.envelope.parts import PartOpener, PartSealer, part_id
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hyok.envelope.keys import DataKey
    from hyok.envelope.layout import ReadPlan
    from hyok.vocabulary import Sink, Source

ROOMS_MAX = 8
"""How many pairs of buffers wait for the next stream; more are given back to the system."""


class Room:
    """Two segment buffers: one for plaintext, one for ciphertext."""

    __slots__ = ("plain", "sealed")

    def __init__(self) -> None:
        self.plain = memoryview(bytearray(HYOK1.segment_plain_bytes))
        self.sealed = memoryview(bytearray(HYOK1.segment_bytes))


class Rooms:
    """A small stock of `Room`: first-touch page faults are dearer than the cipher."""

    def __init__(self) -> None:
        self._free: list[Room] = []
        self._lock = Lock()

    def take(self) -> Room:
        """Return a room nobody else uses."""
        with self._lock:
            return self._free.pop() if self._free else Room()

    def give(self, room: Room) -> None:
        """Take a room back."""
        with self._lock:
            if len(self._free) < ROOMS_MAX:
                self._free.append(room)


def read_full(source: Source, view: memoryview) -> int:
    """Fill ``view`` from ``source``; return less only when the source ended."""
    filled = 0
    while filled < len(view):
        count = source.read_into(view[filled:])
        if not count:
            break
        filled += count
    return filled


def seal_part(
    data_key: DataKey,
    number: int,
    header: bytes,
    source: Source,
    size: int,
    sink: Sink,
    room: Room,
) -> None:
    """Pump one part of ``size`` plaintext bytes.  If ``source`` fails, no last segment exists.

    Raises:
        Malformed: the source ended early or holds more (reason ``IncompleteBody``); or whatever the
            source raises when a proof fails.
    """
    sealer = PartSealer(data_key, HYOK1, number, header)
    sink.write(memoryview(header))
    left = size
    index = 0
    while True:
        take = min(left, sealer.segment_plain_bytes(index))
        view = room.plain[:take]
        if read_full(source, view) != take:
            raise Malformed("The body ended before its declared length.", reason="IncompleteBody")
        left -= take
        last = left == 0
        if last and source.read_into(memoryview(bytearray(1))):
            raise Malformed("The body is longer than declared.", reason="IncompleteBody")
        count = sealer.seal_into(view, room.sealed, last=last)
        sink.write(room.sealed[:count])
        if last:
            return
        index += 1


def seal_held(
    data_key: DataKey, number: int, header: bytes, plain: memoryview, out: memoryview
) -> int:
    """Seal a part that is held whole, straight into the front of ``out``; return its length."""
    sealer = PartSealer(data_key, HYOK1, number, header)
    out[:HEADER_BYTES] = header
    at, taken, index = HEADER_BYTES, 0, 0
    while True:
        stop = min(len(plain), taken + sealer.segment_plain_bytes(index))
        last = stop == len(plain)
        at += sealer.seal_into(plain[taken:stop], out[at:], last=last)
        if last:
            return at
        taken = stop
        index += 1


class PartSpan(NamedTuple):
    """Which plaintext of one part to open: ``[start, stop)`` of the part."""

    number: int
    header: bytes  # 40 bytes, of the envelope
    plain_size: int
    start: int
    stop: int
    from_header: bool  # the source stands at the part's header, else at the first segment wanted
    part_id: bytes = b""  # multipart: what the header must hash to, when ``header`` is empty


class Cut:
    """A `Source` that ends after ``limit`` bytes of another; too few is a cut store answer."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._left = limit

    def read_into(self, buffer: memoryview) -> int:
        if not self._left:
            return 0
        count = self._source.read_into(buffer[: self._left])
        self._left -= count
        return count


class Chain:
    """A `Source` of several, one after the other; the later ones are opened when needed."""

    __slots__ = ("_sources",)

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)

    def read_into(self, buffer: memoryview) -> int:
        while self._sources:
            count = self._sources[0].read_into(buffer)
            if count:
                return count
            self._sources.pop(0)
        return 0


def opened(
    data_key: DataKey,
    spans: Sequence[PartSpan],
    source: Source,
    room: Room,
    prove: Callable[[], None],
) -> Iterator[memoryview]:
    """Yield the verified plaintext of the spans in order, in views of one buffer used again.

    The last piece waits until ``prove`` has returned: it reads what still has to be checked.

    Raises:
        Tampered: a header, a length or a tag is wrong.
    """
    for position, span in enumerate(spans):
        last = position == len(spans) - 1
        yield from _opened_span(data_key, span, source, room, prove if last else None)


def _opened_span(
    data_key: DataKey,
    span: PartSpan,
    source: Source,
    room: Room,
    prove: Callable[[], None] | None,
) -> Iterator[memoryview]:
    header = span.header
    if span.from_header:
        header = _read_header(source, span)
    opener = PartOpener(data_key, HYOK1, span.number, header, span.plain_size)
    plan = LAYOUT.plan_part(span.plain_size, span.start, span.stop)
    skip, left = plan.skip, plan.take
    for index in range(plan.first_segment, plan.last_segment + 1):
        start, stop = opener.sealed_span(index)
        sealed = room.sealed[: stop - start]
        if read_full(source, sealed) != len(sealed):
            raise _short()
        count = opener.open_into(index, sealed, room.plain)
        take = min(left, count - skip)
        if index == plan.last_segment and prove is not None:
            prove()
        if take:
            yield room.plain[skip : skip + take]
        left -= take
        skip = 0


def _read_header(source: Source, span: PartSpan) -> bytes:
    seen = bytearray(HEADER_BYTES)
    if read_full(source, memoryview(seen)) != HEADER_BYTES:
        raise _short()
    check_part_header(bytes(seen), span)
    return bytes(seen)


def check_part_header(header: bytes, span: PartSpan) -> None:
    """Return quietly if ``header`` is the one that was sealed.

    Raises:
        Tampered: it is another one.
    """
    genuine = part_id(header) == span.part_id if span.part_id else header == span.header
    if not genuine:
        raise Tampered("a part's header is not the one that was sealed")


def open_held(
    data_key: DataKey, span: PartSpan, plan: ReadPlan, sealed: memoryview, rooms: Rooms
) -> tuple[bytearray, memoryview]:
    """Return the plaintext of a span whose stored bytes are all held, and what follows them.

    A segment that is wanted whole is opened where its plaintext will stand.

    Raises:
        Tampered: the header, the length or a tag is wrong; nothing of it may be used.
    """
    if span.from_header:
        if len(sealed) < HEADER_BYTES:
            raise _short()
        check_part_header(bytes(sealed[:HEADER_BYTES]), span)
        sealed = sealed[HEADER_BYTES:]
    opener = PartOpener(data_key, HYOK1, span.number, span.header, span.plain_size)
    held = bytearray(plan.take)
    out = memoryview(held)
    skip = plan.skip
    for index in range(plan.first_segment, plan.last_segment + 1):
        start, stop = opener.sealed_span(index)
        if len(sealed) < stop - start:
            raise _short()
        segment, sealed = sealed[: stop - start], sealed[stop - start :]
        plain_size = len(segment) - TAG_BYTES
        if not skip and plain_size <= len(out):
            opener.open_into(index, segment, out)
            out = out[plain_size:]
            continue
        room = rooms.take()
        try:
            opener.open_into(index, segment, room.plain)
            take = min(len(out), plain_size - skip)
            out[:take] = room.plain[skip : skip + take]
        finally:
            rooms.give(room)
        out = out[take:]
        skip = 0
    return held, sealed


def _short() -> Tampered:
    return Tampered("the stored object is shorter than it should be")


class Pieces:
    """A `Source` over what `opened` yields, for plaintext that is sealed again (a copy)."""

    __slots__ = ("_pieces", "_view")

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._view = memoryview(b"")

    def read_into(self, buffer: memoryview) -> int:
        while not self._view:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._view = piece
        count = min(len(buffer), len(self._view))
        buffer[:count] = self._view[:count]
        self._view = self._view[count:]
        return count
