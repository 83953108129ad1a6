"""Listener: lets in everybody who waits at the door, in the order they came.

libuv takes one connection in each turn of its loop.  A turn of a busy worker is long, so the last
of a burst would wait in the kernel's line while the first are served again and again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import structlog

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger("hyok.http1")

BACKLOG = 1024

ACCEPTED_MAX = 128
"""How many are let in before those who are inside have their turn."""

PAUSE_SECONDS = 1.0
"""How long nobody is let in when there are no descriptors or no memory left."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def bound(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """Return a socket for a `Listener`.

    Raises:
        Unavailable: another process listens there, the host has no such address, or the port is
            not ours to take (code HY-1007).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.settimeout(0)
    except OSError as error:
        sock.close()
        raise Unavailable(
            f"Nobody can listen on port {port} of {host}: {error.strerror}.",
            code="HY-1007",
            effect="This door is closed.",
            next_step=f"see who has it (ss -ltnp 'sport = {port}'), or set another port",
        ) from error
    return sock


class Listener:
    """A listening socket on the loop.

    Args:
        sock: bound; it does not block, and is closed with the listener.
        protocol: makes the protocol of a connection.
    """

    def __init__(
        self, sock: socket.socket, protocol: Callable[[], asyncio.BufferedProtocol]
    ) -> None:
        self._sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False
        sock.settimeout(0)
        sock.listen(BACKLOG)
        self._loop.add_reader(sock, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest(error)
                    return
                continue  # it broke before it was let in; the next may be well
            sock.settimeout(0)
            task = self._loop.create_task(self._enter(sock))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _enter(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, sock)
        except OSError:  # it is gone already
            sock.close()

    def _rest(self, error: OSError) -> None:
        """Let nobody in for a while; the socket stays readable, and the loop would spin."""
        log.error("http1.cannot_accept", error=error.strerror, next_step="LimitNOFILE")
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    async def close(self) -> None:
        """Let nobody in any more; return when those who were let in have their protocol."""
        if not self._closed:
            self._closed = True
            if self._pause is not None:
                self._pause.cancel()
            else:
                self._loop.remove_reader(self._sock)
            self._sock.close()
        if self._entering:
            await asyncio.wait(self._entering)
