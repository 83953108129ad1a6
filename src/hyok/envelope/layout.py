"""Lengths and offsets of a sealed object: arithmetic only, no keys and no bytes.

A sealed object is one or more parts and a trailer.  Its stored length is a function of the
plaintext length alone, so a listing shows true sizes without asking for anything else.  The
trailer's padding takes up what a given cut into parts leaves over.

Source: docs/format.md, sections 2, 4, 5 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TAG_BYTES = 16
HEADER_BYTES = 40
ENTRY_BYTES = 32
FIXED_BYTES = 168  # trailer salt 16, tail record 120, tag 16, footer 16
_LEAST_BYTES = HEADER_BYTES + ENTRY_BYTES + TAG_BYTES + FIXED_BYTES  # of an empty object
PARTS_MAX = 10_000
PLAIN_BYTES_MAX = 1 << 62
"""The longest object that has a defined length."""

TRAILER_BYTES_PER_PART_MAX = 91
"""What one possible part adds to a trailer at most.

Room for its entry (32); where there are fewer parts, padding for the header (40) and the tag (16)
that it would have had; and the header's share of further tags, ``16 * 40 / Q``, which is below 3
in both suites.
"""


@dataclass(frozen=True, slots=True)
class Suite:
    """The numbers that tell one family of sealed objects from another."""

    id: int
    segment_bytes: int  # of a sealed segment, its tag included
    min_part_bytes: int  # of plaintext, in every part but the last

    @property
    def segment_plain_bytes(self) -> int:
        """How much plaintext a full segment carries, except the first one of a part."""
        return self.segment_bytes - TAG_BYTES


HYOK1 = Suite(id=0x01, segment_bytes=262_144, min_part_bytes=5_242_880)
HYOK1_TEST = Suite(id=0x7F, segment_bytes=256, min_part_bytes=1_024)
"""For vectors and tests only: small enough to walk every byte.  Readers refuse it by default."""

PRODUCTION_SUITES: Mapping[int, Suite] = {HYOK1.id: HYOK1}
"""What a reader accepts unless a test tells it otherwise."""


class ReadPlan(NamedTuple):
    """Which sealed bytes of a part to read, and which bytes of their plaintext to keep.

    Both offsets are relative to the part, and the header is never among them.  Open segments
    ``first_segment`` to ``last_segment`` (inclusive), drop ``skip`` bytes of the plaintext, keep
    ``take``.
    """

    first_segment: int
    last_segment: int
    sealed_start: int
    sealed_stop: int
    skip: int
    take: int


class Layout:
    """Every length and offset of the objects of one suite."""

    __slots__ = (
        "_estimate_divisor",
        "_min_part",
        "_one_segment_stop",
        "_q",
        "_segment",
        "segment_plain_bytes",
        "suite",
    )

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self._segment = suite.segment_bytes
        self._q = self.segment_plain_bytes = suite.segment_plain_bytes
        self._min_part = suite.min_part_bytes
        # An object of one segment is less than Q with its header, and less than a second part.
        self._one_segment_stop = _LEAST_BYTES + min(self._q - HEADER_BYTES, self._min_part)
        # What one more part of the least length adds to the sealed size, times Q: see
        # `object_plain_size`.
        self._estimate_divisor = (self._min_part + 88) * self._q + TAG_BYTES * (
            self._min_part + HEADER_BYTES
        )

    def segment_count(self, part_plain_size: int) -> int:
        """Return how many segments hold ``part_plain_size`` bytes; at least one.

        The header takes room in the first segment, so that segment borders stand at multiples of
        the segment length.
        """
        return max(1, -(-(part_plain_size + HEADER_BYTES) // self._q))

    def part_sealed_size(self, part_plain_size: int) -> int:
        """Return the sealed length of a part, header included."""
        count = max(1, -(-(part_plain_size + HEADER_BYTES) // self._q))
        return HEADER_BYTES + part_plain_size + TAG_BYTES * count

    def part_plain_size(self, part_sealed_size: int) -> int:
        """Return the plaintext length of a part that is ``part_sealed_size`` bytes long.

        Raises:
            Malformed: no part has this length.
        """
        count = max(1, -(-part_sealed_size // self._segment))
        plain = part_sealed_size - HEADER_BYTES - TAG_BYTES * count
        if plain < 0 or self.part_sealed_size(plain) != part_sealed_size:
            raise Malformed(f"no sealed part is {part_sealed_size} bytes long")
        return plain

    def parts_max(self, plain_size: int) -> int:
        """Return the largest number of parts an object of ``plain_size`` bytes can have."""
        return min(PARTS_MAX, plain_size // self._min_part + 1)

    def object_sealed_size(self, plain_size: int) -> int:
        """Return the bytes that the store will hold for ``plain_size`` bytes of plaintext.

        Raises:
            Malformed: the length is negative or beyond `PLAIN_BYTES_MAX`.
        """
        if not 0 <= plain_size <= PLAIN_BYTES_MAX:
            raise Malformed(f"no object is {plain_size} bytes long", reason="EntityTooLarge")
        return self._sealed_size(plain_size, self.parts_max(plain_size))

    def _sealed_size(self, plain: int, parts: int) -> int:
        tags = (plain + HEADER_BYTES * parts) // self._q + parts
        return plain + TAG_BYTES * tags + (HEADER_BYTES + ENTRY_BYTES) * parts + FIXED_BYTES

    def object_plain_size(self, sealed_size: int) -> int:
        """Return the plaintext length of an object that is ``sealed_size`` bytes long.

        Direct arithmetic, since a listing asks a thousand times.  With ``n`` the largest number
        of parts, ``X = P + 40 n`` and ``C' = C - 48 n - 168 = X + 16 floor(X / Q)``; so a
        division of ``C'`` by the segment length gives ``X``, and a remainder of Q or more shows
        that no object has this length.  ``n`` itself comes from the slope of the sealed size
        over whole parts.  The tags' rounding can make it one too large only in the last 16 bytes
        before the next border, and the 88 bytes there are the length of no object.

        Raises:
            Malformed: no object has this length, so it was cut or padded, or is none of ours.
        """
        if _LEAST_BYTES <= sealed_size < self._one_segment_stop:  # as most are
            return sealed_size - _LEAST_BYTES
        q = self._q
        beyond_fixed = sealed_size - FIXED_BYTES
        parts = ((beyond_fixed + self._min_part + TAG_BYTES) * q + TAG_BYTES * self._min_part) // (
            self._estimate_divisor
        )
        parts = 1 if parts < 1 else min(parts, PARTS_MAX)
        full, rest = divmod(beyond_fixed - (TAG_BYTES + ENTRY_BYTES) * parts, self._segment)
        plain = full * q + rest - HEADER_BYTES * parts
        if (
            rest >= q
            or not 0 <= plain <= PLAIN_BYTES_MAX
            or min(PARTS_MAX, plain // self._min_part + 1) != parts
        ):
            raise Malformed(f"no sealed object is {sealed_size} bytes long")
        return plain

    def trailer_size(self, plain_size: int, part_sizes: Iterable[int]) -> int:
        """Return the length of the trailer behind parts of these plaintext lengths."""
        return self.object_sealed_size(plain_size) - sum(map(self.part_sealed_size, part_sizes))

    def trailer_bounds(self, plain_size: int, part_count: int) -> tuple[int, int]:
        """Return the least and the greatest trailer length that a footer may claim."""
        return (
            FIXED_BYTES + ENTRY_BYTES * part_count,
            FIXED_BYTES + TRAILER_BYTES_PER_PART_MAX * self.parts_max(plain_size),
        )

    def segment_span(self, part_plain_size: int, index: int) -> tuple[int, int]:
        """Return where segment ``index`` stands in its part: ``(start, stop)``."""
        return (
            index * self._segment if index else HEADER_BYTES,
            min((index + 1) * self._segment, self.part_sealed_size(part_plain_size)),
        )

    def plan_part(self, part_plain_size: int, start: int, stop: int) -> ReadPlan:
        """Return what to read for the plaintext bytes ``[start, stop)`` of a part.

        An empty range still names one segment, so that an empty part can be checked.
        """
        assert 0 <= start <= stop <= part_plain_size, "the range lies outside the part"
        count = max(1, -(-(part_plain_size + HEADER_BYTES) // self._q))
        first = min((start + HEADER_BYTES) // self._q, count - 1)
        last = max(first, (stop - 1 + HEADER_BYTES) // self._q)
        end = HEADER_BYTES + part_plain_size + TAG_BYTES * count
        return ReadPlan(
            first_segment=first,
            last_segment=last,
            sealed_start=first * self._segment or HEADER_BYTES,
            sealed_stop=min((last + 1) * self._segment, end),
            skip=start - max(0, first * self._q - HEADER_BYTES),
            take=stop - start,
        )


LAYOUT = Layout(HYOK1)
_LAYOUTS = {suite.id: Layout(suite) for suite in (HYOK1, HYOK1_TEST)}


def layout_of(suite: Suite) -> Layout:
    """Return the lengths of a suite."""
    known = _LAYOUTS[suite.id]
    return known if known.suite is suite else Layout(suite)
