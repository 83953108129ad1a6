"""One part of an object: sealed and opened segment by segment, in buffers that the caller owns.

A part is byte for byte a ciphertext of the public AES-GCM-HKDF streaming AEAD (Google Tink's
``AesGcmHkdfStreamingKey``, 256 KiB segments), so independent libraries can read it.  The last
segment is marked in its nonce: what was sent before it can not be mistaken for a whole part.

Nothing is allocated per segment; that is what lets one process move gigabytes a second.

Source: docs/format.md, section 4.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import part_key
from hyok.envelope.layout import HEADER_BYTES, PARTS_MAX, TAG_BYTES, layout_of
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from hyok.envelope.keys import DataKey
    from hyok.envelope.layout import Suite

PART_SALT_BYTES = 32
NONCE_PREFIX_BYTES = 7
PART_ID_BYTES = 16
UNBOUND = bytes(PART_ID_BYTES)
"""The part_id of an entry that names no attempt."""

_NONCE_BYTES = 12
_INDEX = slice(NONCE_PREFIX_BYTES, NONCE_PREFIX_BYTES + 4)
_LAST = NONCE_PREFIX_BYTES + 4
_SEGMENTS_MAX = 1 << 32


def part_header(part_salt: bytes, nonce_prefix: bytes) -> bytes:
    """Return the header of a new part.

    Both are fresh random bytes for every attempt: two plaintexts under one header would give away
    both of them.
    """
    if len(part_salt) != PART_SALT_BYTES or len(nonce_prefix) != NONCE_PREFIX_BYTES:
        raise ValueError("a part has a salt of 32 bytes and a nonce prefix of 7")
    return bytes([HEADER_BYTES]) + part_salt + nonce_prefix


def check_header(header: bytes | memoryview) -> None:
    """Return quietly if ``header`` can be that of a part.

    Raises:
        Malformed: it cannot.
    """
    if len(header) != HEADER_BYTES or header[0] != HEADER_BYTES:
        raise Malformed("the part header is wrong")


def part_id(header: bytes | memoryview) -> bytes:
    """Return the 16 bytes that name one attempt at a part, for its entry in the trailer."""
    return sha256(b"HYOK1 part id" + header).digest()[:PART_ID_BYTES]


class _Segments:
    """The key and the nonce of a part's segments.  Used by one thread at a time."""

    __slots__ = ("_aead", "_nonce", "layout")

    def __init__(self, data_key: DataKey, suite: Suite, part_number: int, header: bytes) -> None:
        check_header(header)
        if not 1 <= part_number <= PARTS_MAX:
            raise Malformed(f"no part has the number {part_number}")
        salt = bytes(header[1 : 1 + PART_SALT_BYTES])
        self.layout = layout_of(suite)
        self._aead = AESGCM(part_key(data_key.content_key, salt, suite.id, part_number))
        self._nonce = bytearray(_NONCE_BYTES)
        self._nonce[:NONCE_PREFIX_BYTES] = header[1 + PART_SALT_BYTES :]

    def _aim(self, index: int, *, last: bool) -> bytearray:
        self._nonce[_INDEX] = index.to_bytes(4, "big")
        self._nonce[_LAST] = last
        return self._nonce


class PartSealer(_Segments):
    """Seals one part, segment after segment.  The caller writes the header first.

    Keep the last segment back until the body has proved true: it is what commits the part.
    """

    __slots__ = ("_index",)

    def __init__(self, data_key: DataKey, suite: Suite, part_number: int, header: bytes) -> None:
        super().__init__(data_key, suite, part_number, header)
        self._index = 0

    def segment_plain_bytes(self, index: int) -> int:
        """Return how much plaintext segment ``index`` carries when it is not the last."""
        return self.layout.segment_plain_bytes - (HEADER_BYTES if index == 0 else 0)

    def seal_into(self, plain: memoryview, out: memoryview, *, last: bool) -> int:
        """Seal the next segment into the front of ``out``; return how many bytes it fills.

        Every segment but the last is full, and the last is empty only where it is the first.

        Raises:
            ValueError: the plaintext has another length, or the part has ended: our bug.
        """
        index = self._index
        count = len(plain)
        full = self.segment_plain_bytes(index)
        if not 0 <= index < _SEGMENTS_MAX:
            raise ValueError("the part has ended")
        if count > full or (count < full and not last) or (count == 0 and index):
            raise ValueError(f"segment {index} does not hold {count} bytes of plaintext")
        sealed = count + TAG_BYTES
        room = out if len(out) == sealed else out[:sealed]
        # First the index moves on: a failure half-way must not let a nonce be used again.
        self._index = -1 if last else index + 1
        return self._aead.encrypt_into(self._aim(index, last=last), plain, None, room)


class PartOpener(_Segments):
    """Opens the segments of one part, in any order.

    The number of segments follows from ``part_plain_size``, which must be proven: by the
    envelope's mac or by the trailer's tag.
    """

    __slots__ = ("_sealed_size", "part_plain_size", "segment_count")

    def __init__(
        self,
        data_key: DataKey,
        suite: Suite,
        part_number: int,
        header: bytes,
        part_plain_size: int,
    ) -> None:
        super().__init__(data_key, suite, part_number, header)
        self.part_plain_size = part_plain_size
        self.segment_count = self.layout.segment_count(part_plain_size)
        self._sealed_size = self.layout.part_sealed_size(part_plain_size)

    def sealed_span(self, index: int) -> tuple[int, int]:
        """Return where segment ``index`` stands in the part: ``(start, stop)``."""
        size = self.layout.suite.segment_bytes
        return index * size or HEADER_BYTES, min((index + 1) * size, self._sealed_size)

    def open_into(self, index: int, sealed: memoryview, out: memoryview) -> int:
        """Open segment ``index`` into the front of ``out``; return how many bytes it held.

        After a failure ``out`` holds zeros where the plaintext would have been.

        Raises:
            Tampered: these bytes are not that segment of that part.
        """
        if not 0 <= index < self.segment_count:
            raise ValueError("the part has no such segment")
        start, stop = self.sealed_span(index)
        if len(sealed) != stop - start:
            raise Tampered("a sealed segment has the wrong length")
        plain = stop - start - TAG_BYTES
        room = out if len(out) == plain else out[:plain]
        nonce = self._aim(index, last=index == self.segment_count - 1)
        try:
            return self._aead.decrypt_into(nonce, sealed, None, room)
        except InvalidTag as error:
            # The cipher has written what it decrypted before it saw the tag.
            room[:] = bytes(plain)
            raise Tampered("a sealed segment failed authentication") from error
