"""The server: accepts, reads heads within limits, hands each request to one handler."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Malformed
from hyok.http1.connection import READ_BUFFER_BYTES, Connection
from hyok.http1.exchange import Exchange
from hyok.http1.heads import END, parse_request, render_response
from hyok.http1.limits import Limits
from hyok.http1.listening import Listener, bound
from hyok.http1.proxy import Preamble
from hyok.http1.tls import TlsSettings, common_name_in, names_in, server_context
from hyok.http1.tls_machine import Tls

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.http1.proxy import Network
    from hyok.http1.pump import PumpPool

LINGER_SECONDS = 2.0


def xml_refusal(_status: int, code: str) -> tuple[str, bytes]:
    """Return type and body, for clients of S3, of an answer to what no handler saw."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return "application/xml", text.encode()


def _client_name(certificate: bytes | None) -> str:
    try:
        return common_name_in(certificate) if certificate is not None else ""
    except ValueError:  # one that no library of ours can read
        return ""


class Server:
    """A listening door.  Made by `serve`."""

    def __init__(
        self,
        handler: Callable[[Exchange], Awaitable[None]],
        limits: Limits,
        pump: PumpPool,
        context: ssl.SSLContext | None,
        client_names: frozenset[str] = frozenset(),
        balancers: Sequence[Network] = (),
        refusal: Callable[[int, str], tuple[str, bytes]] = xml_refusal,
    ) -> None:
        self._handler = handler
        self._refusal = refusal
        self._balancers = balancers
        self._limits = limits
        self._pump = pump
        self._context = context
        self._client_names = frozenset(name.lower() for name in client_names)
        self._loop = asyncio.get_running_loop()
        self._head_bytes_max = min(limits.head_bytes_max, READ_BUFFER_BYTES - 1)
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[Connection] = set()
        self._clients: Counter[str] = Counter()
        self._in_flight = 0
        self.draining = False
        self.port = 0

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        return f"port {self.port}"

    def listen(self, sock: socket.socket) -> None:
        """Accept from now on."""
        self._listener = Listener(sock, self._connection)
        self.port = sock.getsockname()[1]

    def _connection(self) -> asyncio.BufferedProtocol:
        if self._balancers:
            return Preamble(self._balancers, self._limits.head_seconds_max, self._connection_of)
        return self._connection_of(None)

    def _connection_of(self, client: str | None) -> Connection:
        tls = Tls(self._context, server_side=True) if self._context is not None else None
        return Connection(tls, self._made, client)

    def _made(self, connection: Connection) -> None:
        if self._clients[connection.peer] >= self._limits.connections_per_client_max:
            connection.abort()
            return
        self._clients[connection.peer] += 1
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection) -> None:
        try:
            await connection.established(self._in(self._limits.head_seconds_max))
            if not self._admits(connection.certificate):
                connection.abort()  # before a byte of the request is looked at
                return
            name = _client_name(connection.certificate)
            while await self._serve_one(connection, name):
                pass
            await self._linger(connection)
        except (OSError, TimeoutError, asyncio.CancelledError):
            connection.abort()
        finally:
            self._idle.discard(connection)
            self._clients[connection.peer] -= 1
            if not self._clients[connection.peer]:
                del self._clients[connection.peer]
            connection.close()

    def _admits(self, certificate: bytes | None) -> bool:
        """Say whether who shows this certificate, proven by its authority, may come in."""
        if not self._client_names:
            return True
        try:
            return certificate is not None and bool(names_in(certificate) & self._client_names)
        except ValueError:  # one that no library of ours can read
            return False

    async def _serve_one(self, connection: Connection, client_name: str) -> bool:
        """Serve one request; return whether another may follow."""
        try:
            raw = await self._head(connection)
        except Malformed as error:
            await self._refuse(connection, 400, error.reason)
            return False
        if raw is None:
            return False
        try:
            head = parse_request(
                raw,
                peer=connection.peer,
                tls=self._context is not None,
                certificate=connection.certificate,
                header_count_max=self._limits.header_count_max,
                client_name=client_name,
            )
        except Malformed as error:
            await self._refuse(connection, 400, error.reason)
            return False
        if self._in_flight >= self._limits.requests_in_flight_max:
            await self._refuse(connection, 503, "SlowDown")
            return False
        exchange = Exchange(connection, head, self._limits, self._pump, lambda: self.draining)
        self._in_flight += 1
        try:
            await self._handler(exchange)
        except (HyokError, OSError):
            exchange.broken = True
        finally:
            self._in_flight -= 1
        if exchange.broken or not exchange.answered:
            connection.abort()
            return False
        if not exchange.keep or exchange.waiting_for_continue:
            return False
        return await self._discard(exchange, connection)

    def _in(self, seconds: float) -> float:
        return self._loop.time() + seconds

    async def _head(self, connection: Connection) -> bytes | None:
        """Return the raw head; None when the peer is done or too slow."""
        if not connection.held_bytes:
            if self.draining:
                return None
            self._idle.add(connection)
            try:
                if not await connection.more(self._in(self._limits.idle_seconds_max)):
                    return None
            except TimeoutError:
                return None
            finally:
                self._idle.discard(connection)
        head = self._whole_head(connection)
        if head is None:
            until = self._in(self._limits.head_seconds_max)
            while head is None:
                try:
                    if not await connection.more(until):
                        return None
                except TimeoutError:
                    return None
                head = self._whole_head(connection)
        return head

    def _whole_head(self, connection: Connection) -> bytes | None:
        """Take the head from what was read; None: it is not all there yet.

        Raises:
            Malformed: it is too long, or cannot become one.
        """
        while (head := connection.take_past(END, self._head_bytes_max)) is not None:
            while head.startswith(b"\r\n"):
                # A line before the request line is allowed and skipped (RFC 9112 section 2.2).
                head = head[2:]
            if head:
                return head
        held = connection.held()
        if len(held) > self._head_bytes_max:
            raise Malformed("The request's head is too long.", reason="RequestHeaderTooLarge")
        if b"\n\n" in bytes(held):
            raise Malformed("The request's head is not HTTP/1.1.", reason="InvalidRequest")
        return None

    async def _refuse(self, connection: Connection, status: int, code: str) -> None:
        content_type, body = self._refusal(status, code)
        headers = [
            ("content-type", content_type),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        if status == 503:
            headers.append(("retry-after", "1"))
        word = "Bad Request" if status == 400 else "Service Unavailable"
        connection.write(render_response(status, word, headers), body)
        await connection.drain(self._in(LINGER_SECONDS))

    async def _discard(self, exchange: Exchange, connection: Connection) -> bool:
        """Read what is left of a refused body, up to a limit; False: close instead."""
        dropped = 0
        while exchange.unread:
            held = connection.held()
            skip, take = exchange.framing.plan(held)
            held.release()
            connection.consume(skip + take)
            exchange.framing.took(take)
            dropped += skip + take
            if dropped > self._limits.discard_bytes_max:
                return False
            if not skip + take and not exchange.framing.done and not await self._more(connection):
                return False
        return True

    async def _more(self, connection: Connection) -> bool:
        try:
            return await connection.more(self._in(LINGER_SECONDS))
        except TimeoutError:
            return False

    async def _linger(self, connection: Connection) -> None:
        """Close so that the answer arrives: no RST while the client still sends."""
        if connection.at_end or connection.closed:
            return
        connection.finish()
        until = self._in(LINGER_SECONDS)
        with contextlib.suppress(OSError):
            while await connection.more(until):
                connection.consume(connection.held_bytes)

    @property
    def in_flight(self) -> int:
        """Requests being served now."""
        return self._in_flight

    async def drain(self, seconds: float) -> None:
        """Stop accepting, let running requests end, then break what is left."""
        self.draining = True
        if self._listener is not None:
            await self._listener.close()
        for connection in list(self._idle):
            connection.close()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)
        await self.close()

    async def close(self) -> None:
        """Stop at once."""
        if self._listener is not None:
            await self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5)


async def serve(
    handler: Callable[[Exchange], Awaitable[None]],
    *,
    pump: PumpPool,
    host: str = "127.0.0.1",
    port: int = 0,
    sock: socket.socket | None = None,
    tls: TlsSettings | None = None,
    limits: Limits | None = None,
    reuse_port: bool = False,
    balancers: Sequence[Network] = (),
    refusal: Callable[[int, str], tuple[str, bytes]] = xml_refusal,
) -> Server:
    """Open a door and return its server.

    ``balancers``: where every connection comes from, and begins with a PROXY header; empty: clients
    connect themselves.  ``refusal``: type and body of what is answered where no handler is asked.

    Raises:
        Unavailable: nobody can listen there (code HY-1007).
    """
    if sock is None:
        sock = bound(host, port, reuse_port=reuse_port)
    context = server_context(tls) if tls is not None else None
    names = tls.client_names if tls is not None else frozenset()
    server = Server(handler, limits or Limits(), pump, context, names, balancers, refusal)
    server.listen(sock)
    return server
