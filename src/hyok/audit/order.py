"""In which order the batches of several hosts come into the one log, and what is not right.  Pure.

The batches of a host keep the order in which it handed them in; between hosts the time decides.
What was changed, and what is missing, the log says itself: a record `audit:gap` stands in the place
of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.audit.file import GAP, canonical, parse_line
from hyok.audit.rows import check_batch
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.audit.rows import Batch, Run, Spot

ACTOR = "system:audit-sequencer"
CHUNK_BYTES_MAX = 4 << 20


@dataclass(slots=True)
class Ordered:
    """What came of some batches.

    ``lines`` are canonical and numbered; ``state`` is the last batch of each host behind them.
    """

    state: dict[str, Spot]
    next_seq: int
    lines: list[bytes] = field(default_factory=list)
    done: list[tuple[str, int]] = field(default_factory=list)  # run and batch
    refused: list[tuple[str, int]] = field(default_factory=list)
    size: int = 0

    def add(self, fields: Mapping[str, object]) -> None:
        line = canonical({**fields, "seq": self.next_seq})
        self.lines.append(line)
        self.size += len(line)
        self.next_seq += 1


def put_in_order(
    state: Mapping[str, Spot],
    next_seq: int,
    batches: Sequence[Batch],
    runs: Mapping[str, Run],
    unvouched: Mapping[str, int],
    now_ms: int,
) -> Ordered:
    """Return the lines of ``batches``, from ``next_seq`` on.

    ``batches`` hold, of each host, all that waits or the first of it.  What is of no run in
    ``runs`` waits on; so does what a host in ``unvouched`` handed in after its run of that number.

    A batch that is in the log already is done and adds nothing: its writer did not hear that it
    was committed, and handed it in again.
    """
    made = Ordered(dict(state), next_seq)
    for batch, run in _in_turn(batches, runs):
        if made.size >= CHUNK_BYTES_MAX:
            break
        if run.number > unvouched.get(run.host, run.number):
            continue
        last, this = made.state.get(run.host, (0, 0)), (run.number, batch.number)
        if this <= last:
            made.done.append((batch.run, batch.number))
            continue
        missing = _missing(last, this, run.after)
        if missing:
            made.add(_gap(run, missing, now_ms))
        _take(made, batch, run, now_ms)
        made.state[run.host] = this
    return made


def _take(made: Ordered, batch: Batch, run: Run, now_ms: int) -> None:
    try:
        check_batch(batch, run)
        records = [parse_line(line) for line in batch.lines.splitlines(keepends=True)]
    except Tampered:
        records = [None]
    if not all(records):
        found = f"batch {batch.number} of run {run.number} is not what was handed in"
        gap = _gap(run, found, now_ms)
        made.add({**gap, "torn_sha256": sha256(batch.lines).hexdigest()})
        made.refused.append((batch.run, batch.number))
        return
    for record in records:
        assert record is not None
        made.add(record)
    made.done.append((batch.run, batch.number))


def _in_turn(batches: Sequence[Batch], runs: Mapping[str, Run]) -> list[tuple[Batch, Run]]:
    waiting = [(batch, runs[batch.run]) for batch in batches if batch.run in runs]
    waiting.sort(key=lambda one: (one[1].host, one[1].number, one[0].number))
    newest: dict[str, int] = {}
    turns: list[tuple[int, int]] = []
    for place, (batch, run) in enumerate(waiting):
        # A clock that was set back must not put a host's batches in another order.
        newest[run.host] = max(newest.get(run.host, 0), batch.at_ms)
        turns.append((newest[run.host], place))
    return [waiting[place] for _, place in sorted(turns)]


def _missing(last: Spot, this: Spot, after: Spot) -> str:
    """Say which batches of the host should stand between these two; empty: none."""
    number, batch = this
    if number == last[0]:
        expected = last[1] + 1
        return f"batches {expected} to {batch - 1} of run {number}" if batch > expected else ""
    said = []
    if last < after:
        said.append(f"batches up to {after[1]} of run {after[0]}")
    if batch > 1:
        said.append(f"batches 1 to {batch - 1} of run {number}")
    return ", ".join(said)


def _gap(run: Run, found: str, now_ms: int) -> dict[str, object]:
    return {
        "at_ms": now_ms,
        "phase": "conclude",
        "action": GAP,
        "outcome": "failed",
        "actor": ACTOR,
        "host": run.name,
        "reasons": [found if "not what" in found else f"{found} are missing"],
    }
