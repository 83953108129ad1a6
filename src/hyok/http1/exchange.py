"""Exchange: one request and its one answer."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.http1.heads import render_response
from hyok.http1.transfer import Chunked, Counted
from hyok.http1.wire import CONTINUE, Wire, short

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.http1.blocking import Blocking
    from hyok.http1.connection import Connection
    from hyok.http1.heads import RequestHead
    from hyok.http1.limits import Limits
    from hyok.http1.pump import PumpPool
    from hyok.http1.transfer import Framing
    from hyok.vocabulary import T

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = frozenset({204, 304})


def _too_large() -> Malformed:
    return Malformed("The request body is too large.", reason="EntityTooLarge")


class Pieces:
    """An answer whose length nobody knows yet, on the loop; `end` makes it whole."""

    def __init__(self, send: Callable[..., Awaitable[None]]) -> None:
        self._send = send

    async def write(self, piece: bytes) -> None:
        """Send a piece at once.

        Raises:
            ConnectionError: the client is gone, or takes nothing.
        """
        await self._send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def end(self, piece: bytes) -> None:
        """Send the last piece."""
        await self._send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(piece), piece))


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
        self._loop = asyncio.get_running_loop()
        self.framing: Framing = Chunked() if head.chunked else Counted(head.content_length or 0)
        # Also before an empty body: botocore misreads what follows on a connection where it got
        # its answer in place of the 100 that it waited for.
        self._expecting = head.expects_continue
        self.answered = False
        self.broken = False
        self.keep = head.keep_alive
        self._blocking: Blocking | None = None
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
        if length is not None and self._may_have_body(status):
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
        if (held := self._connection.take(framing.left)) is not None:  # as most are
            framing.took(len(held))
            return memoryview(held)
        whole = memoryview(bytearray(framing.left))
        at = 0
        if not self._read_bytes:
            self._read_since = self._loop.time()
        while at < len(whole):
            count = self._connection.take_into(whole[at:]) or await self._some_into(whole[at:])
            framing.took(count)
            at += count
            self._read_bytes += count
            slow = self._is_slow(self._read_bytes, self._loop.time() - self._read_since)
            if not count or (slow and at < len(whole)):
                self.keep = False
                raise short()
        return whole

    async def _some_into(self, view: memoryview) -> int:
        try:
            return await self._connection.read_into(view, self._stalled_at())
        except TimeoutError:
            return 0

    def _stalled_at(self) -> float:
        return self._loop.time() + self._limits.body_stall_seconds_max

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
        if not self._read_bytes:
            self._read_since = self._loop.time()
        before = len(whole)
        moved = self._take(whole, most)
        self._read_bytes += len(whole) - before
        if self.framing.done:
            return
        slow = self._is_slow(self._read_bytes, self._loop.time() - self._read_since)
        if slow or (not moved and not await self._more()):
            self.keep = False
            raise short()

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
            return await self._connection.more(self._stalled_at())
        except TimeoutError:
            return False

    async def respond(
        self, status: int, headers: Sequence[tuple[str, str]], body: bytes | memoryview = b""
    ) -> None:
        """Send the whole answer, in one write.  For HEAD the caller gives content-length itself.

        Raises:
            ConnectionError: the client is gone, or takes less than it must.
        """
        assert not self.answered, "one request, one answer"
        head = self.render(status, headers, len(body))
        if len(body) and self._may_have_body(status):
            await self._send(head, body)
        else:
            await self._send(head)

    def _may_have_body(self, status: int) -> bool:
        return self.head.method != "HEAD" and status not in _BODILESS

    async def _send(self, *pieces: bytes | memoryview) -> None:
        """Write, and wait for a client that takes it slowly, though at the least rate."""
        self._connection.write(*pieces)
        if self._connection.clogged:
            seconds = sum(map(len, pieces)) / max(1, self._limits.body_bytes_per_second_min)
            try:
                await self._connection.drain(self._stalled_at() + seconds)
            except TimeoutError:
                raise ConnectionAbortedError("the client takes nothing") from None

    async def respond_in_pieces(
        self, status: int, headers: Sequence[tuple[str, str]]
    ) -> Pieces | None:
        """Begin an answer of unknown length; None: this client takes none, and nothing was sent.

        One that is not ended must be aborted.
        """
        assert not self.answered, "one request, one answer"
        if not self.head.takes_chunks:
            return None
        await self._send(self.render(status, [*headers, ("transfer-encoding", "chunked")], None))
        return Pieces(self._send)

    async def pump(self, work: Callable[[Wire], T]) -> T:
        """Run ``work`` in a pump thread over the connection."""
        blocking = await self._connection.detach(
            self._limits.body_stall_seconds_max, self._limits.body_bytes_per_second_min
        )
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
