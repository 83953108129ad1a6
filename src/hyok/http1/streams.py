"""Upload and Download: bodies of any length to and from a peer, moved in a pump thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyok.errors import Malformed, Unavailable
from hyok.http1.answers import RESPONSE_BYTES_MAX, Response, framing_of, gone, read_body
from hyok.http1.connection import READ_BUFFER_BYTES
from hyok.http1.heads import END, parse_response
from hyok.http1.limits import BODY_BYTES_PER_SECOND_MIN
from hyok.http1.wire import BodySource

if TYPE_CHECKING:
    from hyok.http1.blocking import Blocking
    from hyok.http1.client import Pool
    from hyok.http1.connection import Connection
    from hyok.http1.heads import ResponseHead
    from hyok.http1.transfer import Framing


class _InThread:
    """What an upload and a download share: a connection that goes back exactly once."""

    def __init__(self, pool: Pool, connection: Connection, blocking: Blocking | None) -> None:
        self._pool = pool
        self._connection = connection
        self._blocking = blocking
        self._loop = asyncio.get_running_loop()
        self._over = False

    def _end(self, *, keep: bool) -> None:
        if not self._over:
            self._over = True
            self._loop.call_soon_threadsafe(self._return, keep)

    def _return(self, keep: bool) -> None:  # noqa: FBT001 - call_soon takes no keywords
        self._pool.done(self._connection, self._blocking, keep=keep)


class Upload(_InThread):
    """A request body on its way out, then the answer.  In a pump thread."""

    def __init__(
        self, pool: Pool, connection: Connection, blocking: Blocking, head: bytes, length: int
    ) -> None:
        super().__init__(pool, connection, blocking)
        self._thread: Blocking = blocking
        self._head: bytes | None = head
        self._left = length
        self._refused = False

    def write(self, view: memoryview) -> None:
        """Send all of ``view``.  A peer that answers early is heard in `finish`."""
        assert len(view) <= self._left, "more than the length that was promised"
        self._left -= len(view)
        if self._refused:
            return
        try:
            if self._head is not None:
                head, self._head = self._head, None
                self._thread.sendall(head, view)
            else:
                self._thread.sendall(view)
        except OSError:
            self._refused = True

    def finish(self) -> Response:
        """Return the answer.

        Raises:
            Unavailable: there is none.
        """
        keep = False
        try:
            assert self._left == 0, "less than the length that was promised"
            if self._head is not None and not self._refused:
                self._thread.sendall(self._head)
            answer, rest = _blocking_head(self._thread)
            framing = framing_of("PUT", answer)
            body = _blocking_body(self._thread, framing, rest)
            keep = answer.keep_alive and framing is not None and not self._refused
            return Response(answer.status, answer.headers, body)
        except (OSError, Malformed) as error:
            raise gone(error) from error
        finally:
            self._end(keep=keep)

    def abort(self) -> None:
        """Break off.  From any thread; may be called twice."""
        if not self._over:
            self._thread.shut()
            self._end(keep=False)


def _blocking_head(thread: Blocking) -> tuple[ResponseHead, bytes]:
    raw = bytearray()
    room = memoryview(bytearray(16 << 10))
    while True:
        end = raw.find(END)
        if end >= 0:
            answer = parse_response(bytes(raw[: end + len(END)]))
            del raw[: end + len(END)]
            if 100 <= answer.status < 200:
                continue
            return answer, bytes(raw)
        if len(raw) > READ_BUFFER_BYTES:
            raise gone()
        count = thread.recv_into(room)
        if not count:
            raise gone()
        raw += room[:count]


def _blocking_body(thread: Blocking, framing: Framing | None, rest: bytes) -> bytes:
    thread.leftover = memoryview(rest + bytes(thread.leftover))
    room = memoryview(bytearray(16 << 10))
    whole = bytearray()
    source = BodySource(thread, framing, gone) if framing is not None else None
    while len(whole) <= RESPONSE_BYTES_MAX:
        count = source.read_into(room) if source is not None else thread.recv_into(room)
        if not count:
            if source is not None:
                source.give_back()
            return bytes(whole)
        whole += room[:count]
    raise gone()


class Download(_InThread):
    """An answer whose body is read in a pump thread, or at once on the loop by `whole`."""

    def __init__(self, pool: Pool, connection: Connection, answer: ResponseHead) -> None:
        super().__init__(pool, connection, None)
        self.status = answer.status
        self.headers = answer.headers
        self._answer = answer
        self._source: BodySource | None = None

    async def whole(self) -> bytes:
        """Return the whole body, on the loop; instead of `prepare` and `read_into`."""
        keep = False
        try:
            until = self._loop.time() + self._pool.seconds_max
            body = await read_body(self._connection, "GET", self._answer, until)
            keep = self._answer.keep_alive
        except (OSError, Malformed) as error:
            raise gone(error) from error
        finally:
            self._end(keep=keep)
        return body

    async def prepare(self) -> None:
        """Hand the connection to a pump thread.  Before the first `read_into`."""
        framing = framing_of("GET", self._answer)
        if framing is None:
            self.close()
            raise gone()
        self._blocking = await self._connection.detach(
            self._pool.seconds_max, BODY_BYTES_PER_SECOND_MIN
        )
        self._source = BodySource(self._blocking, framing, gone)

    def read_into(self, buffer: memoryview) -> int:
        """Fill the front of ``buffer``; 0 at the end.

        Raises:
            Unavailable: the answer was cut short.
        """
        assert self._source is not None
        try:
            count = self._source.read_into(buffer)
        except Unavailable:
            self._end(keep=False)
            raise
        except (OSError, Malformed) as error:
            self._end(keep=False)
            raise gone(error) from error
        if not count:
            self._source.give_back()
            self._end(keep=self._answer.keep_alive)
        return count

    def close(self) -> None:
        """Stop reading.  Never raises; idempotent; from any thread."""
        if not self._over:
            if self._blocking is not None:
                self._blocking.shut()
            self._end(keep=False)
