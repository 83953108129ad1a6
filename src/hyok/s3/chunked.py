"""Takes the aws-chunked framing off a body, from buffer to buffer.

Bytes leave the decoder before the signature of their chunk has been seen (a chunk may be larger
than any buffer).  So nothing that comes out may be committed before `ChunkedDecoder.finish`
returned: house rule "the last segment is the commit".

Source: AWS "Transferring payload in multiple chunks".
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from hyok.errors import Malformed, NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK_BYTES_MIN = 8192
CHUNK_HEADER_BYTES_MAX = 128  # 16 hex digits, ";chunk-signature=" and 64 hex digits are 97
TRAILER_LINE_BYTES_MAX = 1024
TRAILERS_MAX = 8

_PLAIN_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})").fullmatch
_SIGNED_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16});chunk-signature=([0-9a-f]{64})").fullmatch
_TRAILER_NAME = re.compile(r"[a-z0-9-]{1,128}").fullmatch
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class Verifier(Protocol):
    """Checks signatures in the order of the body; `hyok.sigv4.chunks.ChunkVerifier` is one."""

    def verify_chunk(self, data_sha256_hex: str, given: str) -> None: ...

    def verify_trailer(self, trailer: bytes, given: str) -> None: ...


class _State(Enum):
    HEADER = "header"
    DATA = "data"
    DATA_END = "data end"
    TRAILER = "trailer"
    DONE = "done"


class ChunkedDecoder:
    """Decodes one body, fed in pieces of any size.

    Args:
        decoded_length: what ``x-amz-decoded-content-length`` says.
        verifier: for the signed modes; None where chunks are not signed.
        trailer: does the mode have a trailer?
        announced: the trailer named by ``x-amz-trailer``, in lower case; empty when none.
    """

    __slots__ = (
        "_announced",
        "_chunk_left",
        "_chunk_size",
        "_decoded_left",
        "_hash",
        "_line",
        "_line_feed_ending",
        "_signature",
        "_state",
        "_trailer",
        "_trailer_lines",
        "_trailer_signature",
        "_verifier",
        "trailers",
    )

    def __init__(
        self,
        decoded_length: int,
        *,
        verifier: Verifier | None = None,
        trailer: bool = False,
        announced: str = "",
    ) -> None:
        self.trailers: Mapping[str, str] = {}
        self._decoded_left = decoded_length
        self._verifier = verifier
        self._trailer = trailer
        self._announced = announced
        self._state = _State.HEADER
        self._line = bytearray()
        self._chunk_left = 0
        self._chunk_size: int | None = None  # of the chunk before; None: there was none
        self._signature = ""
        self._hash = sha256() if verifier else None
        self._trailer_lines: dict[str, str] = {}
        self._trailer_signature = ""
        self._line_feed_ending = False

    @property
    def done(self) -> bool:
        """Has the end of the framing been seen, and did everything hold?"""
        return self._state is _State.DONE

    def decode(self, src: memoryview, dst: memoryview) -> tuple[int, int]:
        """Move what fits from ``src`` to ``dst``; return how many bytes were consumed and produced.

        Stops when ``src`` is used up, when ``dst`` is full and more data is due, or when done.

        Raises:
            Malformed: framing, lengths or trailer are wrong.
            NotAuthenticated: a signature does not match.
        """
        at = produced = 0
        while at < len(src) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                count = min(self._chunk_left, len(src) - at, len(dst) - produced)
                if count == 0:
                    break  # no room
                piece = src[at : at + count]
                dst[produced : produced + count] = piece
                if self._hash is not None:
                    self._hash.update(piece)
                at += count
                produced += count
                self._chunk_left -= count
                if self._chunk_left == 0:
                    self._end_of_data()
            else:
                at += self._take_line(src[at:])
        return at, produced

    def finish(self) -> None:
        """Return quietly if the body is complete and everything held.  Call at the body's end.

        Raises:
            Malformed: the body ended early.
        """
        if self._state is _State.TRAILER and self._line_feed_ending and not self._line:
            # Some clients end the trailer's line with LF and the trailer with one CRLF.
            self._end_of_trailer()
        if self._state is not _State.DONE:
            raise _incomplete()

    def _take_line(self, src: memoryview) -> int:
        """Collect a line up to CRLF; return how many bytes were taken."""
        limit = (
            TRAILER_LINE_BYTES_MAX if self._state is _State.TRAILER else CHUNK_HEADER_BYTES_MAX
        ) + 2
        piece = bytes(src[: limit - len(self._line)])
        end = piece.find(b"\n")
        # A line ends in CRLF; an LF alone may stand at the end of a trailer's value.
        while end != -1 and not (self._line + piece[:end]).endswith(b"\r"):
            end = piece.find(b"\n", end + 1)
        if end == -1:
            self._line += piece
            if len(self._line) >= limit:
                raise self._bad_framing()
            return len(piece)
        self._line += piece[: end + 1]
        line = bytes(self._line[:-2])
        self._line.clear()
        self._line_complete(line)
        return end + 1

    def _line_complete(self, line: bytes) -> None:
        if self._state is _State.HEADER:
            self._chunk_header(line)
        elif self._state is _State.DATA_END:
            if line:
                raise _incomplete()
            self._state = _State.HEADER if self._chunk_size else _State.DONE
        elif line:
            self._trailer_line(line)
        else:
            self._end_of_trailer()

    def _chunk_header(self, line: bytes) -> None:
        found = (_SIGNED_HEADER if self._verifier else _PLAIN_HEADER)(line)
        if found is None:
            raise _incomplete()
        size = int(found[1], 16)
        self._signature = found[2].decode() if self._verifier else ""
        if size and self._chunk_size is not None and self._chunk_size < CHUNK_BYTES_MIN:
            raise Malformed(
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                reason="InvalidChunkSizeError",
            )
        if size > self._decoded_left or (size == 0 and self._decoded_left):
            raise _incomplete()
        self._decoded_left -= size
        self._chunk_size = self._chunk_left = size
        if size:
            self._state = _State.DATA
            return
        self._verify_chunk()
        self._state = _State.TRAILER if self._trailer else _State.DATA_END

    def _end_of_data(self) -> None:
        self._verify_chunk()
        self._state = _State.DATA_END

    def _verify_chunk(self) -> None:
        if self._verifier is not None:
            assert self._hash is not None
            self._verifier.verify_chunk(self._hash.hexdigest(), self._signature)
            self._hash = sha256()

    def _trailer_line(self, line: bytes) -> None:
        self._line_feed_ending = line.endswith(b"\n")
        name, colon, value = line.removesuffix(b"\n").decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not _TRAILER_NAME(name) or "\n" in value or "\r" in value:
            raise _bad_trailer("The trailer of the body is malformed.")
        if name == _TRAILER_SIGNATURE and self._verifier is not None:
            if self._trailer_signature or not value:
                raise _bad_trailer("The trailer's signature is given twice or empty.")
            self._trailer_signature = value
            return
        if self._trailer_signature or name in self._trailer_lines:
            raise _bad_trailer("The trailer goes on after its signature or repeats itself.")
        if len(self._trailer_lines) >= TRAILERS_MAX:
            raise _bad_trailer("The trailer of the body has too many lines.")
        self._trailer_lines[name] = value

    def _end_of_trailer(self) -> None:
        announced = {self._announced} if self._announced else set()
        if set(self._trailer_lines) != announced:
            raise _bad_trailer("The trailer is not the one that x-amz-trailer announced.")
        if self._verifier is not None:
            if not self._trailer_signature:
                raise NotAuthenticated(
                    "The trailer of the body is not signed.", reason="SignatureDoesNotMatch"
                )
            text = "".join([f"{name}:{value}\n" for name, value in self._trailer_lines.items()])
            self._verifier.verify_trailer(text.encode("latin-1"), self._trailer_signature)
        self.trailers = self._trailer_lines
        self._state = _State.DONE

    def _bad_framing(self) -> Malformed:
        if self._state is _State.TRAILER:
            return _bad_trailer("A line of the trailer is too long.")
        return _incomplete()


def _incomplete() -> Malformed:
    return Malformed(
        "The request body terminated unexpectedly or its chunks are malformed.",
        reason="IncompleteBody",
    )


def _bad_trailer(sentence: str) -> Malformed:
    return Malformed(sentence, reason="MalformedTrailerError")
