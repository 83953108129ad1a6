"""ReadAhead: the next sealed segments of an object that is read range after range.

A range that begins where an earlier one of the same caller ended makes a stream.  Of a stream the
segment that the next range begins in and the one behind it are held or on their way.  They are
ciphertext of a version: each range is decided, recorded and opened as if the store had answered it,
and the store is asked each time whether that version still stands.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from hyok.backends.port import Span
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.port import ReadableStore, Stored
    from hyok.objects.places import ReadPlace

SEGMENTS_MAX = 2
"""Of a stream: the one that the next range begins in, and the one behind it."""

STREAMS_MAX = 16
"""Streams that hold bytes, of a worker: 8 MiB.  The one that waited longest makes room."""

ENDS_MAX = 256
"""Ends of ranges that are remembered, no bytes of theirs, to see the next one go on there."""

FETCHES_MAX = 8
"""Requests to stores at once; a stream beyond them goes on without."""

FETCH_SECONDS_MAX = 2.0
"""A range waits no longer for what is on its way; then it asks the store itself."""

HELD_SECONDS_MAX = 10.0

End: TypeAlias = "tuple[str, ReadableStore, str, str, str, int]"
"""Where a range ended and whose it was: the principal's id; store, bucket, name, and the version as
it was asked for; the plaintext byte that the next range would begin with."""


class Segment:
    """The sealed bytes ``[start, stop)`` of a version: there, or on their way, or not to be had."""

    __slots__ = ("fetch", "sealed", "start", "stop")

    def __init__(self, start: int, stop: int, sealed: bytes = b"") -> None:
        self.start = start
        self.stop = stop
        self.sealed = sealed
        self.fetch: asyncio.Task[None] | None = None

    @property
    def there(self) -> bool:
        """Are the bytes in memory?"""
        return len(self.sealed) == self.stop - self.start

    @property
    def expected(self) -> bool:
        """Are they in memory, or on their way?"""
        return self.there or (self.fetch is not None and not self.fetch.done())


class Stream:
    """What is read ahead of one version, from an `End` on."""

    __slots__ = ("segments", "stored", "until")

    def __init__(self, stored: Stored, segments: Sequence[Segment], until: float) -> None:
        self.stored = stored
        self.segments = segments
        self.until = until

    def is_of(self, stored: Stored) -> bool:
        """Is what the store tells now the version that was read?"""
        was = self.stored
        return (was.etag, was.size, was.version_id) == (stored.etag, stored.size, stored.version_id)

    async def sealed(self, stop: int) -> list[bytes]:
        """Return the segments that begin before ``stop``, up to the first that cannot be had."""
        held: list[bytes] = []
        for segment in self.segments:
            if segment.start >= stop:
                break
            if segment.fetch is not None and not segment.there:
                # Its own time-out ends it; and a caller that is cancelled must not.
                await asyncio.wait([segment.fetch])
            if not segment.there:
                break
            held.append(segment.sealed)
        return held

    def stop(self) -> None:
        """Let go of what is still on its way."""
        for segment in self.segments:
            if segment.fetch is not None:
                segment.fetch.cancel()


class ReadAhead:
    """The streams of a worker.  On one loop."""

    def __init__(self) -> None:
        self._ends: OrderedDict[End, None] = OrderedDict()
        self._streams: OrderedDict[End, Stream] = OrderedDict()
        self._fetches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held_bytes(self) -> int:
        """What waits for a next range, or is on its way."""
        return sum(
            segment.stop - segment.start
            for stream in self._streams.values()
            for segment in stream.segments
        )

    def take(self, end: End) -> tuple[bool, Stream | None]:
        """Say whether a range that begins here goes on, and hand out what was read ahead of it."""
        stream = self._streams.pop(end, None)
        if stream is not None:
            return True, stream
        if end in self._ends:
            del self._ends[end]
            return True, None
        return False, None

    def ended(self, end: End) -> None:
        """Remember where a range ended that went on from no other."""
        self._ends[end] = None
        self._ends.move_to_end(end)
        while len(self._ends) > ENDS_MAX:
            self._ends.popitem(last=False)

    def go_on(self, end: End, place: ReadPlace, stored: Stored, wanted: Sequence[Segment]) -> None:
        """Hold ``wanted`` for the next range, and fetch those of them that are not there."""
        missing = [one for one in wanted if not one.there and one.fetch is None]
        if missing and len(self._fetches) >= FETCHES_MAX:
            self.ended(end)
            return
        now = asyncio.get_running_loop().time()
        if missing:
            fetch = asyncio.create_task(self._fetch(end, place, stored, missing))
            self._fetches.add(fetch)
            fetch.add_done_callback(self._fetches.discard)
            for segment in missing:
                segment.fetch = fetch
        old = self._streams.pop(end, None)
        if old is not None:
            old.stop()
        self._streams[end] = Stream(stored, wanted, now + HELD_SECONDS_MAX)
        while len(self._streams) > STREAMS_MAX:
            self._streams.popitem(last=False)[1].stop()
        if self._timer is None:
            self._look_at(now + HELD_SECONDS_MAX)

    async def _fetch(
        self, end: End, place: ReadPlace, stored: Stored, missing: Sequence[Segment]
    ) -> None:
        """Fill adjacent segments.  Whatever goes wrong is for the range itself to find again."""
        start, stop = missing[0].start, missing[-1].stop
        version_id = end[4]
        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                found, sealed = await place.store.read_whole(
                    place.bucket, place.name, Span(start, stop), stored.etag, version_id
                )
        except (HyokError, OSError):
            return
        if found.etag == stored.etag and len(sealed) == stop - start:
            for one in missing:
                whole = len(missing) == 1
                one.sealed = sealed if whole else sealed[one.start - start : one.stop - start]

    def _look_at(self, when: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        """Let go of what nobody came for."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for end in [end for end, stream in self._streams.items() if stream.until <= now]:
            self._streams.pop(end).stop()
        if self._streams:
            self._look_at(min(stream.until for stream in self._streams.values()))

    async def close(self) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ends.clear()
        self._streams.clear()
        fetches = list(self._fetches)
        for fetch in fetches:
            fetch.cancel()
        if fetches:
            await asyncio.wait(fetches)
