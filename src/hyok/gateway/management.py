"""/livez, /readyz and /metrics, on a listener of their own: a bucket may be called `readyz`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.gateway.port import Exchange

ANSWER_SECONDS_MAX = 1.5
"""A probe waits a few seconds at most; what does not answer before then is not ready."""


class Management:
    """Answers about the process itself.

    Args:
        ready: returns what is checked, each with an empty text when it is well.
        metrics: returns the metrics text.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[Mapping[str, str]]],
        metrics: Callable[[], bytes],
    ) -> None:
        self._ready = ready
        self._metrics = metrics

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        path = exchange.head.target.partition(b"?")[0]
        if exchange.head.method not in ("GET", "HEAD"):
            await exchange.respond(405, [("allow", "GET, HEAD")])
        elif path == b"/livez":
            await _json(exchange, 200, {"live": "ok"})
        elif path == b"/readyz":
            causes = await self._ready()
            status = 503 if any(causes.values()) else 200
            await _json(exchange, status, {name: said or "ok" for name, said in causes.items()})
        elif path == b"/metrics":
            text = self._metrics()
            await exchange.respond(200, [("content-type", "text/plain; version=0.0.4")], text)
        else:
            await _json(exchange, 404, {"error": "only /livez, /readyz and /metrics are here"})


async def cause_of(question: Callable[[], Awaitable[object]], what: str) -> str:
    """Return why ``what`` does not answer a question now, or nothing when it does."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await question()
    except TimeoutError:
        return f"{what} does not answer within {ANSWER_SECONDS_MAX} s"
    except HyokError as error:
        return str(error)
    return ""


async def _json(exchange: Exchange, status: int, document: Mapping[str, str]) -> None:
    body = json.dumps(document).encode()
    await exchange.respond(status, [("content-type", "application/json")], body)
