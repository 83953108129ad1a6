"""Connection: one TCP connection, plain or TLS, on the loop.

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

from hyok.http1.blocking import Blocking
from hyok.http1.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.http1.tls_machine import Tls

READ_BUFFER_BYTES = 64 << 10
JOINED_BYTES_MAX = 16 << 10
"""Pieces of a write are joined up to this length; longer ones are handed over side by side."""

_NO_BUFFER = memoryview(b"")


class Connection(asyncio.BufferedProtocol):
    """A byte stream on the loop, in the hands of one task.

    ``until`` is a time of the loop's clock; a wait that lasts longer ends with `TimeoutError`.
    """

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
        self._view = _NO_BUFFER  # of the buffer
        self._raw: memoryview | None = None
        self._begin = 0
        self._end = 0
        self._target: memoryview | None = None  # what `read_into` waits to fill
        self._filled = 0
        self._eof = False
        self._error: Exception | None = None
        self._paused = False
        self._finished = False  # we said that nothing more follows
        self._waiting = Waiting()
        self.clogged = False  # the kernel takes no more for now
        self.closed = False
        self.peer = client or ""

    # -- what the transport calls ---------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        # What is written is sent at once, and a write that was not taken whole is known.
        self._transport.set_write_buffer_limits(high=0)
        name = transport.get_extra_info("peername")
        if not self.peer and isinstance(name, tuple):
            self.peer = str(name[0])
        sock = transport.get_extra_info("socket")
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
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
            self._view = memoryview(self._buffer)
        if self._begin == self._end:
            self._begin = self._end = 0
            return self._view
        if self._end == READ_BUFFER_BYTES and self._begin:
            left = self._end - self._begin
            self._buffer[:left] = self._buffer[self._begin : self._end]
            self._begin, self._end = 0, left
        return self._view[self._end :]

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
        if self._end - self._begin >= READ_BUFFER_BYTES:
            self._pause()
        self._waiting.wake()

    def _handshake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.handshake()
        except ssl.SSLError as error:
            self._flush_tls()
            self._fail(error)
            return
        self._flush_tls()

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
        self.abort()
        self._waiting.wake()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    @override
    def eof_received(self) -> bool:
        if self._tls is not None:
            self._tls.feed_eof()
            if self._tls.established:
                self._decrypt()
        self._eof = True
        self._waiting.wake()
        return self._tls is None  # a half-closed peer may still wait for our answer

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._eof = True
        self._error = self._error or exc
        self._waiting.close()

    @override
    def pause_writing(self) -> None:
        self.clogged = True

    @override
    def resume_writing(self) -> None:
        self.clogged = False
        self._waiting.wake()

    # -- what the engine calls ------------------------------------------------------------------

    async def established(self, until: float) -> None:
        """Return once bytes can flow.

        Raises:
            ssl.SSLError, OSError: the handshake failed.
        """
        while self._tls is not None and not self._tls.established:
            if self._error is not None:
                raise self._error
            if self._eof:
                raise ConnectionResetError("closed in the handshake")
            await self._waiting.wait(until)

    @property
    def certificate(self) -> bytes | None:
        """The peer's verified certificate, DER."""
        return self._tls.machine.getpeercert(binary_form=True) if self._tls else None

    @property
    def at_end(self) -> bool:
        """Has the peer ended, and is nothing left to read?"""
        return self._eof and self._begin == self._end

    @property
    def at_rest(self) -> bool:
        """Has the peer neither ended nor sent anything that nobody took?"""
        return not self._eof and self._begin == self._end

    @property
    def held_bytes(self) -> int:
        """How much was read and not consumed."""
        return self._end - self._begin

    def held(self) -> memoryview:
        """Return what was read and not consumed.  Valid until the next await."""
        return self._view[self._begin : self._end]

    def consume(self, count: int) -> None:
        """Drop bytes from the front of `held`."""
        self._begin += count
        if self._tls is not None and self._tls.established:
            self._decrypt()

    def take(self, count: int) -> bytearray | None:
        """Take ``count`` bytes from the front of `held`; None: there are less."""
        if self._end - self._begin < count:
            return None
        taken = self._buffer[self._begin : self._begin + count]
        self.consume(count)
        return taken

    def take_past(self, mark: bytes, most: int) -> bytes | None:
        """Take everything up to the end of ``mark``; None: it is not within ``most`` bytes."""
        begin = self._begin
        at = self._buffer.find(mark, begin, min(self._end, begin + most))
        if at < 0:
            return None
        taken = bytes(self._view[begin : at + len(mark)])
        self.consume(len(taken))
        return taken

    async def more(self, until: float) -> bool:
        """Wait until `held` has grown; False at the end or when it cannot grow."""
        before = self._end - self._begin
        if self._error is not None or self._eof or before >= READ_BUFFER_BYTES:
            return False
        self._resume()
        while self._waits(before):
            await self._waiting.wait(until)
        return self._end - self._begin > before

    def _waits(self, before: int) -> bool:
        return self._end - self._begin == before and not self._eof and self._error is None

    def take_into(self, view: memoryview) -> int:
        """Move what is held into the front of ``view``; return how much that was."""
        held = self.held()
        count = min(len(view), len(held))
        view[:count] = held[:count]
        held.release()
        if count:
            self.consume(count)
        return count

    async def read_into(self, view: memoryview, until: float) -> int:
        """Fill the front of ``view``, without a copy where nothing is held; return 0 at the end.

        One that is cancelled may have lost bytes: the connection is of no use then.
        """
        if self._begin == self._end:
            if self._tls is None:
                return await self._straight_into(view, until)
            if not await self.more(until):
                return 0
        return self.take_into(view)

    async def _straight_into(self, view: memoryview, until: float) -> int:
        self._target, self._filled = view, 0
        self._resume()
        try:
            while not self._filled and not self._eof and self._error is None:
                await self._waiting.wait(until)
            return self._filled
        finally:
            self._target = None

    def write(self, *pieces: bytes | bytearray | memoryview) -> None:
        """Send, in one write.  Pieces that can change are left alone until `drain` returned."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the peer is gone")
        if self._tls is not None:
            for piece in pieces:
                self._tls.write(piece)
            transport.write(self._tls.drain())
        elif len(pieces) == 1:
            transport.write(pieces[0])
        elif sum(map(len, pieces)) > JOINED_BYTES_MAX:
            transport.writelines(pieces)
        else:
            transport.write(b"".join(pieces))

    async def drain(self, until: float) -> None:
        """Wait until the kernel has taken everything written."""
        while self.clogged and not self.closed:
            await self._waiting.wait(until)
        if self.closed:
            raise ConnectionResetError("the peer is gone")

    async def detach(self, timeout_seconds: float, bytes_per_second_min: int = 0) -> Blocking:
        """Hand the connection to a pump thread; `attach` takes it back.

        ``bytes_per_second_min``: what the peer must send while it is waited for; 0 for one that may
        think before it answers.
        """
        await self.drain(asyncio.get_running_loop().time() + timeout_seconds)
        assert self._transport is not None
        self._pause()
        sock = self._transport.get_extra_info("socket")
        leftover = bytes(self.held())
        self._begin = self._end = 0
        # A duplicate: closing it leaves the transport's own descriptor alone.
        twin = socket.socket(sock.family, sock.type, sock.proto, os.dup(sock.fileno()))
        return Blocking(twin, self._tls, leftover, timeout_seconds, bytes_per_second_min)

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
        transport = self._transport
        if transport and not transport.is_closing() and self.held_bytes < READ_BUFFER_BYTES:
            self._resume()

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
