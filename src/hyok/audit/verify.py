"""Verify a log from its lines, its checkpoints and the public key alone.

It streams: one line and the right edge of the tree are in memory, however long the log is.  What
stands in the folder beside the log is believed only as far as a signature vouches for it.

Source: docs/audit-log.md, section 6.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import SOFTWARE, parse_checkpoint, time_of
from hyok.audit.file import parse_line
from hyok.audit.segments import segments_of, seq_of, whole_lines
from hyok.audit.tiles import TreeFolder, folder_of
from hyok.audit.tree import HASH_BYTES, TILE_HASHES, Tree, leaf_hash
from hyok.errors import HyokError, Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import Checkpoint, PublicKey
    from hyok.vocabulary import TreeHead

TELL_LINES = 10_000
PROBLEMS_MAX = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and at which records; ``kind`` is a word for programs.

    removed, order, cut, changed, unsigned, fork, record, checkpoint.
    """

    kind: str
    first: int
    last: int
    said: str


@dataclass(slots=True)
class Report:
    """What a verification found.  ``covered``: records that a checkpoint vouches for."""

    origin: str = ""
    records: int = 0
    covered: int = 0
    checkpoints: int = 0
    newest_ms: int | None = None
    software: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every record up to ``covered`` is what was signed, and nothing else is wrong."""
        return not self.problems


def find_log(path: Path) -> Path:
    """Return the log that ``path`` means: itself, or the one in this folder.

    Raises:
        NotFound: there is none.
        Malformed: there are several.
    """
    if not path.is_dir():
        return path
    named = {each.name.removesuffix(".tree") for each in path.glob("*.tree") if each.is_dir()}
    names = sorted(named or {each.name for each in path.glob("*.jsonl")})
    if not names:
        raise NotFound(f"there is no audit log in {path}", code="HY-5103")
    if len(names) > 1:
        raise Malformed(f"{path} holds several logs: {', '.join(names)}; name one of them")
    return path / names[0]


def verify(
    log: Path,
    keys: Sequence[PublicKey],
    against: Sequence[Checkpoint] = (),
    tell: Callable[[int], None] = lambda _: None,
) -> Report:
    """Return what the log at ``log`` shows.

    Args:
        log: the file that is written; rotated ones beside it belong to it.
        keys: those that may have signed its checkpoints.
        against: checkpoints that the caller kept elsewhere: what the log's owner cannot change.
        tell: called with the bytes read so far.

    Raises:
        NotFound: there is no log.
        OSError: it cannot be read.
    """
    return _Verification(log, keys, against, tell).run()


class _Verification:
    def __init__(
        self,
        log: Path,
        keys: Sequence[PublicKey],
        against: Sequence[Checkpoint],
        tell: Callable[[int], None],
    ) -> None:
        self._log, self._keys, self._tell = log, keys, tell
        self._folder = TreeFolder(folder_of(log))
        self._against = sorted(against, key=lambda each: each.head.size)
        self.report = Report()
        self._tree = Tree()
        # A log that is written meanwhile is ahead of these, never behind.
        self._stop = self._folder.history_bytes()

    def run(self) -> Report:
        report = self.report
        report.origin = self._against[0].head.origin if self._against else ""
        heads = self._heads()
        head = next(heads, None)
        for line in self._lines():
            if not self._take(line):
                return report
            while head is not None and head[0].size == self._tree.size:
                if not self._compare(*head):
                    return report
                head = next(heads, None)
        report.records = self._tree.size
        if head is not None:
            self._tell_cut(head[0])
        if not report.checkpoints and report.good:
            self._add("unsigned", 1, report.records, "no checkpoint vouches for any of its records")
        return report

    def _add(self, kind: str, first: int, last: int, said: str) -> None:
        if len(self.report.problems) < PROBLEMS_MAX:
            self.report.problems.append(Problem(kind, first, last, said))

    def _lines(self) -> Iterator[bytes]:
        read = count = 0
        for segment in segments_of(self._log):
            for line in whole_lines(segment):
                yield line
                read += len(line) + 1
                count += 1
                if count % TELL_LINES == 0:
                    self._tell(read)
        self._tell(read)

    def _take(self, line: bytes) -> bool:
        """Add a line to the tree; return False where there is no going on."""
        wanted, seq = self._tree.size + 1, seq_of(line)
        self.report.records = self._tree.size
        if seq > wanted:
            self._add(
                "removed",
                wanted,
                seq - 1,
                f"{_records(wanted, seq - 1)} missing: after {wanted - 1} comes {seq}",
            )
            return False
        if seq != wanted:
            named = f"one with number {seq}" if seq else "a line without a number"
            self._add(
                "order", wanted, wanted, f"where record {wanted} must be stands {named}: records "
                "were inserted, or stand in another order"
            )  # fmt: skip
            return False
        if parse_line(line + b"\n") is None:
            self._add("record", seq, seq, f"record {seq} is no JSON object: it was changed")
        self._tree.append(leaf_hash(line))
        self.report.records = self._tree.size
        return True

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def _heads(self) -> Iterator[tuple[TreeHead, bool]]:
        """Yield (head, kept elsewhere) of every checkpoint that is genuine, by size."""
        outside = ((each, True) for each in self._against)
        both = heapq.merge(self._history(), outside, key=lambda pair: pair[0].head.size)
        for checkpoint, elsewhere in both:
            head = checkpoint.head
            self.report.origin = self.report.origin or head.origin
            try:
                if head.origin != self.report.origin:
                    raise Tampered(f"it is of another log, {head.origin}")
                checkpoint.verify(self._keys)
            except HyokError as error:
                whose = "the checkpoint given" if elsewhere else "a checkpoint beside the log"
                said = f"{whose}, of {head.size} records, is not genuine: {error.cause}"
                self._add("checkpoint", head.size, head.size, said)
                continue
            yield head, elsewhere

    def _history(self) -> Iterator[tuple[Checkpoint, bool]]:
        last = 0
        try:
            for note in self._folder.notes(self._stop):
                checkpoint = parse_checkpoint(note)
                if checkpoint.head.size < last:
                    self._add("checkpoint", last, last, "the checkpoints are not in their order")
                    return
                last = checkpoint.head.size
                yield checkpoint, False
        except (Malformed, Tampered) as error:
            said = f"the checkpoint after that of {last} records cannot be read: {error.cause}"
            self._add("checkpoint", last, last, said)

    def _compare(self, head: TreeHead, elsewhere: bool) -> bool:  # noqa: FBT001 - as it was yielded
        report = self.report
        if self._tree.root() != head.root:
            self._tell_changed(head, elsewhere=elsewhere)
            return False
        report.checkpoints += 1
        report.covered = head.size
        report.newest_ms = time_of(head)
        report.software = report.software or SOFTWARE in head.extensions
        return True

    def _tell_cut(self, head: TreeHead) -> None:
        first = self.report.records + 1
        said = (
            f"{_records(first, head.size)} missing from the end: a signed checkpoint has "
            f"{head.size} records, the log has {self.report.records}"
        )
        self._add("cut", first, head.size, said)

    def _tell_changed(self, head: TreeHead, *, elsewhere: bool) -> None:
        first, last = self.report.covered + 1, head.size
        found = self._differing(head)
        if found is not None:
            first, last, count = found
            said = f"record {first} is not what was signed: it was changed"
            if count > 1:
                said = (
                    f"{count} of the records {first} to {last} are not what was signed: they were "
                    "changed or exchanged, or others removed or inserted and all renumbered"
                )
            self._add("changed", first, last, said)
        elif elsewhere:
            self._add("fork", first, last, self._said_of_fork(head))
        else:
            said = f"one or more of the {_span(first, last)} are not what was signed"
            self._add("changed", first, last, said)

    def _said_of_fork(self, head: TreeHead) -> str:
        return (
            f"the log forked: the checkpoint given, signed for {head.size} records, is not of this "
            f"log, which was shown otherwise after record {self.report.covered}"
        )

    def _differing(self, head: TreeHead) -> tuple[int, int, int] | None:
        """Return (first, last, how many) of the records that differ from the tiles of ``head``.

        None: the tiles are not there, or are not those that were signed.
        """
        signed, at, count, first, last = Tree(), 0, 0, 0, 0
        lines = self._lines()
        try:
            for index in range(-(-head.size // TILE_HASHES)):
                width = min(TILE_HASHES, head.size - index * TILE_HASHES)
                raw = self._folder.read_tile(0, index, width)
                for place in range(0, len(raw), HASH_BYTES):
                    at += 1
                    hashed = raw[place : place + HASH_BYTES]
                    signed.append(hashed)
                    if leaf_hash(next(lines, b"")) != hashed:
                        count += 1
                        first, last = first or at, at
        except (HyokError, OSError):
            return None
        return (first, last, count) if signed.root() == head.root and count else None


def _span(first: int, last: int) -> str:
    return f"records {first} to {last}" if last > first else f"records, number {first},"


def _records(first: int, last: int) -> str:
    return f"records {first} to {last} are" if last > first else f"record {first} is"
