"""The file of a browser's form on its way in: fields first, then the file, then nothing else.

A form does not say how long its file is, and a sealed object's length must be known before the
store is asked.  A short form is held whole.  Of a long one the length follows from that of the
request, less the framing; whether the form ends just there is checked before the last byte of the
file is handed out, so that whoever seals it cannot have committed before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.gateway.bodies import RAW_BYTES
from hyok.s3.form_data import AFTER_BYTES_MAX, FormDecoder, malformed_form, parse_boundary
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX, MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.gateway.bodies import Digests
    from hyok.gateway.port import Exchange, Wire
    from hyok.objects.facts import Proofs
    from hyok.s3.checksums import Algorithm
    from hyok.vocabulary import Pump, Source, T

HELD_BYTES_MAX = WHOLE_BODY_BYTES_MAX + AFTER_BYTES_MAX
"""A form of which no more than this is left behind its fields is held whole."""

_PIECE_BYTES = 8 << 10
_NOWHERE = memoryview(bytearray(0))


class FormReader:
    """Reads one form up to its file.

    Args:
        exchange: a POST whose body is read by nobody else.
        content_type: its Content-Type.
        pump: for work over a file that is held and yet too long for the loop.

    Raises:
        Malformed: it is no form (``MalformedPOSTRequest``), or has no length
            (``MissingContentLength``).
    """

    def __init__(self, exchange: Exchange, content_type: str | None, pump: Pump) -> None:
        self._exchange = exchange
        self._pump = pump
        self.decoder = FormDecoder(parse_boundary(content_type))
        length = exchange.content_length
        if length is None:
            raise Malformed(
                "You must provide the Content-Length HTTP header.", reason="MissingContentLength"
            )
        self._left = length  # of the body, not read yet
        self._raw = memoryview(b"")  # read, not decoded yet

    async def fields(self) -> None:
        """Read until the fields are known and the file is next.

        Raises:
            Malformed: it is no form, or one without a file.
        """
        while not self.decoder.file_seen:
            await self._read_more()
            consumed, _ = self.decoder.decode(self._raw, _NOWHERE)
            self._raw = self._raw[consumed:]

    async def _read_more(self) -> None:
        piece = await self._exchange.read_some(_PIECE_BYTES)
        if not piece:
            self.decoder.finish()
            raise malformed_form("POST requires exactly one file upload per request.")
        self._left -= len(piece)
        self._raw = memoryview(bytes(self._raw) + bytes(piece))

    async def file(self, digests: Digests) -> FileBody:
        """Return the file: in memory where it is short, else nothing of it read yet.

        Raises:
            Malformed: the form breaks a rule, or a proof does not hold.
        """
        if len(self._raw) + self._left <= HELD_BYTES_MAX:
            return FileBody(await self._held(digests), digests, self._pump)
        size = self.decoder.length_of_file(len(self._raw) + self._left)
        streamed = _Streamed(self._exchange, self.decoder, self._raw)
        return FileBody(memoryview(b""), digests, self._pump, streamed, size)

    async def _held(self, digests: Digests) -> memoryview:
        """Return the whole file.  What follows it in the form is passed over, as S3 does."""
        rest = await self._exchange.read_whole(HELD_BYTES_MAX) if self._left else b""
        raw = memoryview(bytes(self._raw) + bytes(rest))
        plain = memoryview(bytearray(len(raw) + self.decoder.held_bytes))
        _, produced = self.decoder.decode(raw, plain)
        self.decoder.finish()
        digests.update(plain[:produced])
        digests.check({})
        return plain[:produced]


class FileBody:
    """A `ProvenBody`: the file of one form."""

    def __init__(
        self,
        held: memoryview,
        digests: Digests,
        pump: Pump,
        streamed: _Streamed | None = None,
        size: int = 0,
    ) -> None:
        self._held = held
        self._digests = digests
        self._pump = pump
        self._streamed = streamed
        self.size = size if streamed else len(held)

    async def whole(self) -> memoryview:
        """Return the file of a form that was held."""
        assert self._streamed is None, "a long file is pumped"
        return self._held

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` over the file, in a pump thread: what it writes to blocks."""
        streamed = self._streamed
        if streamed is None:
            return await self._pump.run(lambda: work(MemorySource(self._held)))
        source = _FileSource(streamed, self.size, self._digests)

        def over_the_wire(wire: Wire) -> T:
            source.wire = wire.source
            return work(source)

        return await streamed.exchange.pump(over_the_wire)

    def proofs(self) -> Proofs:
        """Return the digests that held.  Only after the file has ended."""
        assert self._digests.proofs is not None, "the file has not been read to its end"
        return self._digests.proofs

    @property
    def verified(self) -> tuple[Algorithm, str]:
        """The checksum that the client is told.  Only after the file has ended."""
        return self._digests.verified


class _Streamed:
    """A form of which the fields were read."""

    def __init__(self, exchange: Exchange, decoder: FormDecoder, raw: memoryview) -> None:
        self.exchange = exchange
        self.decoder = decoder
        self.raw = raw


class _FileSource:
    """The file as a source.  In a pump thread."""

    def __init__(self, streamed: _Streamed, size: int, digests: Digests) -> None:
        self.wire: Source = MemorySource(b"")
        self._decoder = streamed.decoder
        self._raw = streamed.raw
        self._left = size
        self._digests = digests
        self._room = memoryview(bytearray(RAW_BYTES))

    def read_into(self, buffer: memoryview) -> int:
        if not self._left or not buffer:
            return 0
        count = self._decode_into(buffer[: self._left])
        self._left -= count
        self._digests.update(buffer[:count])
        if self._left == 0:
            # Before the caller sees the last byte: it may commit as soon as it has it.
            self._end()
        return count

    def _decode_into(self, buffer: memoryview) -> int:
        while True:
            consumed, produced = self._decoder.decode(self._raw, buffer)
            self._raw = self._raw[consumed:]
            if produced:
                return produced
            if not self._decoder.at_file:
                raise _too_much_behind()
            if not self._fill():
                raise Malformed("The body ended inside of the file.", reason="IncompleteBody")

    def _fill(self) -> bool:
        count = self.wire.read_into(self._room)
        self._raw = self._room[:count]
        return count > 0

    def _end(self) -> None:
        """Return quietly if the closing boundary is next.

        What is left of the request is just as long as that and the end of its line.
        """
        tail = bytes(self._raw)
        while self._fill():
            tail += bytes(self._raw)
        # With room for a byte: what is not the boundary would be one more of the file.
        _, produced = self._decoder.decode(memoryview(tail), memoryview(bytearray(1)))
        if produced or not self._decoder.done:
            raise _too_much_behind()
        self._digests.check({})


def _too_much_behind() -> Malformed:
    return malformed_form(
        f"A file of more than {WHOLE_BODY_BYTES_MAX} bytes must be the last field, and the form "
        "must end with the closing boundary and the end of its line."
    )
