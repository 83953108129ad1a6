"""LinesFile: messages as lines of a file, which another program takes further."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TORN_BYTES_MAX = 1 << 20
"""More than the longest message."""


class LinesFile:
    """Appends to the file at ``path``, opened anew for each batch: it may be rotated any time.

    A line that a crash tore is cut off before the next one: it is sent again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, messages: Sequence[bytes]) -> None:
        """Have the messages on disk; see `Sink.send`."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path, flags, 0o640)
            try:
                _cut_torn_end(descriptor)
                view = memoryview(b"".join(message + b"\n" for message in messages))
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is open between two batches."""


def _cut_torn_end(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    start = max(0, size - TORN_BYTES_MAX)
    end = start + os.pread(descriptor, size - start, start).rfind(b"\n") + 1
    if end == start and start:
        raise OSError(errno.EINVAL, "it does not end in lines; another program writes it")
    if end != size:
        os.ftruncate(descriptor, end)
