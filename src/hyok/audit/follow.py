"""LogFollower: the records of a log after a place in it, across rotation, once they will stay.

The writer cuts a torn end off, takes back a batch that the disk refused, and puts batched records
on disk within half a second.  So a record is given out only when it has stood in the file for
`SETTLE_SECONDS`: what was exported is never another record later.

Each batch begins with the record after the one that was exported last, and that one must still be
what it was.  A log that was exchanged or shortened is told, and nothing is passed over.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.audit.file import find_ending, parse_line
from hyok.audit.segments import LINE_BYTES_MAX, segments_of, seq_of, whole_lines
from hyok.errors import NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import IO

    from hyok.audit.segments import Segment

SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Behind which record an export stands.

    ``first`` is the number of the first record of the file in which it is, ``offset`` where its
    line ends there, ``sha256`` that of the line without its line feed.
    """

    seq: int = 0
    first: int = 0
    offset: int = 0
    sha256: str = ""
    at_ms: int = 0  # the record's time


@dataclass(frozen=True, slots=True)
class Entry:
    """One record, as the log has it, and the place behind it."""

    place: Place
    line: bytes  # without its line feed
    fields: dict[str, object]


class LogFollower:
    """Reads the log at ``log``.  Blocking; one thread.

    Raises, from `read`:
        Tampered: the log does not go on where it was left (HY-5110).
        OSError: it cannot be read.
    """

    def __init__(self, log: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._segment: Segment | None = None
        self._file: IO[bytes] | None = None
        self._checked = Place()
        self._sizes: deque[tuple[float, int]] = deque()

    def read(self, place: Place, records_max: int) -> Sequence[Entry]:
        """Return the records after ``place``, some of them or none."""
        segment = self._at(place)
        if segment is None:
            return ()
        offset = place.offset if segment.first == place.first else 0
        stop = self._settled() if segment.path == self._log else None
        entries = self._take(segment, place, offset, stop, records_max)
        if not entries and stop is None:
            # A file that was rotated away is read to its end: the next one follows.
            self.close()
            entries = self._next(place, records_max)
        return entries

    def _next(self, place: Place, records_max: int) -> Sequence[Entry]:
        following = [each for each in _segments(self._log) if each.first > place.seq]
        if not following:
            return ()
        if following[0].first != place.seq + 1:
            raise _broken(place.seq + 1, f"the next record that is there is {following[0].first}")
        self._open(following[0])
        stop = self._settled() if following[0].path == self._log else None
        return self._take(following[0], place, 0, stop, records_max)

    def _at(self, place: Place) -> Segment | None:
        """Return the open segment in which ``place`` is, or which follows it; None: no log yet."""
        segment = self._segment
        if segment is not None and place == self._checked and self._is_current(segment):
            return segment
        self.close()
        segments = _segments(self._log)
        if not segments:
            if place.seq:
                raise _broken(place.seq, "there are no records")
            return None
        if not place.seq:
            self._open(segments[0])
            return segments[0]
        holding = [each for each in segments if each.first == place.first]
        if holding:
            # While it is packed the same file is there twice, and the packed one is not whole yet.
            found = min(holding, key=lambda each: each.path.suffix == ".gz")
            self._open(found)
            self._check(place)
            self._checked = place
            return found
        following = [each for each in segments if each.first == place.seq + 1]
        if not following:
            raise _broken(place.seq, "neither its file nor the one after it is there")
        self._open(following[0])
        return following[0]

    def _is_current(self, segment: Segment) -> bool:
        """Is the open file still the one of that name?  Rotation gives it another."""
        assert self._file is not None
        try:
            return segment.path.stat().st_ino == os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _open(self, segment: Segment) -> None:
        self._segment, self._file = segment, segment.open()
        self._sizes.clear()

    def _check(self, place: Place) -> None:
        """Return quietly if the record before ``place`` is the one that was exported."""
        assert self._file is not None
        start = max(0, place.offset - LINE_BYTES_MAX - 1)
        self._file.seek(start)
        before = self._file.read(place.offset - start)
        line = before[:-1].rpartition(b"\n")[2]
        if before[-1:] != b"\n" or hashlib.sha256(line).hexdigest() != place.sha256:
            raise _broken(place.seq, "it is not the one that was exported")

    def _settled(self) -> int:
        """Return how many bytes of the log's own file have stood there long enough."""
        assert self._file is not None
        now = self._clock()
        size = self._log.stat().st_size
        while self._sizes and self._sizes[-1][1] > size:
            self._sizes.pop()  # the writer took bytes back
        if not self._sizes or self._sizes[-1][1] < size:
            self._sizes.append((now, size))
        while len(self._sizes) > 1 and now - self._sizes[1][0] >= SETTLE_SECONDS:
            self._sizes.popleft()
        since, settled = self._sizes[0]
        return settled if now - since >= SETTLE_SECONDS else 0

    def _take(
        self, segment: Segment, place: Place, offset: int, stop: int | None, records_max: int
    ) -> Sequence[Entry]:
        assert self._file is not None
        self._file.seek(offset)
        entries: list[Entry] = []
        seq = place.seq or segment.first - 1
        while len(entries) < records_max:
            line = self._file.readline(LINE_BYTES_MAX)
            offset += len(line)
            if not line.endswith(b"\n") or (stop is not None and offset > stop):
                break
            fields = parse_line(line)
            if fields is None or seq_of(line) != seq + 1:
                raise _broken(seq + 1, f"a line there has the number {seq_of(line)}")
            seq += 1
            entries.append(Entry(_place(segment, offset, line[:-1], fields), line[:-1], fields))
        self._checked = entries[-1].place if entries else self._checked
        return entries

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._segment = self._file = None


def last_place(log: Path) -> Place:
    """Return the place behind the newest record that is there now."""
    segments = _segments(log)
    if not segments:
        return Place()
    newest = segments[-1]
    offset, last = 0, b""
    with newest.open() as file:
        if newest.path == log:
            offset = find_ending(file.fileno()).good_bytes
            start = max(0, offset - LINE_BYTES_MAX - 1)
            file.seek(start)
            last = file.read(offset - start)[:-1].rpartition(b"\n")[2]
        else:
            for line in whole_lines(newest):
                offset, last = offset + len(line) + 1, line
    return _place(newest, offset, last, parse_line(last + b"\n") or {})


def _place(segment: Segment, offset: int, line: bytes, fields: Mapping[str, object]) -> Place:
    at = fields.get("at_ms")
    return Place(
        seq_of(line),
        segment.first,
        offset,
        hashlib.sha256(line).hexdigest(),
        at if isinstance(at, int) else 0,
    )


def _segments(log: Path) -> Sequence[Segment]:
    try:
        return segments_of(log)
    except NotFound:
        return ()


def _broken(seq: int, said: str) -> Tampered:
    return Tampered(
        f"the audit log does not go on at record {seq}: {said}",
        code="HY-5110",
        effect="Nothing is exported until somebody looked into it.",
        next_step="docs/audit-export.md, 'When an export stops'",
    )
