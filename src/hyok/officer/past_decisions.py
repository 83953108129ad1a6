"""Decisions out of the audit log, as many of each as there were: in bounded memory, by time."""

from __future__ import annotations

import gzip
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from hyok.audit.file import parse_line
from hyok.audit.search import time_of
from hyok.errors import NotFound, Unavailable
from hyok.policy.replay import PastDecision
from hyok.telemetry.lines import SLACK_MS, Span, files_of, walk_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

DECIDED = b'"decided":"'
FROZEN = "it was frozen then, which is no decision of policy"
UNREADABLE = "the record cannot be read"


def gather(
    path: Path, since_ms: int, tell: Callable[[int], None] = lambda _bytes: None
) -> tuple[Counter[PastDecision], Counter[str]]:
    """Return the decisions since then, and why others are not among them.

    ``tell`` is called with the bytes read so far.

    Raises:
        NotFound: there is no log at ``path`` (code HY-5103).
        Unavailable: a file cannot be read (code HY-5104).
    """
    files = files_of(path)
    if not files:
        raise NotFound(f"there is no audit log at {path}", code="HY-5103")
    decisions: Counter[PastDecision] = Counter()
    skipped: Counter[str] = Counter()
    for line in _lines(files, since_ms, tell):
        past = _past(parse_line(line + b"\n"))
        if isinstance(past, PastDecision):
            decisions[past] += 1
        else:
            skipped[past] += 1
    return decisions, skipped


def size_of(path: Path, since_ms: int) -> int:
    """Return how many bytes of files there are to read, at most."""
    return sum(
        found.st_size
        for found in (file.stat() for file in files_of(path))
        if found.st_mtime_ns // 1_000_000 >= since_ms - SLACK_MS
    )


def _lines(files: Sequence[Path], since_ms: int, tell: Callable[[int], None]) -> Iterator[bytes]:
    read = 0
    for file in files:
        found = file.stat()
        if found.st_mtime_ns // 1_000_000 < since_ms - SLACK_MS:
            continue
        if file.suffix == ".gz":
            yield from _packed(file, since_ms)
        else:
            so_far = partial(lambda before, here: tell(before + here), read)
            yield from walk_back([file], (DECIDED,), time_of, Span(since_ms), tell=so_far)
        read += found.st_size
        tell(read)


def _packed(file: Path, since_ms: int) -> Iterator[bytes]:
    """Yield the lines of a packed file one by one: it may hold months."""
    try:
        with gzip.open(file, "rb") as lines:
            for line in lines:
                if DECIDED in line and (time_of(line) or 0) >= since_ms:
                    yield line.rstrip(b"\n")
    except (OSError, EOFError) as error:
        raise Unavailable(
            f"the log {file} cannot be read: {error}",
            code="HY-5104",
            next_step="run as the service's user, or as root",
        ) from error


def _past(fields: Mapping[str, object] | None) -> PastDecision | str:
    """Return the decision of a record, or why there is none."""
    reasons = fields.get("reasons", []) if fields is not None else None
    if fields is None or not isinstance(reasons, list):
        return UNREADABLE
    words = [word for word in reasons if isinstance(word, str)]
    if any(word.startswith("freeze:") for word in words):
        return FROZEN
    values = {
        name: fields.get(field, "")
        for name, field in (
            *(("actor", "actor"), ("kind", "actor_kind"), ("tenant", "tenant")),
            *(("action", "action"), ("bucket_id", "bucket_id")),
            ("classification", "classification"),
        )
    }
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if len(texts) < len(values):
        return UNREADABLE
    return PastDecision(
        **texts,
        allowed=fields.get("decided") == "permit",
        approved=any(word.startswith("proposal:") for word in words),
        break_glass=any(word.startswith("grant:") for word in words),
    )
