"""The audit log as a file of lines: where it ends well, and how a batch is added whole.

A line counts once it ends in a line feed, is JSON and has a sequence number.  What stands behind
the last such line was torn by a crash; nobody was told that it was kept, so it is cut off, and the
log says so itself.

One process writes (the file is locked).  Lines are numbered here, when they are written.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.audit.segments import last_seq
from hyok.errors import Conflict, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LINE_BYTES_MAX = 16 << 10
"""One record: a few hundred bytes, more where a decision had many reasons."""

TORN_BYTES_MAX = 64 << 20
"""What one crash may leave behind the last good line; more means that this is no log of ours."""

START, STOP, GAP = "audit:start", "audit:stop", "audit:gap"

_BLOCK_BYTES = 64 << 10

# Made once: `json.dumps` makes an encoder for each line, and `json.loads` guesses its coding.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
_decode = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a log ends well."""

    good_bytes: int  # the length up to and with the last good line
    torn_bytes: int  # what stands behind it
    torn_sha256: str
    seq: int  # of the last good line; 0: there is none
    clean: bool  # the writer ended by itself, or never began


def canonical(fields: Mapping[str, object]) -> bytes:
    """Return one line: sorted names, no blanks, UTF-8, LF."""
    return _encode(fields).encode() + b"\n"


def parse_line(line: bytes) -> dict[str, object] | None:
    """Return the fields of a line with its line feed; None if it is no JSON object."""
    if not line.endswith(b"\n"):
        return None
    try:
        fields = _decode(line.decode())
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def find_ending(descriptor: int) -> Ending:
    """Return where the log ends well.

    Raises:
        Tampered: no good line stands near the end of a file that is not empty.
    """
    size = os.fstat(descriptor).st_size
    floor = max(0, size - TORN_BYTES_MAX - _BLOCK_BYTES)
    tail = b""
    start = size
    while True:
        found = _last_good(tail, whole=start == 0)
        if found is not None or start == 0:
            break
        if start == floor:
            raise Tampered("The audit log's end is not one that this program writes.")
        # Twice as much each time, or a long end would be copied over and over.
        lower = max(floor, start - max(_BLOCK_BYTES, size - start))
        tail = os.pread(descriptor, start - lower, lower) + tail
        start = lower
    if found is None:
        torn = tail
        return Ending(0, len(torn), hashlib.sha256(torn).hexdigest(), 0, not torn)
    end, fields = found
    torn = tail[end:]
    seq = fields["seq"]
    assert isinstance(seq, int)
    clean = fields.get("action") == STOP and not torn
    return Ending(start + end, len(torn), hashlib.sha256(torn).hexdigest(), seq, clean)


def _last_good(tail: bytes, *, whole: bool) -> tuple[int, dict[str, object]] | None:
    """Return the end and the fields of the last good line wholly inside ``tail``."""
    end = tail.rfind(b"\n") + 1
    while end:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        if begin == 0 and not whole:
            return None  # the line may begin before the tail
        fields = parse_line(tail[begin:end])
        if fields is not None and isinstance(fields.get("seq"), int):
            return end, fields
        end = begin
    return None


class LogFile:
    """The file, open and locked.  Blocking; one thread at a time.

    ``wait_seconds``: how long a writer that is ending may still have it.

    ``durable_bytes``, how many bytes of whole lines are on disk, may be read by any thread.

    Raises:
        Conflict: another writer has the file.
        Tampered: the file's end is none that this program writes.
    """

    def __init__(self, path: Path, wait_seconds: float = 0.0) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        if not _lock(self._descriptor, wait_seconds):
            os.close(self._descriptor)
            raise Conflict(f"Another process writes the audit log {path}.")
        try:
            self.ending = find_ending(self._descriptor)
            if self.ending.torn_bytes:
                os.ftruncate(self._descriptor, self.ending.good_bytes)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._size = self.ending.good_bytes
        # A file that begins after others were rotated away goes on with their numbers.
        self._seq = self.ending.seq or last_seq(path)
        self.durable_bytes = 0
        _sync_directory(path)

    def begin(self, at_ms: int) -> None:
        """Write that the log begins anew, and first that something may be missing."""
        lines: list[dict[str, object]] = []
        if not self.ending.clean:
            gap = {"torn_bytes": self.ending.torn_bytes, "torn_sha256": self.ending.torn_sha256}
            lines.append({**ours(at_ms, GAP, "failed"), **gap})
        lines.append(ours(at_ms, START, "done"))
        self.append(lines, sync=True)

    def end(self, at_ms: int) -> None:
        """Write that the writer ended by itself, so that nothing is missing before this line."""
        self.append([ours(at_ms, STOP, "done")], sync=True)

    def append(self, records: Sequence[Mapping[str, object]], *, sync: bool) -> None:
        """Add all records, numbered, or none; with ``sync`` they are on disk on return.

        Raises:
            Unavailable: the disk is full (or refuses); the file is as it was before.
            OSError: the disk failed, and what it holds is unknown: the process must end.
        """
        raw = b"".join(
            canonical({**record, "seq": self._seq + 1 + i}) for i, record in enumerate(records)
        )
        self.add(raw, len(records), sync=sync)

    @property
    def seq(self) -> int:
        """The number of the last record."""
        return self._seq

    def add(self, raw: bytes, records: int, *, sync: bool) -> None:
        """Add so many whole lines that bear the next numbers; raises as `append`."""
        try:
            self._write(raw)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise Unavailable("The audit log cannot grow.", code="HY-5102") from error
        if sync:
            # Not translated: after a failed sync the pages may be gone, whatever a second one says.
            os.fdatasync(self._descriptor)
        self._size += len(raw)
        self._seq += records
        if sync:
            self.durable_bytes = self._size

    def _write(self, raw: bytes) -> None:
        view = memoryview(raw)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        """Put on disk what was written without."""
        size = self._size
        os.fdatasync(self._descriptor)
        self.durable_bytes = size

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._descriptor)


def _lock(descriptor: int, wait_seconds: float) -> bool:
    until = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


def ours(at_ms: int, action: str, outcome: str) -> dict[str, object]:
    """Return a record of the writer itself."""
    return {
        "at_ms": at_ms,
        "phase": "conclude",
        "action": action,
        "outcome": outcome,
        "actor": "system:audit-writer",
    }


def _sync_directory(path: Path) -> None:
    """A new file is only there after a crash once its directory is on disk too."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
