"""Find records in the audit log: of one request, or by what stands in them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING

from hyok.audit.file import parse_line
from hyok.errors import NotFound
from hyok.telemetry.lines import Span, files_of, find_lines, walk_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

FOUND_MAX = 1_000

NEAR_MS = 3_600_000
"""How far before a record of a request an older one is looked for, when nothing else says when the
request began."""

_AT = re.compile(rb'"at_ms":(\d{1,15})').search


def find(
    path: Path,
    request_id: str,
    span: Span | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Sequence[Mapping[str, object]]:
    """Return the records of ``request_id``, in order, `FOUND_MAX` at most.

    Reads the log and its rotated files from the end, and only lines that mention the id are parsed.

    Args:
        path: the log.
        request_id: as the client got it.
        span: which time to look at; all of it when left out.
        tell: called with the bytes read so far.

    Raises:
        NotFound: there is no log at ``path``.
        Unavailable: it cannot be read.
    """
    files = files_of(path)
    if not files:
        raise NotFound(f"there is no audit log at {path}", code="HY-5103")
    wanted = f'"{request_id}"'.encode()
    lines = find_lines(files, wanted, time_of, span or Span(near_ms=NEAR_MS), tell)
    parsed = (parse_line(line + b"\n") for line in lines)
    found = [
        fields for fields in parsed if fields is not None and fields.get("request_id") == request_id
    ]
    return found[:FOUND_MAX]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records to find: those with these values.  Empty: any; ``*`` and ``?`` stand for more.

    ``before_seq``: only records before this one.
    """

    actor: str = ""
    action: str = ""
    outcome: str = ""
    bucket_id: str = ""
    object_id: str = ""
    classification: str = ""
    request_id: str = ""
    trace_id: str = ""
    before_seq: int = 1 << 62

    def anchors(self) -> Sequence[bytes]:
        """Return bytes that a canonical line has to hold, one for each value without a pattern."""
        return [
            f'"{name}":{json.dumps(value, ensure_ascii=False)}'.encode()
            for name, value in self._values()
            if not _is_pattern(value)
        ]

    def fits(self, record: Mapping[str, object]) -> bool:
        """Has ``record`` these values?"""
        seq = record.get("seq")
        if not isinstance(seq, int) or seq >= self.before_seq:
            return False
        return all(_fits(value, record.get(name)) for name, value in self._values())

    def _values(self) -> Iterator[tuple[str, str]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value and isinstance(value, str):
                yield field.name, value


def _is_pattern(value: str) -> bool:
    return "*" in value or "?" in value


def _fits(value: str, found: object) -> bool:
    if not isinstance(found, str):
        return False
    return fnmatchcase(found, value.replace("[", "[[]")) if _is_pattern(value) else found == value


def search(
    path: Path,
    wanted: Wanted,
    span: Span,
    limit: int,
    tell: Callable[[int], None] = lambda _: None,
) -> Sequence[Mapping[str, object]]:
    """Return the newest records that are wanted, ``limit`` at most, oldest first.

    Reads the log and its rotated files from the end, and stops when it has enough.

    Raises:
        NotFound: there is no log at ``path``.
        Unavailable: it cannot be read.
    """
    files = files_of(path)
    if not files:
        raise NotFound(f"there is no audit log at {path}", code="HY-5103")

    def keep(line: bytes) -> bool:
        record = parse_line(line + b"\n")
        return record is not None and wanted.fits(record)

    lines = walk_back(
        files, wanted.anchors(), time_of, span, keep=keep, packed_max=limit, tell=tell
    )
    found = [parse_line(line + b"\n") or {} for line in islice(lines, limit)]
    return found[::-1]


def time_of(line: bytes) -> int | None:
    """Return the time of a record, unix milliseconds; None where the line has none."""
    # Not parsed as JSON: a sample of a year's log has hundreds of lines, and one number is wanted.
    found = _AT(line)
    return int(found[1]) if found else None
