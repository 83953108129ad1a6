"""A way to a store that fails: an HTTP proxy that drops, delays, cuts and refuses on command."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.peers.liar import Liar, Told

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"


@dataclass(frozen=True)
class Fault:
    """What happens to one request.

    ``reset``: the connection breaks and the store never hears of it.  ``lost``: the store acts, and
    the connection breaks instead of the answer.  ``cut``: the answer ends after ``count`` bytes of
    its body.  ``slow``: the answer comes ``count`` seconds late.  ``busy``: 503 SlowDown without
    asking the store, with a Retry-After of ``count`` seconds.  ``broken``: a bare 500.
    """

    kind: str
    count: float = 0


class _LostError(Exception):
    pass


class Faulty(Liar):
    """Fails the next requests as told, in order; then passes on."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._faults: deque[Fault] = deque()
        self._mine = threading.local()
        self.asked: list[str] = []  # method and target of every request since `fail`
        self.lie = self._spoil

    def fail(self, *faults: Fault) -> None:
        """Do these to the next requests."""
        self._faults = deque(faults)
        self.asked = []

    def _answer(self, handler: BaseHTTPRequestHandler, host: str, port: int) -> None:
        self.asked.append(f"{handler.command} {handler.path}")
        fault = self._faults.popleft() if self._faults else Fault("")
        self._mine.fault = fault
        if fault.kind in {"busy", "broken"}:
            handler.rfile.read(int(handler.headers.get("content-length", "0")))
            self._refuse(handler, fault)
        elif fault.kind == "reset":
            _break(handler)
        else:
            try:
                super()._answer(handler, host, port)
            except _LostError:
                _break(handler)

    def _spoil(self, told: Told) -> Told:
        fault: Fault = self._mine.fault
        if fault.kind == "lost":
            raise _LostError
        if fault.kind == "slow":
            time.sleep(fault.count)
        return replace(told, body=told.body[: int(fault.count)]) if fault.kind == "cut" else told

    def _refuse(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        body = SLOW_DOWN if fault.kind == "busy" else b""
        handler.close_connection = True
        with suppress(OSError):
            handler.send_response_only(503 if fault.kind == "busy" else 500)
            if fault.kind == "busy" and fault.count:
                handler.send_header("retry-after", str(int(fault.count)))
            handler.send_header("content-length", str(len(body)))
            handler.send_header("connection", "close")
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(body)


def _break(handler: BaseHTTPRequestHandler) -> None:
    """Answer with a reset."""
    handler.close_connection = True
    with suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()
