"""PinGate: a PIN that was refused is not tried again until an operator acts.

The mark is a file beside the agent's socket, so that it outlives the process: a supervisor that
restarts agents would otherwise lock the token in a minute.

Source: docs/format.md, section 13, rule 4.
"""

from __future__ import annotations

import os
from pathlib import Path


def gate_path(socket_path: str) -> Path:
    """Return where the mark of this agent stands."""
    return Path(socket_path + ".pin-refused")


class PinGate:
    """Shut by a refused PIN, opened by an operator (`clear`)."""

    def __init__(self, path: Path) -> None:
        self._path = path
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

    def is_shut(self) -> bool:
        return bool(self.cause)

    def shut(self, cause: str) -> None:
        """Shut it, durably: the directory entry is flushed before this returns."""
        self._cause = cause
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, cause.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def clear(self) -> None:
        """Open it: one login may be tried again."""
        self._path.unlink(missing_ok=True)
        self._cause = ""
