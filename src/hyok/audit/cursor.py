"""How far an export has come: two small files for each, in ``<log>.exports/``.

``<name>.cursor.json`` is put on disk after the receiver acknowledged, never before.
``<name>.status.json`` tells people and metrics how it goes, and nothing depends on it.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from hyok.audit.file import find_ending
from hyok.audit.follow import Place
from hyok.errors import Conflict, Malformed

if TYPE_CHECKING:
    from pathlib import Path


def folder_of(log: Path) -> Path:
    """Return the folder of cursors beside a log."""
    return log.with_name(log.name + ".exports")


@dataclass(frozen=True, slots=True)
class Status:
    """How an export goes.  ``failing_since_ms`` 0: the last attempt succeeded."""

    sent_ms: int = 0  # when something was acknowledged last
    sent_records: int = 0  # since the process began
    failing_since_ms: int = 0
    error: str = ""
    stopped: bool = False  # somebody has to look into it


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an export came, and from where it begins anew after its receiver failed."""

    place: Place
    resend_from: Place


class CursorFile:
    """The cursor of one export.  One process at a time has it.

    Raises:
        Conflict: another process exports under this name.
    """

    def __init__(self, log: Path, name: str) -> None:
        folder = folder_of(log)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{name}.cursor.json"
        self._status_path = folder / f"{name}.status.json"
        self._lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise Conflict(f"Another process runs the export {name}.") from error
        self.status = Status()

    def load(self) -> Cursor | None:
        """Return how far it came; None: it never began.

        Raises:
            Malformed: the file is not one of ours (HY-5111).
        """
        return read_cursor(self._path)

    def save(self, cursor: Cursor) -> None:
        """Have the cursor on disk before this returns."""
        _replace(self._path, json.dumps(asdict(cursor)).encode(), sync=True)

    def tell(self, **changed: object) -> None:
        """Change what the status says."""
        self.status = replace(self.status, **changed)  # type: ignore[arg-type]  # by its names
        _replace(self._status_path, json.dumps(asdict(self.status)).encode(), sync=False)

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)


def read_cursor(path: Path) -> Cursor | None:
    """Return what a cursor's file says; None: there is none.

    Raises:
        Malformed: it is not one of ours (HY-5111).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(raw)
        places = [Place(**found[name]) for name in ("place", "resend_from")]
    except (ValueError, TypeError, KeyError) as error:
        raise _unreadable(path) from error
    for place in places:
        numbers: tuple[object, ...] = (place.seq, place.first, place.offset, place.at_ms)
        if not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise _unreadable(path)
    return Cursor(*places)


def _unreadable(path: Path) -> Malformed:
    return Malformed(
        f"{path} is no cursor of an export",
        code="HY-5111",
        effect="Nothing is exported, since some of it might be left out.",
        next_step="docs/audit-export.md, 'When an export stops'",
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How an export stands, for people and for metrics."""

    place: Place
    status: Status
    lag_records: int
    lag_seconds: float  # how long the oldest record that is not exported has waited, at most

    def failing_seconds(self, now_ms: int) -> float:
        """Return how long it has not got through; 0: it does."""
        since = self.status.failing_since_ms
        return max(0, now_ms - since) / 1000 if since else 0.0


def progress(log: Path, name: str, now_ms: int) -> Progress:
    """Return how the export ``name`` stands.

    Raises:
        Malformed: its cursor cannot be read (HY-5111).
        OSError: there is no log, or it cannot be read.
        Tampered: the log does not end in records of ours.
    """
    folder = folder_of(log)
    cursor = read_cursor(folder / f"{name}.cursor.json")
    place = cursor.place if cursor is not None else Place()
    try:
        status = Status(**json.loads((folder / f"{name}.status.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        status = Status()
    descriptor = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    try:
        last = find_ending(descriptor).seq
    finally:
        os.close(descriptor)
    lag = max(0, last - place.seq)
    # Nothing newer was exported since then: the delay is no longer than that.
    behind = max(0, now_ms - max(place.at_ms, status.sent_ms)) / 1000 if lag else 0.0
    return Progress(place, status, lag, behind)


def _replace(path: Path, raw: bytes, *, sync: bool) -> None:
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, raw)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
    if sync:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
