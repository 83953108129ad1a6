"""Tls: TLS as a machine that is fed; it owns no socket, so loop and thread drive it by turns."""

from __future__ import annotations

import ssl
from typing import cast


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
