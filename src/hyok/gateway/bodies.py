"""Bodies on their way in: framing off, every proof held, and only then an end.

The last bytes of a body are handed out only after signature, checksum and length proved true; so
whoever seals them cannot have committed before.
"""

from __future__ import annotations

import hmac
from hashlib import md5, sha256
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.objects.facts import Proofs
from hyok.s3.checksums import (
    PREFIX,
    Algorithm,
    Checksum,
    Declared,
    bad_digest,
    decode,
    parse_declared,
)
from hyok.s3.chunked import CHUNK_BYTES_MIN, ChunkedDecoder
from hyok.sigv4.chunks import ChunkVerifier
from hyok.sigv4.verify import (
    STREAMING_MODES,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.gateway.port import Exchange, Wire
    from hyok.s3.request import S3Request
    from hyok.sigv4.verify import Verified
    from hyok.vocabulary import Source, T

RAW_BYTES = 256 << 10
"""How much framed body is read at a time: about one segment."""

_FRAMING_BYTES_PER_CHUNK = 132  # header line, its CRLF and that of the data
_FRAMING_BYTES_REST = 16 << 10  # last chunk and trailer
_OBJECT_BYTES_MAX = 1 << 50


class Digests:
    """Everything a body is held against, over its plaintext.

    Args:
        declared: what the client said.
        payload: the payload hash that was signed, or the mode; empty where there is none.
        default: the checksum that is made where the client names none that can be kept.
    """

    def __init__(self, declared: Declared, payload: str, default: Algorithm) -> None:
        self._declared = declared
        self._sha = sha256() if len(payload) == 64 else None
        self._payload = payload
        self._md5 = md5(usedforsecurity=False) if declared.md5 is not None else None
        # Where the client names none, S3 keeps a CRC64NVME of its own; so do we.
        self._checksum = Checksum(declared.algorithm or default)
        # A checksum for which the format has no number is verified, and one of our own is kept.
        self._kept = self._checksum
        if not self._checksum.algorithm.kept and self._checksum.algorithm is not default:
            self._kept = Checksum(default)
        self.proofs: Proofs | None = None

    @property
    def verified(self) -> tuple[Algorithm, str]:
        """The checksum that was verified or made, as the client is told it.  After `check`."""
        return self._checksum.algorithm, self._checksum.text()

    def update(self, view: memoryview) -> None:
        """Take the next plaintext bytes."""
        if self._sha is not None:
            self._sha.update(view)
        if self._md5 is not None:
            self._md5.update(view)
        self._checksum.update(view)
        if self._kept is not self._checksum:
            self._kept.update(view)

    def check(self, trailers: Mapping[str, str]) -> None:
        """Hold everything against what was declared.  Call once, at the end.

        Raises:
            Malformed: reasons ``XAmzContentSHA256Mismatch``, ``BadDigest``.
        """
        if self._sha is not None and not hmac.compare_digest(self._sha.hexdigest(), self._payload):
            raise Malformed(
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                reason="XAmzContentSHA256Mismatch",
            )
        declared = self._declared
        digest = self._md5.digest() if self._md5 is not None else b""
        if digest != (declared.md5 or b""):
            raise bad_digest("Content-MD5")
        algorithm = self._checksum.algorithm
        value = self._checksum.digest()
        expected = declared.value
        if declared.in_trailer:
            # The decoder saw to it that the announced trailer came.
            expected = decode(algorithm, trailers[algorithm.header])
        if expected is not None and expected != value:
            raise bad_digest(algorithm.name)
        kept = value if self._kept is self._checksum else self._kept.digest()
        self.proofs = Proofs(digest, self._kept.algorithm._value_, kept)


class RequestBody:
    """A `ProvenBody`: the plaintext of one request's body."""

    def __init__(
        self,
        exchange: Exchange,
        size: int,
        digests: Digests,
        decoder: ChunkedDecoder | None,
        declared: Declared,
    ) -> None:
        self._exchange = exchange
        self.size = size  # of the plaintext, as the client declared it
        self._digests = digests
        self._decoder = decoder
        self.declared = declared

    async def whole(self) -> memoryview:
        """Return the whole body, every proof checked.

        Raises:
            NotAuthenticated, Malformed: a proof does not hold.
        """
        raw = memoryview(b"")
        if self._exchange.has_body:
            most = _encoded_bytes_max(self.size, self._decoder)
            if (self._exchange.content_length or 0) > most:
                raise _incomplete()
            raw = await self._exchange.read_whole(most)
        plain = raw if self._decoder is None else _decoded(self._decoder, raw, self.size)
        if len(plain) != self.size:
            raise _incomplete()
        self._digests.update(plain)
        self._digests.check(self._decoder.trailers if self._decoder else {})
        return plain

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` in a pump thread over the plaintext."""

        def over_the_wire(wire: Wire) -> T:
            return work(_PlainSource(wire.source, self.size, self._digests, self._decoder))

        return await self._exchange.pump(over_the_wire)

    def proofs(self) -> Proofs:
        """Return the digests that held.  Only after the body has ended."""
        assert self._digests.proofs is not None, "the body has not been read to its end"
        return self._digests.proofs

    @property
    def verified(self) -> tuple[Algorithm, str]:
        """The checksum that the client is told.  Only after the body has ended."""
        return self._digests.verified


def plaintext(
    exchange: Exchange,
    request: S3Request,
    verified: Verified,
    default: Algorithm = Algorithm.CRC64NVME,
    *,
    checksums_of_body: bool = True,
    may_be_absent: bool = False,
) -> RequestBody:
    """Return the body of a request, nothing of it read yet.

    Args:
        exchange: where the body comes from.
        request: its headers say what holds for the body.
        verified: the proof of the request, from which signed chunks go on.
        default: the checksum to make when the client names none.
        checksums_of_body: False where the checksum headers are about something else
            (CompleteMultipartUpload: about the object, not about this document).
        may_be_absent: True where no length means no body, as HTTP has it; S3 wants one for objects.

    Raises:
        Malformed: a length or checksum header is missing or wrong.
        Refused: the body comes in chunks of HTTP alone (``NotImplemented``, as Amazon S3 says).
    """
    payload = verified.payload
    chunked = payload in STREAMING_MODES
    trailers = payload in (STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER)
    under = request.headers_under(PREFIX) if checksums_of_body else {}
    header = request.header if checksums_of_body else _no_headers
    declared = parse_declared(header, under, trailers=trailers, kept=False)
    digests = Digests(declared, payload if payload != UNSIGNED_PAYLOAD else "", default)
    if not chunked:
        size = exchange.content_length
        if size is None and may_be_absent and not exchange.has_body:
            size = 0
        if size is None:
            raise _framed() if exchange.has_body else _no_length()
        return RequestBody(exchange, size, digests, None, declared)
    size = _decoded_length(request)
    decoder = ChunkedDecoder(
        size,
        verifier=(
            ChunkVerifier(
                verified.signing_key, verified.scope, verified.amz_date, verified.seed_signature
            )
            if payload in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)
            else None
        ),
        trailer=trailers,
        announced=(request.header("x-amz-trailer") or "").strip().lower() if trailers else "",
    )
    return RequestBody(exchange, size, digests, decoder, declared)


def _no_headers(_name: str) -> str | None:
    return None


def _decoded_length(request: S3Request) -> int:
    text = request.header("x-amz-decoded-content-length")
    if text is None:
        raise _no_length()
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > _OBJECT_BYTES_MAX:
        raise Malformed(
            "The header x-amz-decoded-content-length is not a length.", reason="InvalidArgument"
        )
    return int(text)


def _encoded_bytes_max(size: int, decoder: ChunkedDecoder | None) -> int:
    if decoder is None:
        return size
    return size + (size // CHUNK_BYTES_MIN + 2) * _FRAMING_BYTES_PER_CHUNK + _FRAMING_BYTES_REST


def _decoded(decoder: ChunkedDecoder, raw: memoryview, size: int) -> memoryview:
    plain = memoryview(bytearray(size))
    consumed, produced = decoder.decode(raw, plain)
    decoder.finish()
    if consumed != len(raw):
        raise _incomplete()
    return plain[:produced]


class _PlainSource:
    """The plaintext as a source.  In a pump thread."""

    def __init__(
        self, raw: Source, size: int, digests: Digests, decoder: ChunkedDecoder | None
    ) -> None:
        self._raw = raw
        self._left = size
        self._digests = digests
        self._decoder = decoder
        self._room = memoryview(bytearray(RAW_BYTES)) if decoder is not None else memoryview(b"")
        self._held = memoryview(b"")
        self._proven = False

    def read_into(self, buffer: memoryview) -> int:
        if self._proven or not buffer:
            return 0
        if self._left == 0:
            self._end()
            return 0
        count = (
            self._raw.read_into(buffer[: self._left])
            if self._decoder is None
            else self._decode_into(self._decoder, buffer)
        )
        if count == 0:
            raise _incomplete()
        self._left -= count
        self._digests.update(buffer[:count])
        if self._left == 0:
            # Before the caller sees the last byte: it may commit as soon as it has it.
            self._end()
        return count

    def _decode_into(self, decoder: ChunkedDecoder, buffer: memoryview) -> int:
        while True:
            consumed, produced = decoder.decode(self._held, buffer)
            self._held = self._held[consumed:]
            if produced:
                return produced
            if not self._fill():
                return 0

    def _fill(self) -> bool:
        count = self._raw.read_into(self._room)
        self._held = self._room[:count]
        return count > 0

    def _end(self) -> None:
        decoder = self._decoder
        if decoder is not None:
            nothing = memoryview(bytearray(0))
            while True:
                consumed, _ = decoder.decode(self._held, nothing)
                self._held = self._held[consumed:]
                if decoder.done or not self._fill():
                    break
            decoder.finish()
            if self._held:
                raise _incomplete()
        if self._raw.read_into(memoryview(bytearray(1))):
            raise _incomplete()
        self._digests.check(decoder.trailers if decoder else {})
        self._proven = True


def _incomplete() -> Malformed:
    return Malformed(
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        reason="IncompleteBody",
    )


def _framed() -> Refused:
    """Return what Amazon S3 says to Transfer-Encoding: chunked without a length."""
    return Refused(
        "A header you provided implies functionality that is not implemented: send Content-Length, "
        "or aws-chunked with x-amz-decoded-content-length, in place of Transfer-Encoding.",
        reason="NotImplemented",
    )


def _no_length() -> Malformed:
    return Malformed(
        "You must provide the Content-Length HTTP header.", reason="MissingContentLength"
    )
