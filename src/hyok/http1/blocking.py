"""Blocking: a connection in the hands of a pump thread, plain or TLS.

The thread waits in the kernel, which keeps the time-out itself.  A socket with a time-out of
Python's own is polled before each call: two system calls for each piece of a segment.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.http1.tls_machine import Tls

_TLS_CHUNK_BYTES = 256 << 10
_LEAST_SECONDS = 1e-3  # zero would mean: wait for ever


class Blocking:
    """The connection in a pump thread.  Every call waits, at most for the time-out.

    ``leftover`` are bytes that the loop had read already.  While this lives the loop must not touch
    the connection: its descriptor is another of the same socket, and blocks as well.
    """

    def __init__(
        self,
        sock: socket.socket,
        tls: Tls | None,
        leftover: bytes,
        timeout_seconds: float,
        bytes_per_second_min: int,
    ) -> None:
        self._socket = sock
        self._tls = tls
        self.leftover = memoryview(leftover)
        self._scratch: memoryview | None = None
        self._timeout_seconds = max(timeout_seconds, _LEAST_SECONDS)
        self._bytes_per_second_min = bytes_per_second_min
        self._received_bytes = 0
        self._waited_seconds = 0.0
        sock.settimeout(None)
        whole = int(self._timeout_seconds)
        longest = struct.pack("@ll", whole, int((self._timeout_seconds - whole) * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, longest)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, longest)

    def recv_into(self, view: memoryview) -> int:
        """Fill the front of ``view`` with what comes next; return 0 at the end of the connection.

        Raises:
            OSError: the connection broke or stalled, or the peer sends less than it must.
        """
        if self.leftover:
            count = min(len(view), len(self.leftover))
            view[:count] = self.leftover[:count]
            self.leftover = self.leftover[count:]
            return count
        if self._tls is None:
            return self._recv(view)
        return self._recv_tls(self._tls, view)

    def _recv(self, view: memoryview) -> int:
        began = time.monotonic()
        count = self._socket.recv_into(view)
        self._waited_seconds += time.monotonic() - began
        self._received_bytes += count
        # No single wait of a peer that drips is long; what we do between two is not its fault.
        if self._waited_seconds > self._timeout_seconds and count:
            least = self._waited_seconds * self._bytes_per_second_min
            if self._received_bytes < least:
                raise TimeoutError("the peer sends less than it must")
        return count

    def _recv_tls(self, tls: Tls, view: memoryview) -> int:
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_TLS_CHUNK_BYTES))
        while True:
            count = tls.read_into(view)
            answer = tls.drain()
            if answer:
                self._send([memoryview(answer)])
            if count is not None:
                return count
            raw = self._recv(self._scratch)
            if raw:
                tls.feed(self._scratch[:raw])
            else:
                tls.feed_eof()

    def sendall(self, *views: memoryview | bytes) -> None:
        """Send all of ``views``, in one call where the kernel takes them.

        Raises:
            OSError: the peer is gone or takes nothing.
        """
        left = [memoryview(view) for view in views if len(view)]
        if self._tls is None:
            self._send(left)
            return
        written = 0
        for view in left:
            for at in range(0, len(view), _TLS_CHUNK_BYTES):
                chunk = view[at : at + _TLS_CHUNK_BYTES]
                self._tls.write(chunk)
                written += len(chunk)
                if written >= _TLS_CHUNK_BYTES:
                    self._send([memoryview(self._tls.drain())])
                    written = 0
        if written:
            self._send([memoryview(self._tls.drain())])

    def _send(self, left: Sequence[memoryview]) -> None:
        """Send within the time-out; the kernel's is for a call, and a call may take a part."""
        until = time.monotonic() + self._timeout_seconds
        while left := _behind(left, self._socket.sendmsg(left)):
            # Seldom here: a call that waits takes all, but for the time-out and for signals.
            if time.monotonic() >= until:
                raise TimeoutError("the peer takes too little")

    def shut(self) -> None:
        """Break the connection for both directions; from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the duplicate of the socket back, and the socket itself to the loop."""
        with contextlib.suppress(OSError):
            self._socket.settimeout(0)
        self._socket.close()


def _behind(views: Sequence[memoryview], sent: int) -> Sequence[memoryview]:
    """Return what follows the first ``sent`` bytes."""
    for number, view in enumerate(views):
        if sent < len(view):
            return [view[sent:], *views[number + 1 :]]
        sent -= len(view)
    return []
