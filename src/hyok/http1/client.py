"""Pool: connections to one peer, kept alive; small requests on the loop, bodies in threads."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.errors import Malformed
from hyok.http1.answers import Response, Stale, gone, read_body, read_head
from hyok.http1.connection import Connection
from hyok.http1.heads import render_request
from hyok.http1.streams import Download, Upload
from hyok.http1.tls_machine import Tls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from hyok.http1.blocking import Blocking

    Pieces: TypeAlias = tuple[bytes | memoryview, ...]

__all__ = ["Download", "Pool", "Response", "Upload"]

IDLE_SECONDS_MAX = 20.0
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


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

    async def _connect(self, until: float) -> Connection:
        loop = asyncio.get_running_loop()
        tls = None
        if self._context is not None and self.tls:
            tls = Tls(self._context, server_side=False, server_hostname=self.host)
        until = min(until, loop.time() + self._connect_seconds_max)
        try:
            async with asyncio.timeout_at(until):
                _, connection = await loop.create_connection(
                    lambda: Connection(tls), self.host, self.port
                )
                await connection.established(until)
        except ssl.SSLCertVerificationError as error:
            raise gone(error, untouched=True, lasting=True) from error
        except OSError as error:
            raise gone(error, untouched=True) from error
        return connection

    def _kept(self) -> Connection | None:
        """Return a connection that was used before; None: there is none."""
        while self._idle:
            since, connection = self._idle.pop()
            # What came unasked must not pass for the answer to the next request.
            if connection.at_rest and time.monotonic() - since <= IDLE_SECONDS_MAX:
                return connection
            connection.close()
        return None

    def _give(self, connection: Connection, *, keep: bool) -> None:
        if keep and not self._closed and connection.at_rest:
            self._idle.append((time.monotonic(), connection))
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
            raise gone(error, untouched=True) from error

    def _in(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds

    async def request(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | bytearray | memoryview | Pieces = b"",
        *,
        deadline: float | None = None,
        once: bool = False,
    ) -> Response:
        """Return the whole answer.  A kept connection that turns out dead is replaced once.

        Args:
            method: of the request.
            target: path and query, encoded.
            headers: without the body's length.
            body: all of it; in pieces where they stand apart in memory.
            deadline: seconds from now to the whole answer; None: the pool's own.
            once: send it over a new connection and never twice.  A connection that dies does not
                say whether the peer acted, and a write with a condition must not meet itself.
        """
        pieces = body if isinstance(body, tuple) else (body,) if len(body) else ()
        if pieces or method in {"PUT", "POST"}:
            headers = [*headers, ("content-length", str(sum(map(len, pieces))))]
        head = render_request(method, target, headers)
        await self._acquire()
        try:
            until = self._in(deadline or self.seconds_max)
            connection = None if once else self._kept()
            if connection is not None:
                try:
                    return await self._exchange(connection, method, (head, *pieces), until)
                except Stale as error:
                    if method not in IDEMPOTENT:
                        raise gone(error) from error
            connection = await self._connect(until)
            try:
                return await self._exchange(connection, method, (head, *pieces), until)
            except Stale as error:
                raise gone(error) from error
        finally:
            self._room.release()

    async def _exchange(
        self,
        connection: Connection,
        method: str,
        pieces: tuple[bytes | bytearray | memoryview, ...],
        until: float,
    ) -> Response:
        keep = False
        try:
            try:
                connection.write(*pieces)
                answer = await read_head(connection, until)
            except TimeoutError:
                raise
            except OSError as error:
                raise Stale from error
            whole = await read_body(connection, method, answer, until)
            keep = answer.keep_alive
        except (TimeoutError, Malformed) as error:
            raise gone(error) from error
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
            connection = await self._connect(self._in(self.seconds_max))
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
        head = render_request(method, target, headers)
        await self._acquire()
        try:
            connection = self._kept()
            if connection is not None:
                try:
                    return await self._begin(connection, head)
                except (OSError, Stale, Malformed):
                    pass  # a kept connection that turns out dead is replaced once
            until = self._in(self.seconds_max)
            try:
                return await self._begin(await self._connect(until), head)
            except (OSError, Stale, Malformed) as error:
                raise gone(error) from error
        except BaseException:
            self._room.release()
            raise

    async def _begin(self, connection: Connection, head: bytes) -> Download:
        try:
            connection.write(head)
            answer = await read_head(connection, self._in(self.seconds_max))
        except BaseException:
            connection.abort()
            raise
        return Download(self, connection, answer)

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
