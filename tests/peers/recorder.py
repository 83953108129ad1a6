"""A TCP proxy that keeps every byte that passes, for looking at what a supplier is told."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

READ_BYTES = 1 << 16


class Recorder:
    """Listens on loopback, passes on to ``target``, and keeps both directions apart.

    Bytes of several connections are kept one connection after the other, never mixed.
    """

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._tapes: list[tuple[bytearray, bytearray]] = []
        self._lock = threading.Lock()
        self._door = socket.create_server((host, 0))
        self.endpoint = f"{parts.scheme}://{host}:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def sent(self) -> bytes:
        """Return what went to the target since `clear`."""
        with self._lock:
            return b"\n".join(bytes(there) for there, _ in self._tapes)

    def answered(self) -> bytes:
        """Return what came back since `clear`."""
        with self._lock:
            return b"\n".join(bytes(back) for _, back in self._tapes)

    def clear(self) -> None:
        """Forget what was kept; connections go on."""
        with self._lock:
            for there, back in self._tapes:
                there.clear()
                back.clear()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            try:
                peer = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client, peer), daemon=True).start()

    def _serve(self, client: socket.socket, peer: socket.socket) -> None:
        there, back = bytearray(), bytearray()
        with self._lock:
            self._tapes.append((there, back))
        with client, peer:
            onward = threading.Thread(target=self._pass, args=(client, peer, there), daemon=True)
            onward.start()
            self._pass(peer, client, back)
            onward.join()

    def _pass(self, one: socket.socket, other: socket.socket, tape: bytearray) -> None:
        """Pass one direction on until it ends; a broken one ends the other as well."""
        try:
            while piece := one.recv(READ_BYTES):
                with self._lock:
                    tape += piece
                other.sendall(piece)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (one, other):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
