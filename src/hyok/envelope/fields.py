"""The small fields of envelopes and keyring records, read strictly.

Both forms are a fixed head, a few fields behind their lengths, and a mac at the end.
"""

from __future__ import annotations

from hyok.errors import Malformed

MAC_BYTES = 32
WRAPPED_KEY_BYTES = 40
KEK_ID_BYTES_MAX = 64
SCOPE_BYTES_MAX = 128
TOKEN_BYTES_MAX = 0xFFFF


class Reader:
    """Walks over bytes and refuses to read past their end or to leave any behind."""

    __slots__ = ("_at", "_raw", "_what")

    def __init__(self, raw: bytes, what: str) -> None:
        self._raw = raw
        self._at = 0
        self._what = what

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        end = self._at + count
        if end > len(self._raw):
            raise Malformed(f"the {self._what} ends too early")
        piece = self._raw[self._at : end]
        self._at = end
        return piece

    def number(self, count: int) -> int:
        """Return the next ``count`` bytes as an unsigned integer."""
        return int.from_bytes(self.take(count), "big")

    def text(self, bytes_min: int, bytes_max: int) -> str:
        """Return a text behind its one-byte length."""
        count = self.number(1)
        if not bytes_min <= count <= bytes_max:
            raise Malformed(f"a text of the {self._what} has a forbidden length")
        try:
            return self.take(count).decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"a text of the {self._what} is not UTF-8") from error

    def end(self) -> None:
        """Return quietly if nothing is left."""
        if self._at != len(self._raw):
            raise Malformed(f"the {self._what} has bytes left over")


def text_at(raw: bytes, at: int, bytes_min: int, bytes_max: int, what: str) -> tuple[str, int]:
    """Return the text behind its one-byte length at ``at``, and where it ends.

    Raises:
        Malformed: it is cut, too short, too long or not UTF-8.
    """
    if at >= len(raw):
        raise Malformed(f"the {what} ends too early")
    count = raw[at]
    stop = at + 1 + count
    if not bytes_min <= count <= bytes_max:
        raise Malformed(f"a text of the {what} has a forbidden length")
    if stop > len(raw):
        raise Malformed(f"the {what} ends too early")
    try:
        return raw[at + 1 : stop].decode(), stop
    except UnicodeDecodeError as error:
        raise Malformed(f"a text of the {what} is not UTF-8") from error


def long_at(raw: bytes, at: int, what: str) -> tuple[bytes, int]:
    """Return the bytes behind their two-byte length at ``at``, and where they end.

    Raises:
        Malformed: they are cut.
    """
    start = at + 2
    stop = start + int.from_bytes(raw[at:start], "big")
    if start > len(raw) or stop > len(raw):
        raise Malformed(f"the {what} ends too early")
    return raw[start:stop], stop


def render_text(text: str, bytes_min: int, bytes_max: int) -> bytes:
    """Return a text in UTF-8 behind its one-byte length.

    Raises:
        Malformed: its length is not allowed.
    """
    raw = text.encode()
    if not bytes_min <= len(raw) <= bytes_max:
        raise Malformed(f"a KEK's name or scope has {bytes_min} to {bytes_max} bytes")
    return bytes([len(raw)]) + raw


def render_long(raw: bytes) -> bytes:
    """Return bytes behind their two-byte length.

    Raises:
        Malformed: they are too many.
    """
    if len(raw) > TOKEN_BYTES_MAX:
        raise Malformed("a token or metadata block is too long")
    return len(raw).to_bytes(2, "big") + raw


def render_fixed(raw: bytes, count: int, what: str) -> bytes:
    """Return ``raw`` if it is ``count`` bytes long.

    Raises:
        Malformed: it is not.
    """
    if len(raw) != count:
        raise Malformed(f"the {what} is {count} bytes")
    return raw
