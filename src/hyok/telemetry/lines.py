"""Find the lines of a log that mention something: newest first, in bounded memory, by time.

A log is a file of JSON lines in the order of their time, give or take what workers wait for each
other, with rotated ones beside it (``name.1``, ``name.2.gz``, ``stem-20261128.jsonl``).  A bound in
time is found by halving the file, so an hour of a year's log costs a few reads.

It knows no field but the one that holds the time, which the caller reads.
"""

from __future__ import annotations

import gzip
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    TimeOf = Callable[[bytes], int | None]
    Tell = Callable[[int], None]

BLOCK_BYTES = 4 << 20
"""Read at once.  Larger ones were no faster on a page cache, smaller ones pay for more calls."""

LINE_BYTES_MAX = 1 << 20
"""A line that is longer is none of ours and may be missed where it crosses two blocks."""

SAMPLE_BYTES = 64 << 10
"""Read for the time at one place: the newest of its lines counts, since a late one may be older."""

SLACK_MS = 60_000
"""Lines may stand this far from the order of their time."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which time to look at, unix milliseconds, both ends included.

    ``near_ms``: once a line was found, older ones are looked for no further back than this.
    """

    since_ms: int = 0
    until_ms: int = 1 << 62
    near_ms: int = 1 << 62


def files_of(path: Path) -> list[Path]:
    """Return the log and its rotated files that are there, the one written last first."""
    numbered, dated = f"{path.name}.", f"{path.stem}-"
    if not path.parent.is_dir():
        return []
    found = [
        one
        for one in path.parent.iterdir()
        if one == path
        or one.name.startswith(numbered)
        or (path.suffix and one.name.startswith(dated) and path.suffix in one.suffixes)
    ]
    found = [one for one in found if one.is_file()]
    rest = [one for one in found if one != path]
    rest.sort(key=lambda one: one.stat().st_mtime_ns, reverse=True)
    return [path, *rest] if path in found else rest


def find_lines(
    files: Sequence[Path],
    wanted: bytes,
    time_of: TimeOf,
    span: Span,
    tell: Tell = lambda _: None,
) -> list[bytes]:
    """Return the lines that hold ``wanted``, oldest first; the rest as for `walk_back`."""
    return list(walk_back(files, (wanted,), time_of, span, tell=tell))[::-1]


def walk_back(
    files: Sequence[Path],
    wanted: Sequence[bytes],
    time_of: TimeOf,
    span: Span,
    *,
    keep: Callable[[bytes], bool] = lambda _: True,
    packed_max: int | None = None,
    tell: Tell = lambda _: None,
) -> Iterator[bytes]:
    """Yield the lines that hold all of ``wanted``, newest first, without their line feeds.

    Args:
        files: newest first, as `files_of` returns them.
        wanted: bytes that stand in a line, each of them.
        time_of: reads a line's time in unix milliseconds; None where it has none.
        span: which time to look at.
        keep: looks at a line that holds them.
        packed_max: how many lines of a packed file to keep, its newest; None: all.
        tell: called with the bytes read so far.

    Raises:
        Unavailable: a file cannot be read.
    """
    search = _Search(wanted, time_of, span, keep, tell)
    for path in files:
        try:
            if path.stat().st_mtime_ns // 1_000_000 < search.floor_ms - SLACK_MS:
                continue  # nothing was written to it since
            yield from (
                search.packed(path, packed_max) if path.suffix == ".gz" else search.plain(path)
            )
        except (OSError, EOFError) as error:
            raise Unavailable(
                f"the log {path} cannot be read: {error}",
                code="HY-5104",
                next_step="run as the service's user, or as root",
            ) from error


class _Search:
    """One search through several files; `floor_ms` rises once something was found."""

    def __init__(
        self,
        wanted: Sequence[bytes],
        time_of: TimeOf,
        span: Span,
        keep: Callable[[bytes], bool],
        tell: Tell,
    ) -> None:
        self._wanted = wanted
        self._time_of = time_of
        self._span = span
        self._keep = keep
        self._tell = tell
        self._read = 0
        self._oldest_ms = 1 << 62
        self.floor_ms = span.since_ms

    def plain(self, path: Path) -> Iterator[bytes]:
        """Search from the end to where the time is too old."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            stop = size
            if self._span.until_ms < 1 << 62:
                stop = self._after(descriptor, size, self._span.until_ms + SLACK_MS)
            for block in self._backwards(descriptor, stop):
                if all(each in block for each in self._wanted):
                    yield from filter(self._fits, reversed(block.split(b"\n")))
                floor = self.floor_ms - SLACK_MS
                if floor > 0 and self._newest(block[-SAMPLE_BYTES:]) < floor:
                    return
        finally:
            os.close(descriptor)

    def packed(self, path: Path, packed_max: int | None) -> Iterator[bytes]:
        """Search from the beginning: there is no other way."""
        with gzip.open(path, "rb") as lines:
            found = deque(filter(self._fits, (line.rstrip(b"\n") for line in lines)), packed_max)
        yield from reversed(found)

    def _fits(self, line: bytes) -> bool:
        if not line or not all(each in line for each in self._wanted):
            return False
        at = self._time_of(line)
        if at is None or not self._span.since_ms <= at <= self._span.until_ms:
            return False
        if not self._keep(line):
            return False
        self._oldest_ms = min(self._oldest_ms, at)
        self.floor_ms = max(self._span.since_ms, self._oldest_ms - self._span.near_ms)
        return True

    def _backwards(self, descriptor: int, stop: int) -> Iterator[bytes]:
        """Yield blocks of whole lines, the last one first."""
        rest = b""
        while stop:
            start = max(0, stop - BLOCK_BYTES)
            block = os.pread(descriptor, stop - start, start) + rest
            self._read += stop - start
            self._tell(self._read)
            # Without a line feed all of it belongs to a line that begins further up.
            first = block.find(b"\n") + 1 or len(block)
            cut = first if start else 0
            rest = block[:cut][:LINE_BYTES_MAX]
            yield block[cut:]
            stop = start

    def _after(self, descriptor: int, size: int, at_ms: int) -> int:
        """Return an offset behind which every line is younger than ``at_ms``."""
        low, high = 0, size
        while high - low > SAMPLE_BYTES:
            middle = (low + high) // 2
            sample = os.pread(descriptor, SAMPLE_BYTES, middle)
            if self._newest(sample.partition(b"\n")[2]) > at_ms:
                high = middle
            else:
                low = middle
        return min(size, high + SAMPLE_BYTES)

    def _newest(self, block: bytes) -> int:
        times = (self._time_of(line) for line in block.split(b"\n"))
        return max((at for at in times if at is not None), default=0)
