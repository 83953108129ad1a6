"""SyslogSink: RFC 5424 messages over TLS (RFC 5425), with octet counting.

Syslog has no acknowledgement.  So each batch has a connection of its own, which ends in order: we
send close_notify, and the receiver's close_notify says that its program read everything before it.
A receiver that is killed, or whose host is, ends otherwise, and the batch is sent again.

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

_WAIT_SECONDS = 0.01


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
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError) as error:
            said = "it broke off without ending TLS in order; what it had read is not known"
            raise self._failed(said if self._context else "it broke off") from error
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
        with self._context.wrap_socket(plain, server_hostname=self._host) as line:
            line.settimeout(_left(until))
            line.sendall(raw)
            if self._wait_for_close:
                line.settimeout(_left(until))
                with contextlib.closing(line.unwrap()):  # raises where there is no close_notify
                    return
            _wait_until_taken(line, until)

    def _end_plain(self, plain: socket.socket, until: float) -> None:
        if not self._wait_for_close:
            _wait_until_taken(plain, until)
            return
        plain.shutdown(socket.SHUT_WR)
        plain.settimeout(_left(until))
        while plain.recv(4096):
            plain.settimeout(_left(until))

    def _failed(self, said: str) -> Unavailable:
        return Unavailable(f"{self._host}:{self._port}: {said}")

    def close(self) -> None:
        """Nothing is open between two batches."""


def framed(message: bytes) -> bytes:
    """Return a message with its length before it (RFC 5425 section 4.3)."""
    return b"%d %s" % (len(message), message)


def _wait_until_taken(line: socket.socket, until: float) -> None:
    """Wait until the receiver's host has confirmed every byte."""
    unsent = array.array("i", [0])
    while True:
        fcntl.ioctl(line.fileno(), termios.TIOCOUTQ, unsent)
        if not unsent[0]:
            return
        _left(until)
        time.sleep(_WAIT_SECONDS)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
