"""SyslogSink: RFC 5424 messages over TLS (RFC 5425), with octet counting.

Syslog has no acknowledgement.  So each batch has a connection of its own, which has to end in
order: we send close_notify; the receiver answers with its own, after which the connection ends with
all our bytes confirmed and is not reset.  A program that was killed sends no close_notify.  One
that refuses us after the handshake (our certificate, in TLS 1.3) does send it, but leaves bytes
unread, and then its host resets the connection or never confirms them.  Either way the batch is
sent again.

Source: RFC 5425 sections 4.3 and 4.4 (octet counting, close_notify); RFC 6587 3.4.1 (plain TCP).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import ssl
import termios
import time
from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

FIN = 1
"""Counts as a byte; that it is confirmed as well is not waited for."""

_WAIT_SECONDS = 0.01
_READ_BYTES = 1 << 14


class _Line:
    """TLS over a socket, whose end is seen for what it is.

    `ssl.SSLSocket.unwrap` takes a fatal alert that comes after our close_notify for the receiver's
    own, since OpenSSL notes both as an end; reading on tells them apart.

    Blocking, until the moment ``until`` of the monotonic clock.
    """

    def __init__(
        self, plain: socket.socket, context: ssl.SSLContext, host: str, until: float
    ) -> None:
        self._plain, self._until = plain, until
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
        self._flush()

    def send(self, raw: bytes) -> None:
        """Send all of it."""
        self._tls.write(raw)
        self._flush()

    def closed_already(self) -> bool:
        """Has the receiver ended TLS before we did?"""
        self._plain.settimeout(0)
        try:
            while raw := self._plain.recv(_READ_BYTES):
                self._incoming.write(raw)
            return True
        except BlockingIOError:
            pass
        try:
            return not self._tls.read(1)
        except ssl.SSLWantReadError:
            return False

    def close(self) -> None:
        """Send close_notify; return when the receiver's own has come.

        Raises:
            ssl.SSLEOFError: the connection ended without.
            TimeoutError: nothing came in time.
        """
        with contextlib.suppress(ssl.SSLWantReadError):  # ours is on its way out
            self._tls.unwrap()
        self._flush()
        while True:
            try:
                self._tls.read(_READ_BYTES)  # of a receiver that speaks: nobody listens
            except ssl.SSLZeroReturnError:
                return
            except ssl.SSLWantReadError:
                self._fill()
            except (ssl.SSLEOFError, ssl.SSLSyscallError):
                # Not the connection's end, which `_fill` sees: a session ticket that came late.
                _left(self._until)
                if not self._incoming.pending:
                    self._fill()

    def _flush(self) -> None:
        self._plain.settimeout(_left(self._until))
        self._plain.sendall(self._outgoing.read())

    def _fill(self) -> None:
        self._plain.settimeout(_left(self._until))
        raw = self._plain.recv(_READ_BYTES)
        if not raw:
            raise ssl.SSLEOFError("the connection ended without close_notify")
        self._incoming.write(raw)


class SyslogSink:
    """Sends to one receiver.

    ``context`` None: plain TCP, for a receiver on this host.  ``wait_for_close`` False: content
    that the receiver's host has the bytes, for receivers that do not end TLS in order.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        seconds_max: float = 30.0,
        wait_for_close: bool = True,
    ) -> None:
        self._host, self._port, self._context = host, port, context
        self._seconds_max = seconds_max
        self._wait_for_close = wait_for_close

    def send(self, messages: Sequence[bytes]) -> None:
        """Send a batch and wait until it was read; see `Sink.send`."""
        until = time.monotonic() + self._seconds_max
        try:
            with socket.create_connection((self._host, self._port), self._seconds_max) as plain:
                self._send(plain, b"".join(map(framed, messages)), until)
        except ssl.SSLCertVerificationError as error:
            raise self._failed(f"its certificate is refused: {error.verify_message}") from error
        except (ssl.SSLEOFError, ConnectionError) as error:
            said = "it broke off without reading to the end; does it refuse us? Its log may tell"
            raise self._failed(said) from error
        except ssl.SSLError as error:
            raise self._failed(f"TLS: {error.reason or error}") from error
        except TimeoutError as error:
            raise self._failed(f"no answer within {self._seconds_max:g} seconds") from error
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error

    def _send(self, plain: socket.socket, raw: bytes, until: float) -> None:
        if self._context is None:
            plain.sendall(raw)
            self._end_plain(plain, until)
            return
        line = _Line(plain, self._context, self._host, until)
        line.send(raw)
        if not self._wait_for_close:
            _wait_until_taken(plain, until)
            return
        if line.closed_already():
            raise ConnectionResetError
        line.close()
        self._end(plain, until)

    def _end_plain(self, plain: socket.socket, until: float) -> None:
        if self._wait_for_close:
            self._end(plain, until)
        else:
            _wait_until_taken(plain, until)

    def _end(self, plain: socket.socket, until: float) -> None:
        """Return quietly if the receiver's side ends with every byte of ours read."""
        try:
            plain.shutdown(socket.SHUT_WR)
        except OSError as error:  # ENOTCONN: it was reset, and `recv` may not say so any more
            raise ConnectionResetError from error
        plain.settimeout(_left(until))
        while plain.recv(4096):
            plain.settimeout(_left(until))
        if _unconfirmed(plain) > FIN:
            raise ConnectionResetError

    def _failed(self, said: str) -> Unavailable:
        return Unavailable(f"{self._host}:{self._port}: {said}")

    def close(self) -> None:
        """Nothing is open between two batches."""


def framed(message: bytes) -> bytes:
    """Return a message with its length before it (RFC 5425 section 4.3)."""
    return b"%d %s" % (len(message), message)


def _unconfirmed(line: socket.socket) -> int:
    """Return how many bytes the receiver's host has not confirmed."""
    count = array.array("i", [0])
    fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, count)
    return count[0]


def _wait_until_taken(line: socket.socket, until: float) -> None:
    """Wait until the receiver's host has confirmed every byte."""
    while _unconfirmed(line):
        _left(until)
        time.sleep(_WAIT_SECONDS)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
