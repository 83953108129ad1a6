"""Wire: an exchange in the hands of a pump thread; its bodies as a source and a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Unavailable
from hyok.http1.transfer import Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.http1.blocking import Blocking
    from hyok.http1.exchange import Exchange
    from hyok.http1.transfer import Framing
    from hyok.vocabulary import Sink

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SCRATCH_BYTES = 64 << 10


def short() -> Malformed:
    """Return the error of a body that ended early."""
    return Malformed(
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        reason="IncompleteBody",
    )


class BodySource:
    """A request's or an answer's body in a pump thread, as a `Source`."""

    def __init__(
        self, blocking: Blocking, framing: Framing, short: Callable[[], Exception]
    ) -> None:
        self._blocking = blocking
        self._framing = framing
        self._short = short
        self._held = memoryview(b"")
        self._scratch: memoryview | None = None

    def read_into(self, buffer: memoryview) -> int:
        framing = self._framing
        if isinstance(framing, Counted):
            if framing.done:
                return 0
            count = self._recv(buffer[: framing.left])
            framing.took(count)
            return count
        return self._read_chunked(buffer)

    def _recv(self, view: memoryview) -> int:
        try:
            count = self._blocking.recv_into(view)
        except OSError as error:
            raise self._short() from error
        if not count:
            raise self._short()
        return count

    def _read_chunked(self, buffer: memoryview) -> int:
        while True:
            skip, take = self._framing.plan(self._held)
            self._held = self._held[skip:]
            if take:
                count = min(take, len(buffer))
                buffer[:count] = self._held[:count]
                self._held = self._held[count:]
                self._framing.took(count)
                return count
            if self._framing.done:
                return 0
            rest = bytes(self._held)
            if self._scratch is None:
                self._scratch = memoryview(bytearray(_SCRATCH_BYTES + 4096))
            self._scratch[: len(rest)] = rest
            count = self._recv(self._scratch[len(rest) : len(rest) + _SCRATCH_BYTES])
            self._held = self._scratch[: len(rest) + count]

    def give_back(self) -> None:
        """Return bytes that belong to the next message to the connection."""
        if self._held:
            self._blocking.leftover = memoryview(bytes(self._held) + bytes(self._blocking.leftover))
            self._held = memoryview(b"")


class _Answer:
    """The body of an answer in a pump thread, as a `Sink`; the head goes out with its front."""

    def __init__(self, wire: Wire, head: bytes, length: int) -> None:
        self._wire = wire
        self._head: bytes | None = head
        self.left = length
        if not length:
            self.flush()

    def write(self, view: memoryview) -> None:
        assert len(view) <= self.left, "more than the length that was promised"
        try:
            if self._head is not None:
                head, self._head = self._head, None
                self._wire.blocking.sendall(head, view)
            else:
                self._wire.blocking.sendall(view)
        except OSError as error:
            raise Unavailable("The client went away.", reason="RequestTimeout") from error
        self.left -= len(view)

    def flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            try:
                self._wire.blocking.sendall(head)
            except OSError as error:
                raise Unavailable("The client went away.", reason="RequestTimeout") from error


class Wire:
    """The exchange in the hands of a pump thread."""

    def __init__(self, exchange: Exchange, blocking: Blocking) -> None:
        self._exchange = exchange
        self.blocking = blocking
        self._source: BodySource | None = None
        self.answer: _Answer | None = None

    @property
    def source(self) -> BodySource:
        """The request's body; asking for it lets the client send."""
        if self._source is None:
            if self._exchange.continue_due():
                try:
                    self.blocking.sendall(CONTINUE)
                except OSError as error:
                    raise short() from error
            self._source = BodySource(self.blocking, self._exchange.framing, short)
        return self._source

    def start(self, status: int, headers: Sequence[tuple[str, str]], content_length: int) -> Sink:
        """Begin the answer; its sink takes exactly ``content_length`` bytes."""
        head = self._exchange.render(status, headers, content_length)
        self.answer = _Answer(self, head, content_length)
        return self.answer

    def finish(self) -> None:
        """Send a head whose body is empty."""
        if self.answer is not None:
            self.answer.flush()

    def give_back(self) -> None:
        """Leave the connection as the loop needs it."""
        if self._source is not None:
            self._source.give_back()
