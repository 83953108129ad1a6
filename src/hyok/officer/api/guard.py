"""Guard: what holds for every answer of the officers' door, whoever makes it.

Bodies are bounded before anybody reads them, and every answer has the headers that keep it out of
caches, frames and guesses of its type.

Source: NL GOV REST API Design Rules (security headers, API-Version); OWASP REST security.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hyok.officer.api.faults import BROKEN, plain_problem, problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("hyok.officer")

API_VERSION = "1.0.0"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ),
    (b"api-version", API_VERSION.encode()),
)
HSTS = (b"strict-transport-security", b"max-age=31536000")


class Guard:
    """An ASGI application around another.

    Args:
        app: the other.
        body_bytes_max: more than this is not read.
        https: whether browsers are to come back by https alone.
    """

    def __init__(self, app: ASGIApp, *, body_bytes_max: int, https: bool) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._headers = [*HEADERS, HSTS] if https else list(HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = [(k.lower(), v) for k, v in message.get("headers", ())]
                names = {name for name, _ in given}
                ours = [pair for pair in self._headers if pair[0] not in names]
                message = {**message, "headers": given + ours}
            await send(message)

        body = await self._read(receive)
        if body is None:
            problem = plain_problem(413, f"A body has at most {self._body_bytes_max} bytes.")
            await problem_response(problem)(scope, receive, guarded)
            return
        try:
            await self._app(scope, _replayed(body, receive), guarded)
        except Exception:
            # The top of this process.  Raised on, the client would be left without its answer.
            log.exception("officer_api.broken", path=scope["path"])
            if not begun:
                await problem_response(plain_problem(500, BROKEN))(scope, receive, guarded)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the whole body; None: it is longer than allowed."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)  # the client is gone
            body += message.get("body", b"")
            if len(body) > self._body_bytes_max:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
