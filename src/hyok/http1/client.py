"""Pool: connections to one peer, kept alive; small requests on the loop, bodies in threads."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.errors import Malformed, Unavailable
from hyok.http1.connection import READ_BUFFER_BYTES, Connection, Tls
from hyok.http1.exchange import BodySource
from hyok.http1.heads import END, ResponseHead, parse_response, render_request
from hyok.http1.transfer import Chunked, Counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.http1.connection import Blocking
    from hyok.http1.transfer import Framing

IDLE_SECONDS_MAX = 20.0
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
RESPONSE_BYTES_MAX = 64 << 20
STRAIGHT_BYTES_MAX = 2 << 20
"""A body of this length gets its room at once; a longer one as it comes, since a peer may lie."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def _gone(
    error: BaseException | None = None, *, untouched: bool = False, lasting: bool = False
) -> Unavailable:
    failure = Unavailable(
        "The store does not answer.",
        reason="ServiceUnavailable",
        code="HY-4001",
        untouched=untouched,
        lasting=lasting,
    )
    failure.__cause__ = error
    return failure


class Pool:
    """Connections to one origin.

    Every call raises `Unavailable` when the peer cannot be reached, breaks off, or is too slow.
    """

    def __init__(
        self,
        base_url: str,
        *,
        context: ssl.SSLContext | None = None,
        connections_max: int = 128,
        connect_seconds_max: float = 5.0,
        seconds_max: float = 30.0,
    ) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self._context = context
        if self.tls and context is None:
            raise ValueError("https needs a context that verifies")
        self._idle: deque[tuple[float, Connection]] = deque()
        self._room = asyncio.Semaphore(connections_max)
        self._connect_seconds_max = connect_seconds_max
        self.seconds_max = seconds_max
        self._closed = False

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        tls = None
        if self._context is not None and self.tls:
            tls = Tls(self._context, server_side=False, server_hostname=self.host)
        try:
            async with asyncio.timeout(self._connect_seconds_max):
                _, connection = await loop.create_connection(
                    lambda: Connection(tls), self.host, self.port
                )
                await connection.established()
        except ssl.SSLCertVerificationError as error:
            raise _gone(error, untouched=True, lasting=True) from error
        except (OSError, TimeoutError) as error:
            raise _gone(error, untouched=True) from error
        return connection

    async def _take(self, *, fresh: bool = False) -> tuple[Connection, bool]:
        """Return a connection, and whether it was used before."""
        now = asyncio.get_running_loop().time()
        while self._idle and not fresh:
            since, connection = self._idle.pop()
            if connection.closed or connection.at_end or now - since > IDLE_SECONDS_MAX:
                connection.close()
                continue
            return connection, True
        return await self._connect(), False

    def _give(self, connection: Connection, *, keep: bool) -> None:
        if keep and not self._closed and not connection.closed and not connection.held():
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.close()

    async def _acquire(self) -> None:
        if not self._room.locked():
            await self._room.acquire()  # at once: no time-out to set up
            return
        try:
            async with asyncio.timeout(self.seconds_max):
                await self._room.acquire()
        except TimeoutError as error:
            raise _gone(error, untouched=True) from error

    async def request(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | bytearray | memoryview = b"",
        *,
        deadline: float | None = None,
        once: bool = False,
    ) -> Response:
        """Return the whole answer.  A kept connection that turns out dead is replaced once.

        Args:
            method: of the request.
            target: path and query, encoded.
            headers: without the body's length.
            body: all of it.
            deadline: seconds from now to the whole answer; None: the pool's own.
            once: send it over a new connection and never twice.  A connection that dies does not
                say whether the peer acted, and a write with a condition must not meet itself.
        """
        lines = list(headers)
        if len(body) or method in {"PUT", "POST"}:
            lines.append(("content-length", str(len(body))))
        head = render_request(method, target, lines)
        await self._acquire()
        try:
            async with asyncio.timeout(deadline or self.seconds_max):
                for fresh in (True,) if once else (False, True):
                    connection, used = await self._take(fresh=fresh)
                    try:
                        return await self._exchange(connection, method, head, body)
                    except _Stale as error:
                        if not used or fresh or method not in IDEMPOTENT:
                            raise _gone(error) from error
        except TimeoutError as error:
            raise _gone(error) from error
        finally:
            self._room.release()
        raise _gone()

    async def _exchange(
        self,
        connection: Connection,
        method: str,
        head: bytes,
        body: bytes | bytearray | memoryview,
    ) -> Response:
        keep = False
        try:
            try:
                connection.write(head, body) if len(body) else connection.write(head)
                answer = await _read_head(connection)
            except OSError as error:
                raise _Stale from error
            whole = await _read_body(connection, method, answer)
            keep = answer.keep_alive
        except Malformed as error:
            raise _gone(error) from error
        finally:
            self._give(connection, keep=keep)
        return Response(answer.status, answer.headers, whole)

    async def upload(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        content_length: int,
    ) -> Upload:
        """Return a sink for a body of exactly ``content_length`` bytes, for a pump thread."""
        head = render_request(method, target, [*headers, ("content-length", str(content_length))])
        await self._acquire()
        try:
            # Never a kept connection: a body can be sent once, and a dead one would lose it.
            connection, _ = await self._take(fresh=True)
            try:
                blocking = await connection.detach(self.seconds_max)
            except BaseException:
                connection.abort()
                raise
        except BaseException:
            self._room.release()
            raise
        return Upload(self, connection, blocking, head, content_length)

    async def download(
        self, method: str, target: str, headers: Sequence[tuple[str, str]]
    ) -> Download:
        """Return an answer whose head is read and whose body a pump thread reads."""
        head = render_request(method, target, list(headers))
        await self._acquire()
        try:
            for fresh in (False, True):
                connection, used = await self._take(fresh=fresh)
                try:
                    async with asyncio.timeout(self.seconds_max):
                        connection.write(head)
                        answer = await _read_head(connection)
                except (OSError, _Stale, TimeoutError, Malformed) as error:
                    connection.abort()
                    if not used or fresh:
                        raise _gone(error) from error
                    continue
                except BaseException:
                    connection.abort()
                    raise
                return Download(self, connection, answer)
        except BaseException:
            self._room.release()
            raise
        raise _gone()

    def done(self, connection: Connection, blocking: Blocking | None, *, keep: bool) -> None:
        """Take a connection back from an upload or download.  On the loop."""
        if blocking is not None:
            connection.attach(blocking)
        self._room.release()
        if keep:
            self._give(connection, keep=True)
        else:
            connection.abort()

    async def close(self) -> None:
        """Close what is idle; what is in use closes when it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()


class _Stale(Exception):
    """The peer closed before it answered at all."""


async def _read_head(connection: Connection) -> ResponseHead:
    while True:
        held = bytes(connection.held())
        end = held.find(END)
        if end >= 0:
            connection.consume(end + len(END))
            answer = parse_response(held[: end + len(END)])
            if 100 <= answer.status < 200:
                continue
            return answer
        if len(held) >= READ_BUFFER_BYTES - 1:
            raise _gone()
        if not await connection.more():
            if held:
                raise _gone()
            raise _Stale


def _framing(method: str, answer: ResponseHead) -> Framing | None:
    """Return how the body is framed; None: it goes to the end of the connection."""
    if method == "HEAD" or answer.status in {204, 304}:
        return Counted(0)
    if answer.chunked:
        return Chunked()
    if answer.content_length is not None:
        return Counted(answer.content_length)
    return None


async def _read_body(connection: Connection, method: str, answer: ResponseHead) -> bytes:
    framing = _framing(method, answer)
    if isinstance(framing, Counted) and framing.left <= STRAIGHT_BYTES_MAX:
        return await _read_counted(connection, framing.left)
    whole = bytearray()
    while framing is None or not framing.done:
        held = connection.held()
        skip, take = framing.plan(held) if framing is not None else (0, len(held))
        whole += held[skip : skip + take]
        held.release()
        connection.consume(skip + take)
        if framing is not None and take:
            framing.took(take)
        if len(whole) > RESPONSE_BYTES_MAX:
            raise _gone(lasting=True)
        if not skip + take and not await connection.more():
            if framing is None:
                break
            raise _gone()
    return bytes(whole)


async def _read_counted(connection: Connection, length: int) -> bytes:
    held = connection.held()
    if len(held) >= length:
        whole = bytes(held[:length])
        held.release()
        connection.consume(length)
        return whole
    held.release()
    room = memoryview(bytearray(length))
    at = connection.take_into(room)
    while at < length:
        count = await connection.read_into(room[at:])
        if not count:
            raise _gone()
        at += count
    return bytes(room)


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
                self._thread.sendmsg([head, view])
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
            framing = _framing("PUT", answer)
            body = _blocking_body(self._thread, framing, rest)
            keep = answer.keep_alive and framing is not None and not self._refused
            return Response(answer.status, answer.headers, body)
        except (OSError, Malformed) as error:
            raise _gone(error) from error
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
            raise _gone()
        count = thread.recv_into(room)
        if not count:
            raise _gone()
        raw += room[:count]


def _blocking_body(thread: Blocking, framing: Framing | None, rest: bytes) -> bytes:
    thread.leftover = memoryview(rest + bytes(thread.leftover))
    room = memoryview(bytearray(16 << 10))
    whole = bytearray()
    source = BodySource(thread, framing, _gone) if framing is not None else None
    while len(whole) <= RESPONSE_BYTES_MAX:
        count = source.read_into(room) if source is not None else thread.recv_into(room)
        if not count:
            if source is not None:
                source.give_back()
            return bytes(whole)
        whole += room[:count]
    raise _gone()


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
            async with asyncio.timeout(self._pool.seconds_max):
                body = await _read_body(self._connection, "GET", self._answer)
            keep = self._answer.keep_alive
        except (OSError, TimeoutError, Malformed) as error:
            raise _gone(error) from error
        finally:
            self._end(keep=keep)
        return body

    async def prepare(self) -> None:
        """Hand the connection to a pump thread.  Before the first `read_into`."""
        framing = _framing("GET", self._answer)
        if framing is None:
            self.close()
            raise _gone()
        self._blocking = await self._connection.detach(self._pool.seconds_max)
        self._source = BodySource(self._blocking, framing, _gone)

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
            raise _gone(error) from error
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
