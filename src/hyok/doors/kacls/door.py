"""KaclsDoor: browsers and Google's services have data keys wrapped and unwrapped here.

Every answer, also one that refuses, tells the browser that Google's page may read it.

Source: Google "Client-side encryption API"; docs/keyservices/kacls.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.doors.kacls import wire
from hyok.doors.kacls.calls import DOOR, Call
from hyok.doors.kacls.faults import (
    INTERNAL,
    METHOD,
    TIMEOUT,
    TOO_MANY,
    UNKNOWN_PATH,
    Fault,
    details_of,
    fault_of,
)
from hyok.doors.kacls.operations import served_by
from hyok.doors.kacls.rules import Method
from hyok.doors.turns import Unserved
from hyok.errors import HyokError, Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.doors.kacls.config import KaclsSettings
    from hyok.doors.kacls.operations import Operations
    from hyok.doors.port import Exchange, Meter
    from hyok.doors.turns import Turns

log = structlog.get_logger("hyok.doors.kacls")

ANSWER_SECONDS = 0.05
_GETS = frozenset({Method.STATUS, Method.CERTS})
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: TIMEOUT}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    error: str = ""


class KaclsDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        settings: what this service is.
        operations: what it does.
        turns: lets requests in.
        version: our own.
        meter: takes the numbers of each request.
        new_id: returns an id for a request.
    """

    def __init__(
        self,
        settings: KaclsSettings,
        *,
        operations: Operations,
        turns: Turns,
        version: str,
        meter: Meter,
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._turns = turns
        self._meter = meter
        self._new_id = new_id
        self._status = wire.render_status(version, served_by(settings), settings.name)
        self._served = frozenset(served_by(settings))

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        head = exchange.head
        method = wire.parse_target(head.target, self._settings.base_path)
        if method is None or method not in self._served:
            await _send(exchange, _refusal(UNKNOWN_PATH))
        elif head.method == "OPTIONS":
            await exchange.respond(204, wire.CORS)
        elif head.method != ("GET" if method in _GETS else "POST"):
            await _send(exchange, _refusal(METHOD))
        elif method is Method.STATUS:
            await _send(exchange, Answer(200, self._status))
        else:
            await self._answer(exchange, method)

    async def _answer(self, exchange: Exchange, method: Method) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ends = began + self._settings.deadline_ms / 1000

        call = Call(method, self._new_id(), exchange.head.peer, lambda: self._turns.seconds(ends))
        answer = await self._turns.take(
            ends, lambda: self._serve(exchange, call), lambda why: _refused(why, call)
        )
        await _send(exchange, answer)
        self._note(call, loop.time() - began, answer)

    async def _serve(self, exchange: Exchange, call: Call) -> Answer:
        return Answer(200, await self._perform(exchange, call))

    async def _perform(self, exchange: Exchange, call: Call) -> bytes:
        if call.method is Method.CERTS:
            return await self._operations.certs()
        if (exchange.content_length or 0) > wire.BODY_BYTES_MAX:
            raise Malformed("The body is too long.", code="HY-2682")
        asked = wire.parse(call.method, bytes(await exchange.read_whole(wire.BODY_BYTES_MAX)))
        call.reason = asked.reason
        return await self._operations.perform(call, asked)

    def _note(self, call: Call, seconds: float, answer: Answer) -> None:
        self._meter.door_request(DOOR, str(call.method), answer.error, seconds)
        fields = {
            "resource_name": call.resource_name,
            "reason": call.reason,
            "error": answer.error,
        }
        log.info(
            "kacls.request",
            operation=str(call.method),
            request_id=call.request_id,
            status=answer.status,
            **{name: value for name, value in fields.items() if value},
            duration_ms=round(seconds * 1000, 2),
        )


def _refusal(fault: Fault, details: str = "") -> Answer:
    body = wire.render_error(fault.status, fault.message, details)
    return Answer(fault.status, body, fault.name)


def _refused(why: Exception | Unserved, call: Call) -> Answer:
    """Return what the caller is told, and tell our own log what it is not: of a token no word."""
    if isinstance(why, Unserved):
        return _refusal(_UNSERVED[why])
    if not isinstance(why, HyokError):
        log.error("kacls.bug", request_id=call.request_id, exc_info=why)
        return _refusal(INTERNAL)
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("kacls.tampered", request_id=call.request_id, error=why.explain())
    elif fault.status >= INTERNAL.status:
        log.warning("kacls.failed", request_id=call.request_id, error=why.explain())
    else:
        log.info("kacls.refused", request_id=call.request_id, error=why.explain())
    return _refusal(fault, details_of(why))


async def _send(exchange: Exchange, answer: Answer) -> None:
    headers = [*wire.HEADERS]
    if answer.status in {TIMEOUT.status, TOO_MANY.status}:
        headers.append(("retry-after", "1"))
    await exchange.respond(answer.status, headers, answer.body)
