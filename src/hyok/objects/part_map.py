"""PartMap: where the plaintext of an object of known parts stands among its sealed bytes.  Pure."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING

from hyok.envelope.layout import HEADER_BYTES, HYOK1, LAYOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class PartMap:
    """The parts of one object, by the plaintext bytes of each."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self._plain = [0, *accumulate(sizes)]
        self._sealed = [0, *accumulate(map(LAYOUT.part_sealed_size, sizes))]

    @property
    def size(self) -> int:
        """The plaintext bytes of all parts."""
        return self._plain[-1]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Return the sealed bytes of the segments that hold plaintext ``[start, stop)``.

        ``stop`` may lie behind the object's end, ``start`` may not.
        """
        first = next(self._segments(start))
        last = next(self._segments(max(start, min(stop, self.size) - 1)))
        return first[0], last[1]

    def segments(self, start: int, count: int) -> list[tuple[int, int]]:
        """Return the sealed bytes of ``count`` segments from that of a plaintext byte on.

        Fewer at the object's end.  The header of a part belongs to its first segment.
        """
        return list(islice(self._segments(start), count))

    def _segments(self, start: int) -> Iterator[tuple[int, int]]:
        part = min(bisect_right(self._plain, start) - 1, len(self._sizes) - 1)
        quantum, length = HYOK1.segment_plain_bytes, HYOK1.segment_bytes
        index = (start - self._plain[part] + HEADER_BYTES) // quantum
        for number in range(part, len(self._sizes)):
            at, size = self._sealed[number], self._sealed[number + 1] - self._sealed[number]
            for position in range(index * length, size, length):
                yield at + position, at + min(position + length, size)
            index = 0
