"""MemoryLog: what the hosts of one audit log share, in memory; its rows may be changed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.audit.shared import Head, Registered
from hyok.errors import Conflict, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.audit.rows import Batch, Chunk, Run


class Rows:
    """The database."""

    def __init__(self) -> None:
        self.size: int | None = None
        self.epoch = self.signed = 0
        self.leader: MemoryLog | None = None
        self.runs: dict[str, tuple[Run, str, bool]] = {}  # with document, and whether it is closed
        self.waiting: dict[tuple[str, int], Batch] = {}
        self.refused: set[tuple[str, int]] = set()
        self.chunks: dict[int, Chunk] = {}
        self.notes: dict[int, str] = {}
        self.hosts: dict[str, tuple[int, int]] = {}
        self.away = False
        self.forgetful = 0  # so many hand-ins are committed, and nobody hears of it


class MemoryLog:
    """One host's way to the rows; fills `SharedLog`."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.epoch = 0

    def _look(self) -> Rows:
        if self.rows.away:
            raise Unavailable("The database does not answer.")
        return self.rows

    def begin_run(self, run: Run) -> Run:
        rows = self._look()
        last = 0
        for name, (other, document, _) in list(rows.runs.items()):
            if other.host == run.host:
                rows.runs[name] = (other, document, True)
                last = max(last, other.number)
        begun = replace(run, number=max(last, run.after[0]) + 1)
        rows.runs[run.run] = (begun, "", False)
        return begun

    def hand_in(self, batch: Batch, *, again: bool) -> None:
        rows = self._look()
        if rows.runs[batch.run][2]:
            raise Conflict("closed", code="HY-5123")
        place = (batch.run, batch.number)
        there = rows.waiting.get(place)
        if there is not None and not (again and there == batch):
            raise Tampered("occupied", code="HY-5120")
        rows.waiting[place] = batch
        if rows.forgetful:
            rows.forgetful -= 1
            raise Unavailable("The connection broke.")

    def vouch(self, run: str, document: str) -> None:
        known, _, closed = self._look().runs[run]
        self.rows.runs[run] = (known, document, closed)

    def lead(self, size: int, signed: int) -> Head | None:
        rows = self._look()
        if rows.leader not in (None, self):
            return None
        if rows.leader is None:
            rows.leader = self
            if rows.size is None:
                rows.size, rows.signed = size, signed
            rows.epoch += 1
            self.epoch = rows.epoch
        return self.head() if self.epoch == rows.epoch else None

    def retire(self) -> None:
        if self.rows.leader is self:
            self.rows.leader = None
        self.epoch = 0

    def waiting(self, limit: int) -> Sequence[Batch]:
        rows = self._look()
        found: dict[str, list[Batch]] = {}
        for place, batch in rows.waiting.items():
            if place not in rows.refused:
                found.setdefault(rows.runs[batch.run][0].host, []).append(batch)
        some = []
        for batches in found.values():
            batches.sort(key=lambda one: (rows.runs[one.run][0].number, one.number))
            some += batches[:limit]
        return some

    def registered(self, runs: Sequence[str]) -> Sequence[Registered]:
        rows = self._look()
        return [
            Registered(run, rows.runs[run][0].host, rows.runs[run][0].number, rows.runs[run][1])
            for run in runs
            if run in rows.runs
        ]

    def extend(
        self,
        head: Head,
        chunk: Chunk | None,
        done: Sequence[tuple[str, int]],
        refused: Sequence[tuple[str, int]],
    ) -> Head:
        rows = self._look()
        if (rows.size, rows.epoch) != (head.size, head.epoch):
            raise Conflict("another", code="HY-5124")
        if chunk is not None:
            rows.chunks[chunk.first] = chunk
            rows.size = chunk.last
        for place in done:
            rows.waiting.pop(place, None)
        rows.refused.update(refused)
        assert rows.size is not None
        return Head(rows.size, rows.epoch)

    def head(self) -> Head | None:
        rows = self._look()
        return None if rows.size is None else Head(rows.size, rows.epoch)

    def chunks(self, after: int, limit: int) -> Sequence[Chunk]:
        found = sorted(self._look().chunks.values(), key=lambda one: one.first)
        return [one for one in found if one.last > after][:limit]

    def newest_chunk(self) -> Chunk | None:
        chunks = self._look().chunks
        return chunks[max(chunks)] if chunks else None

    def notes(self, after: int) -> Sequence[str]:
        return [note for size, note in sorted(self._look().notes.items()) if size > after]

    def publish(self, note: str, size: int) -> None:
        rows = self._look()
        if self.epoch != rows.epoch or size <= rows.signed or size > (rows.size or 0):
            raise Conflict("another", code="HY-5124")
        rows.notes[size], rows.signed = note, size

    def report(self, host: str, name: str, seq: int, covered: int) -> None:
        self._look().hosts[host] = (seq, covered)

    def clean(self) -> None:
        rows = self._look()
        if rows.leader is not self or not rows.hosts:
            return
        seq = min(one[0] for one in rows.hosts.values())
        covered = min(one[1] for one in rows.hosts.values())
        newest = max(rows.chunks, default=0)
        for first, chunk in list(rows.chunks.items()):
            if chunk.last <= min(seq, covered, rows.signed) and first < newest:
                del rows.chunks[first]
        for size in list(rows.notes):
            if size < min(covered, rows.signed):
                del rows.notes[size]

    def close(self) -> None:
        self.retire()
