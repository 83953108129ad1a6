"""Exchange: one request and its one answer."""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Unavailable
from hyok.http1.heads import render_response
from hyok.http1.transfer import Chunked, Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.http1.connection import Blocking, Connection
    from hyok.http1.heads import RequestHead
    from hyok.http1.limits import Limits
    from hyok.http1.pump import PumpPool
    from hyok.http1.transfer import Framing
    from hyok.vocabulary import Sink, T

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_SCRATCH_BYTES = 64 << 10


def _short() -> Malformed:
    return Malformed(
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        reason="IncompleteBody",
    )


def _too_large() -> Malformed:
    return Malformed("The request body is too large.", reason="EntityTooLarge")


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
                self._wire.blocking.sendmsg([head, view])
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
                    raise _short() from error
            self._source = BodySource(self.blocking, self._exchange.framing, _short)
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


class Pieces:
    """An answer whose length nobody knows yet, on the loop; `end` makes it whole."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, piece: bytes) -> None:
        """Send a piece at once.

        Raises:
            ConnectionError: the client is gone.
        """
        self._connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await self._connection.drain()

    async def end(self, piece: bytes) -> None:
        """Send the last piece."""
        self._connection.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))
        await self._connection.drain()


class Exchange:
    """Made by the server, used once by the handler."""

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        limits: Limits,
        pump: PumpPool,
        draining: Callable[[], bool],
    ) -> None:
        self.head = head
        self._connection = connection
        self._limits = limits
        self._pump = pump
        self._draining = draining
        self.framing: Framing = Chunked() if head.chunked else Counted(head.content_length or 0)
        # Also before an empty body: botocore misreads what follows on a connection where it got
        # its answer in place of the 100 that it waited for.
        self._expecting = head.expects_continue
        self.answered = False
        self.broken = False
        self.keep = head.keep_alive
        self._blocking: Blocking | None = None
        self._lock = threading.Lock()
        # Of the body, on the loop: how much came and since when, over all reads of it.
        self._read_bytes = 0
        self._read_since = 0.0

    @property
    def content_length(self) -> int | None:
        """The length that the head tells; None: chunked, or no body."""
        return self.head.content_length

    @property
    def has_body(self) -> bool:
        """May a body follow?"""
        return self.head.chunked or bool(self.head.content_length)

    @property
    def unread(self) -> bool:
        """Is some of the request's body not read?"""
        return not self.framing.done

    @property
    def waiting_for_continue(self) -> bool:
        """Does the client wait for a 100 that it never got?"""
        return self._expecting

    def continue_due(self) -> bool:
        """Say whether 100 Continue has to go out now; once."""
        due, self._expecting = self._expecting, False
        return due

    def render(self, status: int, headers: Sequence[tuple[str, str]], length: int | None) -> bytes:
        """Return the head of the answer, and settle what becomes of the connection."""
        self.answered = True
        if self._draining() or self._expecting:
            self.keep = False
        lines = list(headers)
        bodiless = self.head.method == "HEAD" or status in {204, 304}
        if not bodiless and length is not None:
            lines.append(("content-length", str(length)))
        if not self.keep:
            lines.append(("connection", "close"))
        return render_response(status, _REASONS.get(status, "Unknown"), lines)

    async def read_whole(self, limit: int) -> memoryview:
        """Return the whole body of the request.

        Raises:
            Malformed: it is longer than ``limit``, or ended early (reason ``IncompleteBody``).
        """
        if isinstance(self.framing, Counted):
            if self.framing.left > limit:
                raise _too_large()
            self._let_send()
            return await self._read_counted(self.framing)
        self._let_send()
        whole = bytearray()
        while not self.framing.done:
            await self._read_more(whole, limit + 1 - len(whole))
            if len(whole) > limit:
                raise _too_large()
        return memoryview(whole)

    async def _read_counted(self, framing: Counted) -> memoryview:
        whole = memoryview(bytearray(framing.left))
        at = 0
        loop = asyncio.get_running_loop()
        if not self._read_bytes:
            self._read_since = loop.time()
        while at < len(whole):
            # Most bodies are there already: no time-out to set up for those.
            count = self._connection.take_into(whole[at:]) or await self._some_into(whole[at:])
            framing.took(count)
            at += count
            self._read_bytes += count
            slow = self._is_slow(self._read_bytes, loop.time() - self._read_since)
            if not count or (slow and at < len(whole)):
                self.keep = False
                raise _short()
        return whole

    async def _some_into(self, view: memoryview) -> int:
        try:
            async with asyncio.timeout(self._limits.body_stall_seconds_max):
                return await self._connection.read_into(view)
        except TimeoutError:
            return 0

    async def read_some(self, most: int) -> memoryview:
        """Return the next bytes of the body, one at least and ``most`` at most; none at its end.

        Raises:
            Malformed: it ended early (reason ``IncompleteBody``).
        """
        self._let_send()
        some = bytearray()
        while not some and not self.framing.done:
            await self._read_more(some, most)
        return memoryview(some)

    def _let_send(self) -> None:
        if self.continue_due():
            self._connection.write(CONTINUE)

    async def _read_more(self, whole: bytearray, most: int) -> None:
        """Move what is at hand into ``whole``; wait where that is nothing."""
        loop = asyncio.get_running_loop()
        if not self._read_bytes:
            self._read_since = loop.time()
        before = len(whole)
        moved = self._take(whole, most)
        self._read_bytes += len(whole) - before
        if self.framing.done:
            return
        slow = self._is_slow(self._read_bytes, loop.time() - self._read_since)
        if slow or (not moved and not await self._more()):
            self.keep = False
            raise _short()

    def _take(self, whole: bytearray, most: int) -> int:
        """Move what is at hand into ``whole``; return how many bytes of the wire that took."""
        held = self._connection.held()
        skip, take = self.framing.plan(held)
        take = min(take, most)
        whole += held[skip : skip + take]
        held.release()
        if skip + take:
            self._connection.consume(skip + take)
        if take:
            self.framing.took(take)
        return skip + take

    def _is_slow(self, count: int, seconds: float) -> bool:
        least = self._limits.body_bytes_per_second_min
        return seconds > self._limits.body_stall_seconds_max and count < seconds * least

    async def _more(self) -> bool:
        try:
            async with asyncio.timeout(self._limits.body_stall_seconds_max):
                return await self._connection.more()
        except TimeoutError:
            return False

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None:
        """Send the whole answer, in one write.  For HEAD the caller gives content-length itself."""
        assert not self.answered, "one request, one answer"
        head = self.render(status, headers, len(body))
        bodiless = self.head.method == "HEAD" or status in {204, 304}
        if bodiless or not len(body):
            self._connection.write(head)
        else:
            self._connection.write(head, body)
        await self._connection.drain()

    async def respond_in_pieces(
        self, status: int, headers: Sequence[tuple[str, str]]
    ) -> Pieces | None:
        """Begin an answer of unknown length; None: this client takes none, and nothing was sent.

        One that is not ended must be aborted.
        """
        assert not self.answered, "one request, one answer"
        if not self.head.takes_chunks:
            return None
        head = self.render(status, [*headers, ("transfer-encoding", "chunked")], None)
        self._connection.write(head)
        return Pieces(self._connection)

    async def pump(self, work: Callable[[Wire], T]) -> T:
        """Run ``work`` in a pump thread over the connection."""
        blocking = await self._connection.detach(self._limits.body_stall_seconds_max)
        wire = Wire(self, blocking)
        self._blocking = blocking
        done = asyncio.ensure_future(self._pump.run(lambda: work(wire)))
        try:
            result = await asyncio.shield(done)
        except asyncio.CancelledError:
            blocking.shut()
            await asyncio.wait([done])
            raise
        except BaseException:
            if wire.answer is not None:
                self.broken = True
            raise
        finally:
            self._blocking = None
            if wire.answer is not None and wire.answer.left:
                self.broken = True
            wire.give_back()
            self._connection.attach(blocking)
        return result

    def abort(self) -> None:
        """Break the connection, so that the client sees that something went wrong."""
        self.broken = True
        if self._blocking is not None:
            self._blocking.shut()
        self._connection.abort()
