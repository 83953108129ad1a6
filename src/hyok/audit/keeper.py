"""TreeKeeper: follows the lines of a log and keeps its tree and checkpoints beside it.

It reads what is on disk already, so the tree never holds a record that a crash could take back,
and whatever happened to the tiles it can begin anew: the lines are the truth.  What it never does
is sign a tree that is not the last checkpoint's, grown.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import SOFTWARE, TIME, Checkpoint, parse_checkpoint
from hyok.audit.proofs import root_of
from hyok.audit.segments import BLOCK_BYTES, LINE_BYTES_MAX, segments_of, seq_of
from hyok.audit.tiles import STATE, TreeFolder, folder_of
from hyok.audit.tree import Tree, leaf_hash, node_from_tiles
from hyok.errors import HyokError, Tampered
from hyok.vocabulary import TreeHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import PublicKey
    from hyok.audit.port import CheckpointSigner
    from hyok.audit.segments import Segment


FLUSH_RECORDS = 100_000
"""While it catches up with a long log it leaves word this often of how far it has come."""


class TreeKeeper:
    """The tree of the log at ``log``, whose checkpoints name ``origin``.  One thread at a time.

    Raises, from its methods:
        Tampered: the log is not what this program wrote (code HY-5107).
        OSError: the disk; this keeper must not be used again.
    """

    def __init__(self, log: Path, origin: str) -> None:
        self.folder = TreeFolder(folder_of(log))
        self._log, self._origin = log, origin
        self._tree = Tree(self.folder.write_tile)
        self._ahead: list[Segment] = []
        self._offset = 0
        self._extends = False
        self._flushed = 0
        self.covered = 0  # records in the newest checkpoint
        self.folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mend_history()
        note = self.folder.newest()
        self._last = parse_checkpoint(note).head if note is not None else None
        if self._last is not None:
            self.covered = self._last.size
        with contextlib.suppress(HyokError, OSError, ValueError, KeyError, TypeError):
            self._go_on()
        if not self._ahead:
            self._begin_anew()

    @property
    def size(self) -> int:
        """How many records the tree has."""
        return self._tree.size

    def _go_on(self) -> None:
        """Go on where the tiles end, if they and the log are as they were left."""
        state = json.loads((self.folder.path / STATE).read_text())
        size, offset = int(state["size"]), int(state["offset"])
        self._tree.restore(size, self.folder.read_tile)
        if self._tree.root().hex() != state["root"]:
            return
        segments = [each for each in segments_of(self._log) if each.first <= size + 1]
        if not segments or segments[-1].first != state["first"]:
            return
        with segments[-1].open() as file:
            file.seek(max(0, offset - 1))
            before, line = file.read(1) if offset else b"\n", file.readline(LINE_BYTES_MAX)
        if before == b"\n" and (not line.endswith(b"\n") or seq_of(line) == size + 1):
            later = [each for each in segments_of(self._log) if each.first > size + 1]
            self._ahead, self._offset = [segments[-1], *later], offset

    def _begin_anew(self) -> None:
        self.folder.forget_tiles()
        self._tree = Tree(self.folder.write_tile)
        self._ahead, self._offset = list(segments_of(self._log)), 0

    def follow(self, durable_bytes: int, size_max: int = 1 << 62) -> None:
        """Take in the records up to ``durable_bytes`` of the log's own file, or so many."""
        if not self._ahead:
            self._ahead = list(segments_of(self._log))
        while self._ahead:
            segment = self._ahead[0]
            own = segment.path == self._log
            self._read(segment, durable_bytes if own else None, size_max)
            if own or self.size >= size_max:
                return
            del self._ahead[0]
            self._offset = 0

    def _read(self, segment: Segment, stop: int | None, size_max: int) -> None:
        with segment.open() as file:
            file.seek(self._offset)
            rest = b""
            while self.size < size_max and (stop is None or self._offset + len(rest) < stop):
                room = BLOCK_BYTES
                if stop is not None:
                    room = min(room, stop - self._offset - len(rest))
                block = file.read(room)
                if not block:
                    break
                *lines, rest = (rest + block).split(b"\n")
                self._take(lines[: size_max - self.size])
                if self.size - self._flushed >= FLUSH_RECORDS:
                    self.flush()
                if len(rest) > LINE_BYTES_MAX:
                    raise _not_ours(self.size + 1, "it is longer than any record")

    def _take(self, lines: list[bytes]) -> None:
        tree = self._tree
        for line in lines:
            if seq_of(line) != tree.size + 1:
                raise _not_ours(tree.size + 1, f"its line has the number {seq_of(line)}")
            tree.append(leaf_hash(line))
            self._offset += len(line) + 1

    def flush(self) -> None:
        """Have tiles on disk up to here, so that a restart goes on from here."""
        if not self._ahead:
            return
        for level, index, raw in self._tree.partials():
            self.folder.write_tile(level, index, raw)
        state = {
            "size": self.size,
            "root": self._tree.root().hex(),
            "first": self._ahead[0].first,
            "offset": self._offset,
        }
        self.folder.write(self.folder.path / STATE, json.dumps(state).encode())
        self.folder.settle()
        self._flushed = self.size

    def make_checkpoint(
        self,
        signer: CheckpointSigner,
        now_ms: int,
        publish: Callable[[str, int], None] = lambda *_: None,
    ) -> Checkpoint:
        """Sign the tree as it is and keep the checkpoint.

        ``publish`` is called with note and size before it is kept; what it raises passes.

        Raises:
            Unavailable: the key cannot be reached; nothing changed.
            NotFound: there is no key.
        """
        self.flush()
        self._check_extends()
        extensions = (f"{TIME}{now_ms}", *([SOFTWARE] if signer.software else []))
        head = TreeHead(self._origin, self.size, self._tree.root(), extensions)
        made = Checkpoint(head, (signer.sign(head),))
        publish(made.note(), head.size)
        self.folder.add_checkpoint(made.note())
        self._last, self.covered = head, head.size
        return made

    def take(self, note: str, keys: Sequence[PublicKey], durable_bytes: int) -> bool:
        """Keep a checkpoint that another host of this log made; say whether the file is so far.

        Raises:
            Tampered: it is not signed by one of ``keys``, or signs other records (code HY-5107).
        """
        made = parse_checkpoint(note)
        head = made.head
        made.verify(keys)
        if self.size > head.size:  # tiles are kept for the sizes of checkpoints
            self._begin_anew()
        self.follow(durable_bytes, head.size)
        if self.size < head.size:
            return False
        if (head.origin, head.root) != (self._origin, self._tree.root()):
            raise _not_ours(head.size, "the log's checkpoint has another root there")
        self.flush()
        self._check_extends()
        self.folder.add_checkpoint(note)
        self._last, self.covered = head, head.size
        return True

    def _check_extends(self) -> None:
        """Return quietly if the last checkpoint's tree is the beginning of ours."""
        last = self._last
        if self._extends or last is None:
            self._extends = True
            return
        if last.size > self.size:
            raise Tampered(
                f"the log has {self.size} records and its last checkpoint {last.size}",
                code="HY-5107",
                effect="Records are kept; no checkpoint is signed.",
                next_step="docs/operate.md, 'The audit log was changed'",
            )
        node = node_from_tiles(self.folder.read_tile, self.size)
        if last.origin != self._origin or root_of(last.size, node) != last.root:
            raise Tampered(
                f"the log's first {last.size} records are not those of its last checkpoint",
                code="HY-5107",
                effect="Records are kept; no checkpoint is signed.",
                next_step="docs/operate.md, 'The audit log was changed'",
            )
        self._extends = True


def _not_ours(seq: int, why: str) -> Tampered:
    return Tampered(
        f"record {seq} of the audit log is not where it must be: {why}",
        code="HY-5107",
        effect="Records are kept; no checkpoint is signed.",
        next_step="docs/operate.md, 'The audit log was changed'",
    )
