"""The files that hold one log, in the order of their records, and their lines.

A log is the file that is written and those rotated away while no writer ran (``name.1``,
``name.2.gz``, ``stem-20261128.jsonl``).  Their order is that of the sequence numbers in them.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from hyok.errors import NotFound, Tampered
from hyok.telemetry.lines import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LINE_BYTES_MAX = 64 << 10
"""More than any record has: a file without line feeds must not be taken into memory."""

BLOCK_BYTES = 256 << 10
_SEQ = re.compile(rb'"seq":(\d{1,18})[,}]').search


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a log; ``first`` is the sequence number of its first record."""

    path: Path
    first: int

    def open(self) -> IO[bytes]:
        """Return it open for reading, unpacked where it is packed."""
        return open_log(self.path)


def open_log(path: Path) -> IO[bytes]:
    """Return a file of a log, open for reading."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def seq_of(line: bytes) -> int:
    """Return the sequence number in a line; 0 where it has none."""
    # Not parsed as JSON: a quotation mark inside a text has a backslash before it.
    found = _SEQ(line)
    return int(found[1]) if found else 0


def segments_of(path: Path) -> Sequence[Segment]:
    """Return the files of the log at ``path`` that hold records, oldest first.

    Raises:
        NotFound: there is no log.
    """
    found = []
    files = files_of(path)
    if not files:
        raise NotFound(f"there is no audit log at {path}", code="HY-5103")
    for each in files:
        with open_log(each) as file:
            line = file.readline(LINE_BYTES_MAX)
        if line.endswith(b"\n") and (first := seq_of(line)):
            found.append(Segment(each, first))
    return sorted(found, key=lambda segment: segment.first)


def last_seq(path: Path) -> int:
    """Return the number of the newest record in files rotated away from ``path``; 0: none."""
    last = 0
    for segment in segments_of(path):
        if segment.path != path:
            last = segment.first
            for line in whole_lines(segment):
                last = seq_of(line) or last
    return last


def whole_lines(segment: Segment) -> Iterator[bytes]:
    """Yield the lines of a segment without their line feeds; a torn last one is left out."""
    with segment.open() as file:
        while line := file.readline(LINE_BYTES_MAX):
            if not line.endswith(b"\n"):
                if len(line) == LINE_BYTES_MAX:
                    raise Tampered(
                        f"{segment.path} has a line longer than any record", code="HY-5105"
                    )
                return
            yield line[:-1]
