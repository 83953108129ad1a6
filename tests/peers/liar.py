"""A store that lies in its answers only: an HTTP proxy that changes what the real one said."""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

HOP = frozenset({"connection", "transfer-encoding", "keep-alive"})


@dataclass(frozen=True)
class Told:
    """A request, and the answer to it.  The declared length may differ from the body's."""

    method: str
    target: str
    asked_range: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def saying(self, **headers: str | None) -> Told:
        """Return the same with other headers; None takes one away."""
        new = {name.replace("_", "-"): value for name, value in headers.items()}
        merged = {**self.headers, **new}
        return replace(self, headers={k: v for k, v in merged.items() if v is not None})

    def bringing(self, body: bytes) -> Told:
        """Return the same with another body and its true length."""
        return replace(self, body=body).saying(content_length=str(len(body)))


def truth(told: Told) -> Told:
    """Change nothing."""
    return told


class Liar:
    """Listens on loopback; every answer of ``target`` goes through `lie`."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self.lie: Callable[[Told], Told] = truth
        self.lies = 0  # answers that were changed since `lie` was set
        liar, host, port = self, parts.hostname, parts.port

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                liar._answer(self, host, port)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.pass_on)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def tell(self, lie: Callable[[Told], Told]) -> None:
        """Lie like this from now on."""
        self.lie, self.lies = lie, 0

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, host: str, port: int) -> None:
        length = int(handler.headers.get("content-length", "0"))
        body = handler.rfile.read(length)
        peer = http.client.HTTPConnection(host, port, timeout=60)
        try:
            # The Host header goes on as it came: it is signed.
            peer.putrequest(
                handler.command, handler.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in handler.headers.items():
                if name.lower() not in HOP:
                    peer.putheader(name, value)
            peer.endheaders(body)
            answer = peer.getresponse()
            headers = {k.lower(): v for k, v in answer.getheaders() if k.lower() not in HOP}
            asked = handler.headers.get("range", "")
            content = answer.read()
        finally:
            peer.close()
        headers.setdefault("content-length", str(len(content)))
        told = Told(handler.command, handler.path, asked, answer.status, headers, content)
        changed = self.lie(told)
        self.lies += changed != told
        handler.close_connection = True
        with suppress(OSError):  # the gateway hangs up when it sees through a lie
            handler.send_response_only(changed.status)
            for name, value in changed.headers.items():
                handler.send_header(name, value)
            handler.send_header("connection", "close")
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(changed.body)
