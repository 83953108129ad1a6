"""A body on its way to an S3 store, with a checksum of its own after its last byte (aws-chunked).

The length on the wire is known beforehand.  The checksum is over the ciphertext; a store that takes
trailers refuses what was damaged on the way, where TLS ends before the store does.

Source: Amazon S3 API Reference, "Signature calculations: trailing headers".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hyok.s3.checksums import Algorithm, Checksum, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.http1.client import Pieces, Response

ALGORITHM = Algorithm.CRC32C
PAYLOAD = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNK_BYTES = 1 << 20
WHOLE_BYTES_MIN = 64 << 10
"""A body held whole has a trailer from here on; a shorter one is hashed sooner than its headers."""
_END = b"\r\n"
# A content-encoding of the client's own would have to be joined with aws-chunked; and of what a
# Content-MD5 is, the framed body or the other, is not said where both come.
_NO_TRAILER = frozenset({"content-encoding", "content-md5"})


class Outgoing(Protocol):
    """What an `hyok.http1.client.Upload` is to its users."""

    def write(self, view: memoryview) -> None: ...

    def finish(self) -> Response: ...

    def abort(self) -> None: ...


def may_trail(headers: Mapping[str, str], size: int = WHOLE_BYTES_MIN) -> bool:
    """May a body with these headers have a trailer, and is it long enough to gain by one?"""
    return size >= WHOLE_BYTES_MIN and _NO_TRAILER.isdisjoint(headers)


def trailer_headers(size: int) -> dict[str, str]:
    """Return the headers that announce a body of ``size`` bytes sent so."""
    return {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(size),
        "x-amz-trailer": ALGORITHM.header,
    }


def wire_length(size: int, chunk_bytes: int = CHUNK_BYTES) -> int:
    """Return how many bytes a body of ``size`` bytes is on the wire."""
    full, rest = divmod(size, chunk_bytes)
    frame = 2 * len(_END)
    length = full * (len(f"{chunk_bytes:x}") + chunk_bytes + frame)
    if rest:
        length += len(f"{rest:x}") + rest + frame
    return length + len(_tail(bytes(ALGORITHM.size), first=True))


def _tail(checksum: bytes, *, first: bool) -> bytes:
    """Return the last chunk and the trailer; ``first``: no chunk stands before it."""
    line = f"{ALGORITHM.header}:{encode(checksum)}".encode()
    return (b"" if first else _END) + b"0" + _END + line + _END + _END


def framed(
    body: bytes | bytearray | memoryview,
    *,
    damage: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Pieces:
    """Return a body that is held whole as it is sent, in pieces: of the body itself, no copy.

    ``damage``: with a checksum that is wrong, to see it refused.
    """
    view = memoryview(body)
    checksum = Checksum(ALGORITHM)
    checksum.update(view)
    digest = bytearray(checksum.digest())
    digest[0] ^= damage
    pieces: list[bytes | memoryview] = []
    before = b""
    for start in range(0, len(view), chunk_bytes):
        chunk = view[start : start + chunk_bytes]
        pieces += [before + f"{len(chunk):x}".encode() + _END, chunk]
        before = _END
    return (*pieces, _tail(bytes(digest), first=not pieces))


class TrailedUpload:
    """Frames what it is given into chunks of one length, and ends with the checksum."""

    def __init__(self, upload: Outgoing, size: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._upload = upload
        self._left = size
        self._chunk_left = 0
        self._chunk_bytes = chunk_bytes
        self._begun = False
        self._checksum = Checksum(ALGORITHM)

    def write(self, view: memoryview) -> None:
        """Send all of ``view``."""
        self._checksum.update(view)
        while view:
            if not self._chunk_left:
                self._begin_chunk()
            piece = view[: self._chunk_left]
            self._upload.write(piece)
            self._chunk_left -= len(piece)
            self._left -= len(piece)
            view = view[len(piece) :]

    def _begin_chunk(self) -> None:
        self._chunk_left = min(self._left, self._chunk_bytes)
        assert self._chunk_left, "more than the length that was promised"
        before = _END if self._begun else b""
        self._begun = True
        self._upload.write(memoryview(before + f"{self._chunk_left:x}".encode() + _END))

    def finish(self) -> Response:
        """Send the checksum and return the answer."""
        assert not self._left, "less than the length that was promised"
        tail = _tail(self._checksum.digest(), first=not self._begun)
        self._upload.write(memoryview(tail))
        return self._upload.finish()

    def abort(self) -> None:
        """Break off."""
        self._upload.abort()
