"""Blocking: a connection in the hands of a pump thread, plain or TLS."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.http1.tls_machine import Tls

_TLS_CHUNK_BYTES = 256 << 10


class Blocking:
    """The connection in a pump thread.  Every call waits, at most for the time-out.

    ``leftover`` are bytes that the loop had read already.
    """

    def __init__(
        self, sock: socket.socket, tls: Tls | None, leftover: bytes, timeout_seconds: float
    ) -> None:
        self._socket = sock
        self._tls = tls
        self.leftover = memoryview(leftover)
        self._scratch: memoryview | None = None
        sock.settimeout(timeout_seconds)

    def recv_into(self, view: memoryview) -> int:
        """Fill the front of ``view``; return 0 at the end of the connection.

        Raises:
            OSError: the connection broke or stalled.
        """
        if self.leftover:
            count = min(len(view), len(self.leftover))
            view[:count] = self.leftover[:count]
            self.leftover = self.leftover[count:]
            return count
        if self._tls is None:
            return self._socket.recv_into(view)
        return self._recv_tls(self._tls, view)

    def _recv_tls(self, tls: Tls, view: memoryview) -> int:
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_TLS_CHUNK_BYTES))
        while True:
            count = tls.read_into(view)
            answer = tls.drain()
            if answer:
                self._socket.sendall(answer)
            if count is not None:
                return count
            raw = self._socket.recv_into(self._scratch)
            if raw:
                tls.feed(self._scratch[:raw])
            else:
                tls.feed_eof()

    def sendall(self, view: memoryview | bytes) -> None:
        """Send all of ``view``.

        Raises:
            OSError: the peer is gone or takes nothing.
        """
        if self._tls is None:
            self._socket.sendall(view)
            return
        whole = memoryview(view)
        for at in range(0, len(whole), _TLS_CHUNK_BYTES):
            self._tls.write(whole[at : at + _TLS_CHUNK_BYTES])
            self._socket.sendall(self._tls.drain())

    def sendmsg(self, views: Sequence[memoryview | bytes]) -> None:
        """Send several views, in one call where the kernel takes them."""
        if self._tls is not None:
            for view in views:
                self._tls.write(view)
            self._socket.sendall(self._tls.drain())
            return
        left = [memoryview(view) for view in views if len(view)]
        while left:
            sent = self._socket.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if left:
                left[0] = left[0][sent:]

    def shut(self) -> None:
        """Break the connection for both directions; from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the duplicate of the socket back."""
        self._socket.close()
