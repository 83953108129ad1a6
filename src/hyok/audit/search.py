"""Find the records of one request in the audit log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.audit.file import parse_line
from hyok.errors import NotFound
from hyok.telemetry.lines import Span, files_of, find_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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


def time_of(line: bytes) -> int | None:
    """Return the time of a record, unix milliseconds; None where the line has none."""
    # Not parsed as JSON: a sample of a year's log has hundreds of lines, and one number is wanted.
    found = _AT(line)
    return int(found[1]) if found else None
