"""Connection: one TCP connection, plain or TLS, on the loop or in a pump thread.

The engine owns the `ssl.SSLObject`, so a TLS connection can be handed to a blocking thread like a
plain one: the thread takes a duplicate of the socket, whatever was read already, and the same TLS
state; afterwards the loop goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import TYPE_CHECKING, cast

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

READ_BUFFER_BYTES = 64 << 10
JOINED_BYTES_MAX = 16 << 10
"""Pieces of a write are joined up to this length; longer ones are handed over side by side."""

_TLS_CHUNK_BYTES = 256 << 10


class Tls:
    """TLS as a machine that is fed: ciphertext in, plaintext out, and the other way."""

    __slots__ = ("_incoming", "_outgoing", "established", "machine")

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.machine = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.established = False

    def feed(self, ciphertext: memoryview) -> None:
        """Take what the network brought."""
        self._incoming.write(ciphertext)

    def feed_eof(self) -> None:
        """The network ended."""
        self._incoming.write_eof()

    def drain(self) -> bytes:
        """Return what the network must be given."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done.

        Raises:
            ssl.SSLError: it failed.
        """
        if not self.established:
            try:
                self.machine.do_handshake()
            except ssl.SSLWantReadError:
                return False
            self.established = True
        return True

    def read_into(self, view: memoryview) -> int | None:
        """Return how much plaintext went into ``view``; 0 at the end; None: feed more."""
        try:
            # With a buffer, read returns a count; the stub knows the other form only.
            return cast("int", self.machine.read(len(view), view))
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0

    def write(self, view: memoryview | bytes | bytearray) -> None:
        """Take plaintext; `drain` has its ciphertext."""
        self.machine.write(view)


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


class Connection(asyncio.BufferedProtocol):
    """A byte stream on the loop.  One reader at a time."""

    def __init__(
        self,
        tls: Tls | None,
        made: Callable[[Connection], None] | None = None,
        client: str | None = None,
    ) -> None:
        """``client``: who the peer speaks for, where that is known; else the peer's own address."""
        self._tls = tls
        self._made = made
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._raw: memoryview | None = None
        self._begin = 0
        self._end = 0
        self._target: memoryview | None = None  # what `read_into` waits to fill
        self._filled = 0
        self._eof = False
        self._error: Exception | None = None
        self._paused = False
        self._finished = False  # we said that nothing more follows
        self._reader: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.peer = client or ""

    # -- what the transport calls ---------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        name = transport.get_extra_info("peername")
        if not self.peer and isinstance(name, tuple):
            self.peer = str(name[0])
        sock = transport.get_extra_info("socket")
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            self._ready.set_result(None)
        else:
            self._handshake()
        if self._made is not None:
            self._made(self)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        if self._tls is not None:
            if self._raw is None:
                self._raw = memoryview(bytearray(READ_BUFFER_BYTES))
            return self._raw
        if self._target is not None and self._filled < len(self._target):
            return self._target[self._filled :]
        return self._room()

    def _room(self) -> memoryview:
        if not self._buffer:
            self._buffer = bytearray(READ_BUFFER_BYTES)
        if self._begin == self._end:
            self._begin = self._end = 0
        if self._end == len(self._buffer) and self._begin:
            left = self._end - self._begin
            self._buffer[:left] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, left
        return memoryview(self._buffer)[self._end :]

    @override
    def buffer_updated(self, nbytes: int) -> None:
        if self._tls is None:
            if self._target is not None and self._filled < len(self._target):
                self._filled += nbytes
            else:
                self._end += nbytes
        else:
            assert self._raw is not None
            self._tls.feed(self._raw[:nbytes])
            if not self._tls.established:
                self._handshake()
            if self._tls.established:
                self._decrypt()
        self._wake()

    def _handshake(self) -> None:
        assert self._tls is not None
        try:
            done = self._tls.handshake()
        except ssl.SSLError as error:
            self._flush_tls()
            self._fail(error)
            return
        self._flush_tls()
        if done and not self._ready.done():
            self._ready.set_result(None)

    def _flush_tls(self) -> None:
        assert self._tls is not None
        raw = self._tls.drain()
        # After `finish` there is only TLS's own goodbye left to say, and nobody listens for it.
        if raw and not self._finished and self._transport and not self._transport.is_closing():
            self._transport.write(raw)

    def _decrypt(self) -> None:
        assert self._tls is not None
        try:
            while room := self._room():
                count = self._tls.read_into(room)
                if count is None:
                    break
                if count == 0:
                    self._eof = True
                    break
                self._end += count
        except ssl.SSLError as error:
            self._fail(error)
        self._flush_tls()

    def _fail(self, error: Exception) -> None:
        self._error = error
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._full() and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _full(self) -> bool:
        return self._end - self._begin >= READ_BUFFER_BYTES

    @override
    def eof_received(self) -> bool:
        if self._tls is not None:
            self._tls.feed_eof()
            if self._tls.established:
                self._decrypt()
        self._eof = True
        self._wake()
        return self._tls is None  # a half-closed peer may still wait for our answer

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._eof = True
        self._error = self._error or exc
        self._writable.set()
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionResetError("closed in the handshake"))
            self._ready.exception()
        self._wake()

    @override
    def pause_writing(self) -> None:
        self._writable.clear()

    @override
    def resume_writing(self) -> None:
        self._writable.set()

    # -- what the engine calls ------------------------------------------------------------------

    async def established(self) -> None:
        """Return once bytes can flow.

        Raises:
            ssl.SSLError, OSError: the handshake failed.
        """
        await self._ready

    @property
    def certificate(self) -> bytes | None:
        """The peer's verified certificate, DER."""
        return self._tls.machine.getpeercert(binary_form=True) if self._tls else None

    @property
    def at_end(self) -> bool:
        """Has the peer ended, and is nothing left to read?"""
        return self._eof and self._begin == self._end

    def held(self) -> memoryview:
        """Return what was read and not consumed.  Valid until the next await."""
        return memoryview(self._buffer)[self._begin : self._end]

    def consume(self, count: int) -> None:
        """Drop bytes from the front of `held`."""
        self._begin += count
        if self._tls is not None and self._tls.established:
            self._decrypt()

    async def more(self) -> bool:
        """Wait until `held` has grown; False at the end or when it cannot grow."""
        if self._error is not None or self._eof:
            return False
        if self._full():
            return False
        before = self._end - self._begin
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        while self._waits(before):
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._end - self._begin > before

    def take_into(self, view: memoryview) -> int:
        """Move what is held into the front of ``view``; return how much that was."""
        held = self.held()
        count = min(len(view), len(held))
        view[:count] = held[:count]
        held.release()
        if count:
            self.consume(count)
        return count

    async def read_into(self, view: memoryview) -> int:
        """Fill the front of ``view``, without a copy where nothing is held; return 0 at the end.

        One that is cancelled may have lost bytes: the connection is of no use then.
        """
        if self._begin == self._end:
            if self._tls is None:
                return await self._straight_into(view)
            if not await self.more():
                return 0
        return self.take_into(view)

    async def _straight_into(self, view: memoryview) -> int:
        self._target, self._filled = view, 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        try:
            while not self._filled and not self._eof and self._error is None:
                self._reader = asyncio.get_running_loop().create_future()
                try:
                    await self._reader
                finally:
                    self._reader = None
            return self._filled
        finally:
            self._target = None

    def _waits(self, before: int) -> bool:
        return self._end - self._begin == before and not self._eof and self._error is None

    def write(self, *pieces: bytes | bytearray | memoryview) -> None:
        """Send, in one write.  Pieces that can change are left alone until `drain` returned."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        if self._tls is not None:
            for piece in pieces:
                self._tls.write(piece)
            self._transport.write(self._tls.drain())
        elif len(pieces) > 1 and sum(map(len, pieces)) > JOINED_BYTES_MAX:
            self._transport.writelines(pieces)
        else:
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def drain(self) -> None:
        """Wait until the kernel has taken everything written."""
        await self._writable.wait()
        if self.closed:
            raise ConnectionResetError("the peer is gone")

    async def detach(self, timeout_seconds: float) -> Blocking:
        """Hand the connection to a pump thread; `attach` takes it back."""
        await self.drain()
        assert self._transport is not None
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
        sock = self._transport.get_extra_info("socket")
        leftover = bytes(self.held())
        self._begin = self._end = 0
        # A duplicate: closing it leaves the transport's own descriptor alone.
        twin = socket.socket(sock.family, sock.type, sock.proto, os.dup(sock.fileno()))
        return Blocking(twin, self._tls, leftover, timeout_seconds)

    def attach(self, blocking: Blocking) -> None:
        """Take the connection back from a pump thread."""
        left = blocking.leftover
        blocking.close()
        if left:
            room = self._room()
            room[: len(left)] = left
            self._end += len(left)
        if self._tls is not None and self._tls.established:
            self._decrypt()
        if self._transport is not None and not self._transport.is_closing() and not self._full():
            self._paused = False
            self._transport.resume_reading()

    def finish(self) -> None:
        """Say that nothing more follows, and let the peer end."""
        if self._transport is not None and not self._transport.is_closing():
            self._finished = True
            with contextlib.suppress(OSError, RuntimeError):
                self._transport.write_eof()

    def close(self) -> None:
        """Close after what was written has gone out."""
        if self._transport is not None and not self._transport.is_closing():
            if self._tls is not None and self._tls.established:
                with contextlib.suppress(ssl.SSLError):
                    self._tls.machine.unwrap()
                self._flush_tls()
            self._transport.close()

    def abort(self) -> None:
        """Break the connection so that the peer sees it."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None and not self._transport.is_closing():
                with contextlib.suppress(OSError):
                    # RST, not FIN: a short body must not look like an end.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self._transport.abort()
