"""PinGate: a PIN that was refused is not tried again until an operator acts.

The mark is a file beside the agent's socket, so that it outlives the process: a supervisor that
restarts agents would otherwise lock the token in a minute.

Source: docs/format.md, section 13, rule 4.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def gate_path(socket_path: str) -> Path:
    """Return where the mark of this agent stands."""
    return Path(socket_path + ".pin-refused")


class PinGate:
    """Shut by a refused PIN, opened by an operator (`clear`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._prepared = path.with_name(path.name + ".prepared")
        # Also in memory: should the file not be written, this process at least keeps to it.
        self._cause = ""

    @property
    def cause(self) -> str:
        """PKCS#11's name for the refusal; empty while the gate is open."""
        if self._cause:
            return self._cause
        try:
            return self._path.read_text() or "unknown"
        except FileNotFoundError:
            return ""

    def prepare(self) -> None:
        """Make the file that `shut` will put in place.  Called before any login.

        Raises:
            OSError: it cannot be written, so no PIN may be tried.
        """
        descriptor = os.open(self._prepared, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"unknown")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def is_shut(self) -> bool:
        return bool(self.cause)

    def shut(self, cause: str) -> None:
        """Shut it, durably: the directory entry is flushed before this returns.

        Never raises: an error here would end the process, and the next one would try the PIN again.
        """
        self._cause = cause
        with contextlib.suppress(OSError):
            if not self._prepared.exists():
                self.prepare()
            # A rename needs no room, so a full disk does not stop it; the cause may.
            self._prepared.replace(self._path)
            _flush(self._path.parent, os.O_RDONLY)
            self._path.write_text(cause)
            _flush(self._path, os.O_WRONLY)

    def clear(self) -> None:
        """Open it: one login may be tried again."""
        self._path.unlink(missing_ok=True)
        self._cause = ""


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
