"""What stands beside a log, in ``<log>.tree/``: tiles, checkpoints, public keys.

Everything but the signatures can be made again from the lines of the log.  A file appears whole:
it is written beside its place, put on disk, then renamed.

Source: C2SP tlog-tiles (the folder may be served as it is).
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import parse_public_key
from hyok.audit.tree import HASH_BYTES, TILE_HASHES, tile_path
from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hyok.audit.checkpoint import PublicKey

LATEST = "checkpoint"
HISTORY = "checkpoints.jsonl"
STATE = "state.json"
PROBLEM = "problem.txt"
MEMORY = "sent.json"
"""What a host that shares its log remembers of itself; of no meaning to others."""

TAIL_BYTES = 128 << 10


def folder_of(log: Path) -> Path:
    """Return the folder beside a log."""
    return log.with_name(log.name + ".tree")


def pinned_key(log: Path, name: str) -> Path:
    """Return where the public half of the signing key of this name is kept, as first seen."""
    return folder_of(log) / f"key-{name.rpartition('/')[2]}.pem"


def pinned_keys(log: Path) -> Sequence[PublicKey]:
    """Return the public keys that lie beside a log, of every version of its key."""
    return [
        parse_public_key(path.read_bytes()) for path in sorted(folder_of(log).glob("key-*.pem"))
    ]


class TreeFolder:
    """The folder of one log.  Blocking; one thread at a time writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._touched: set[Path] = set()

    def read_tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first ``width`` hashes of a tile.

        Raises:
            Tampered: neither the full tile nor one of this width is there, or it is not whole.
        """
        for kept in {TILE_HASHES, width}:
            try:
                raw = (self.path / tile_path(level, index, kept)).read_bytes()
            except FileNotFoundError:
                continue
            if len(raw) == kept * HASH_BYTES:
                return raw[: width * HASH_BYTES]
        raise Tampered(f"{self.path / tile_path(level, index, width)} is missing or not whole")

    def write_tile(self, level: int, index: int, raw: bytes) -> None:
        """Keep a tile; a full one ends those that were partial."""
        width = len(raw) // HASH_BYTES
        place = self.path / tile_path(level, index, width)
        if width < TILE_HASHES and place.exists():
            return
        self.write(place, raw)
        if width == TILE_HASHES:
            shutil.rmtree(place.with_name(place.name + ".p"), ignore_errors=True)

    def forget_tiles(self) -> None:
        """Remove all tiles: they are made again from the log."""
        shutil.rmtree(self.path / "tile", ignore_errors=True)
        (self.path / STATE).unlink(missing_ok=True)

    def write(self, place: Path, raw: bytes) -> None:
        """Put a whole file in its place."""
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = place.with_name(place.name + ".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(place)
        self._touched.add(place.parent)

    def settle(self) -> None:
        """Have what was renamed on disk as well."""
        for folder in self._touched:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._touched.clear()

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def add_checkpoint(self, note: str) -> None:
        """Keep a signed checkpoint, as the newest one; the others stay in the history."""
        history = self.path / HISTORY
        with history.open("ab") as file:
            file.write(json.dumps(note).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.write(self.path / LATEST, note.encode())
        self.settle()

    def mend_history(self) -> None:
        """Cut off a line that a crash tore."""
        history = self.path / HISTORY
        if not history.exists():
            return
        with history.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - TAIL_BYTES)
            file.seek(start)
            end = start + file.read().rfind(b"\n") + 1
            if end < size:
                file.truncate(end)

    def newest(self) -> str | None:
        """Return the newest note of the history, or None.

        Raises:
            Tampered: its line is none that this program writes.
        """
        try:
            with (self.path / HISTORY).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                lines = file.read().split(b"\n")[:-1]
        except FileNotFoundError:
            return None
        return _note(lines[-1]) if lines else None

    def history_bytes(self) -> int:
        """Return how long the history is now."""
        history = self.path / HISTORY
        return history.stat().st_size if history.exists() else 0

    def notes(self, stop: int = 1 << 62) -> Iterator[str]:
        """Yield every note in the history's first ``stop`` bytes; a torn last line is left out.

        Raises:
            Tampered: a line is none that this program writes.
        """
        try:
            file = (self.path / HISTORY).open("rb")
        except FileNotFoundError:
            return
        with file:
            while file.tell() < stop and (line := file.readline(TAIL_BYTES)):
                if not line.endswith(b"\n"):
                    return
                yield _note(line)


def _note(line: bytes) -> str:
    try:
        note = json.loads(line)
    except (ValueError, RecursionError):
        note = None
    if not isinstance(note, str):
        raise Tampered("a line of the checkpoints' history is no checkpoint", code="HY-5106")
    return note
