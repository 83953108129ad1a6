"""Bodies on the wire: of a known length, or in chunks (RFC 9112 section 7.1).  Pure."""

from __future__ import annotations

import re
from typing import Protocol

from hyok.errors import Malformed

LINE_BYTES_MAX = 1024
TRAILER_BYTES_MAX = 8192
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?").fullmatch


class Framing(Protocol):
    """Finds the body's bytes in what the connection brings."""

    done: bool

    def plan(self, held: memoryview) -> tuple[int, int]:
        """Return ``(skip, take)``: bytes of framing to drop, then bytes of body at hand.

        ``(0, 0)`` when more has to be read, or when ``done``.

        Raises:
            Malformed: the framing is wrong.
        """
        ...

    def took(self, count: int) -> None:
        """``count`` bytes of body were consumed."""
        ...


class Counted:
    """A body of a known length."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def plan(self, held: memoryview) -> tuple[int, int]:
        return 0, min(self.left, len(held))

    def took(self, count: int) -> None:
        self.left -= count
        self.done = self.left == 0


class Chunked:
    """A body in chunks; trailers are skipped."""

    __slots__ = ("_in_trailer", "_left", "_needs_end", "_trailer_bytes", "done")

    def __init__(self) -> None:
        self._left = 0
        self._needs_end = False
        self._in_trailer = False
        self._trailer_bytes = 0
        self.done = False

    def plan(self, held: memoryview) -> tuple[int, int]:
        skip = 0
        while not self.done and not self._left:
            line_end = bytes(held[skip : skip + LINE_BYTES_MAX + 2]).find(b"\r\n")
            if line_end < 0:
                if len(held) - skip > LINE_BYTES_MAX:
                    raise _bad()
                return skip, 0
            line = bytes(held[skip : skip + line_end])
            skip += line_end + 2
            self._take_line(line)
        return skip, min(self._left, len(held) - skip)

    def _take_line(self, line: bytes) -> None:
        if self._needs_end:
            if line:
                raise _bad()
            self._needs_end = False
        elif self._in_trailer:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > TRAILER_BYTES_MAX:
                raise _bad()
            self.done = not line
        else:
            found = _SIZE(line)
            if found is None:
                raise _bad()
            self._left = int(found[1], 16)
            self._in_trailer = self._left == 0

    def took(self, count: int) -> None:
        self._left -= count
        self._needs_end = self._left == 0


def _bad() -> Malformed:
    return Malformed("The body's chunks are not framed as HTTP says.", reason="IncompleteBody")
