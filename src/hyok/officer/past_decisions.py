"""Decisions out of the audit log, as many of each as there were: in bounded memory, by time."""

from __future__ import annotations

import gzip
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

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
DOOR = "a door's key was used, and the log does not have on whose behalf"
UNREADABLE = "the record cannot be read"
FIELDS = ("actor", "actor_kind", "tenant", "action", "bucket_id", "classification")
"""In the order of `PastDecision`."""

_Texts: TypeAlias = tuple[str, str, str, str, str, str]
_Fields: TypeAlias = tuple[_Texts, str, frozenset[str]]


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
    alike: Counter[_Fields] = Counter()
    skipped: Counter[str] = Counter()
    for line in _lines(files, since_ms, tell):
        found = _fields(parse_line(line + b"\n"))
        if found is None:
            skipped[UNREADABLE] += 1
        else:
            alike[found] += 1
    decisions: Counter[PastDecision] = Counter()
    for (texts, decided, words), count in alike.items():
        if "door" in words:
            skipped[DOOR] += count
            continue
        if "freeze" in words:
            skipped[FROZEN] += count
            continue
        past = PastDecision(*texts, decided == "permit", "proposal" in words, "grant" in words)
        decisions[past] += count
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


def _fields(record: Mapping[str, object] | None) -> _Fields | None:
    """Return what a record says of its decision, and of its reasons what makes a fact true."""
    if record is None:
        return None
    texts = tuple(record.get(name, "") for name in FIELDS)
    reasons = record.get("reasons", ())
    if not isinstance(reasons, list | tuple) or not all(isinstance(one, str) for one in texts):
        return None
    words = {str(one).partition(":")[0] for one in reasons if ":" in str(one)}
    return cast("_Texts", texts), str(record["decided"]), frozenset(words)
