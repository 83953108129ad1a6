"""What the audit log has of a period: how often things were done, refused and decided.

Reads the log whole, line by line, in files of one after the other.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.audit.segments import segments_of, whole_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ALWAYS = ("action", "outcome", "origin", "actor", "at_ms")
"""What every record of a request has.  Auditors ask for the object as well, and not every act has
one: a key that is made, a policy that is put in force."""

TELL_BYTES = 1 << 20
"""How often it is told how far the reading is."""

OWN = frozenset({"audit:start", "audit:stop", "audit:gap"})
"""The writer's own records, about no request."""


@dataclass(slots=True)
class Statistics:
    """Counts of one period."""

    records: int = 0
    denied: int = 0
    gaps: int = 0
    incomplete: int = 0  # records of requests that lack something that every one has
    done: Counter[str] = field(default_factory=Counter)  # by action
    actors: set[str] = field(default_factory=set)  # officers who acted


def count(
    log: Path, since_ms: int, tell: Callable[[int], None] = lambda _bytes: None
) -> Statistics:
    """Return what the log has since a moment; ``tell`` is called with the bytes read so far.

    Raises:
        Unavailable: it cannot be read.
    """
    found = Statistics()
    read = told = 0
    for segment in segments_of(log):
        for line in whole_lines(segment):
            read += len(line) + 1
            _add(found, json.loads(line), since_ms)
            if read - told >= TELL_BYTES:
                told = read
                tell(read)
    tell(read)
    return found


def _add(found: Statistics, record: dict[str, object], since_ms: int) -> None:
    at = record.get("at_ms")
    at_ms = at if isinstance(at, int) else 0
    if at_ms < since_ms:
        return
    action, outcome = str(record.get("action")), record.get("outcome")
    found.records += 1
    found.gaps += action == "audit:gap"
    found.denied += outcome == "denied"
    if outcome in {"done", "unsealed"}:
        found.done[action] += 1
    actor = str(record.get("actor", ""))
    if actor.startswith("officer:"):
        found.actors.add(actor)
    if action not in OWN and any(not record.get(name) for name in ALWAYS):
        found.incomplete += 1
