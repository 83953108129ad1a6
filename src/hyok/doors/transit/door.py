"""TransitDoor: clients of Vault's Transit engine ask for uses of keys in the HSM.

In this order, which is what a caller sees refused: load, Vault's own paths, token, rate, path,
members, key, state, policy, size, purpose.

Source: HashiCorp Vault and OpenBao, "Transit secrets engine (API)"; docs/keyservices/transit.md.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.custody.door_key import KEY_UNKNOWN
from hyok.doors.shedding import Rate
from hyok.doors.transit import system, wire
from hyok.doors.transit.bearers import check_namespace, token_in
from hyok.doors.transit.faults import DENIED, INTERNAL, SEALED, THROTTLED, TOO_MANY, Fault, fault_of
from hyok.doors.transit.operations import DOOR, Call
from hyok.doors.transit.wire import Operation
from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, Malformed, NotAuthenticated, NotFound, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.doors.bearers import Bearers, Holder
    from hyok.doors.port import Exchange, Meter
    from hyok.doors.transit.login import Logins
    from hyok.doors.transit.operations import Operations
    from hyok.doors.transit.wire import Place
    from hyok.identity.guesses import FailureLimit

log = structlog.get_logger("hyok.doors.transit")

ANSWER_SECONDS = 0.05
"""What is kept of the time we have for everything but the HSM."""

_WRITES = frozenset({"POST", "PUT"})
_MAKING = (
    "keys are made, rotated and ended by officers together: hyok doors keys, at the key's owner"
)
_ABSENT = Fault(403, "NotServed", "permission denied: this door does not do that")
_METHOD = Fault(405, "Method", "unsupported operation")
_NOTHING = Fault(404, "NoRoute", "")
_OFFICERS = Fault(403, "Officers", _MAKING)
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: SEALED}


@dataclass(slots=True)
class Request:
    """One request on its way, and what has become known of it."""

    exchange: Exchange
    place: Place
    request_id: str
    ends: float  # of the loop's clock
    operation: str = ""  # for our figures: a word of ours, never the caller's
    key: str = ""
    app: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    error: str = ""


class TransitDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        operations: what the mount does.
        bearers: who is behind a token.
        logins: gives tokens to workloads.
        failures: how often one client may show a wrong token.
        reachable: does the HSM answer at all, as of a moment ago?
        mount: the mount's name.
        version: our own.
        deadline_seconds: for a whole request.
        in_flight_max: more than these at once are told to come back.
        per_second: how much one app may ask of this process.
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
    """

    def __init__(
        self,
        *,
        operations: Operations,
        bearers: Bearers,
        logins: Logins,
        failures: FailureLimit,
        reachable: Callable[[], bool],
        mount: str,
        version: str,
        deadline_seconds: float,
        in_flight_max: int,
        per_second: float,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
    ) -> None:
        self._operations = operations
        self._bearers = bearers
        self._logins = logins
        self._failures = failures
        self._reachable = reachable
        self._turns = Turns(
            in_flight_max=in_flight_max, answer_seconds=ANSWER_SECONDS, reachable=reachable
        )
        self._mount = mount
        self._version = version
        self._deadline_seconds = deadline_seconds
        self._per_second = per_second
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter
        self._rates: dict[str, Rate] = {}

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        place = wire.parse_target(exchange.head.target)
        if place is None:
            await _send(exchange, _answer(_NOTHING))
            return
        request = Request(exchange, place, str(uuid.uuid4()), began + self._deadline_seconds)
        if (answer := self._of_health(request)) is None:
            answer = await self._turns.take(
                request.ends, lambda: self._serve(request), lambda why: _refused(why, request)
            )
        await _send(exchange, answer)
        self._note(request, loop.time() - began, answer)

    def _of_health(self, request: Request) -> Answer | None:
        """Return what anybody may ask, without a look at anything else."""
        place, sealed = request.place, not self._reachable()
        if place.area != "sys" or request.exchange.head.method not in {"GET", "HEAD"}:
            return None
        if place.parts == ("health",):
            request.operation = "health"
            status = system.health_status(place.query, sealed=sealed)
            told = system.health(self._version, self._clock_ms(), sealed=sealed)
            return Answer(status, wire.render_bare(told))
        if place.parts == ("seal-status",):
            request.operation = "seal-status"
            told = system.seal_status(self._version, sealed=sealed)
            return Answer(200, wire.render_bare(told))
        if place.parts in _KNOWN:
            request.operation = place.parts[0]
            return Answer(200, wire.render_bare(_KNOWN[place.parts]))
        return None

    async def _serve(self, request: Request) -> Answer:
        place, head = request.place, request.exchange.head
        failing = self._failures.is_over(head.peer)
        try:
            if place.area == "auth" and place.parts == ("kubernetes", "login"):
                # Before any work and without a record: a flood must not fill the log.
                return _answer(TOO_MANY) if failing else await self._login(request)
            token = token_in(head.headers)
            holder = await self._bearers.find(token, self._clock_ms())
            check_namespace(head.headers, holder.principal.tenant)
        except NotAuthenticated:
            # Whoever shows a good token is served, whatever a neighbour at that address shows.
            if failing:
                return _answer(TOO_MANY)
            self._failures.note(head.peer)
            raise
        request.app = holder.principal.id
        self._take(request.app)
        if place.area in {"sys", "auth"}:
            return self._of_itself(request, holder, token)
        if place.area != self._mount:
            return _answer(_NOTHING)
        return await self._of_mount(request, holder)

    def _take(self, app: str) -> None:
        now = self._monotonic()
        rate = self._rates.setdefault(app, Rate(self._per_second, now))
        if not rate.take(now):
            raise Unavailable(
                "The app asks more often than was agreed.", reason=THROTTLED, code="HY-2679"
            )

    async def _login(self, request: Request) -> Answer:
        request.operation = "login"
        if request.exchange.head.method not in _WRITES:
            return _answer(_METHOD)
        body = await self._body(request)
        token, holder = await self._logins.login(
            body, request.request_id, request.exchange.head.peer
        )
        request.app = holder.principal.id
        told = system.auth(token, holder, self._clock_ms())
        return Answer(200, wire.render(request.request_id, auth=told))

    def _of_itself(self, request: Request, holder: Holder, token: str) -> Answer:
        method, now_ms = request.exchange.head.method, self._clock_ms()
        match (request.place.area, *request.place.parts):
            case ("auth", "token", "lookup-self") if method in {"GET", "POST"}:
                request.operation = "lookup-self"
                return Answer(200, self._envelope(request, system.lookup(holder, now_ms)))
            case ("auth", "token", "renew-self") if method in _WRITES:
                request.operation = "renew-self"
                told = system.auth(token, holder, now_ms)
                return Answer(200, wire.render(request.request_id, auth=told))
            case ("sys", "mounts") if method == "GET":
                request.operation = "mounts"
                mounts = {f"{self._mount}/": system.mount(self._mount)}
                return Answer(200, self._envelope(request, mounts))
            case ("sys", "internal", "ui", "mounts", mount, *_) if (
                method == "GET" and mount == self._mount
            ):
                request.operation = "mounts"
                return Answer(200, self._envelope(request, system.mount(mount)))
            case _:
                return _answer(DENIED)

    def _envelope(self, request: Request, data: object) -> bytes:
        return wire.render(request.request_id, data)

    async def _of_mount(self, request: Request, holder: Holder) -> Answer:
        parts, method = request.place.parts, request.exchange.head.method
        if not parts or parts[0] not in set(Operation):
            return _answer(_ABSENT if parts and parts[0] in wire.ABSENT else _NOTHING)
        operation = Operation(parts[0])
        request.operation = str(operation)
        call = Call(
            holder.principal,
            holder.via,
            operation,
            parts[1:],
            request.request_id,
            request.exchange.head.peer,
            self._clock_ms(),
            lambda: self._turns.seconds(request.ends),
        )
        if operation is Operation.KEYS:
            return await self._of_keys(request, call, method)
        if method not in _WRITES:
            return _answer(_METHOD)
        if len(parts) > 3 or len(parts) < _PARTS_MIN[operation]:
            return _answer(_NOTHING)
        request.key = call.key
        body = await self._body(request)
        if batch := wire.parse_batch(body):  # each item is a use of the HSM
            self._rates[request.app].owe(len(batch) - 1)
        self._turns.check_reachable()
        status, data = await self._operations.perform(call, body)
        return Answer(status, self._envelope(request, data), "" if status == 200 else "Items")

    async def _of_keys(self, request: Request, call: Call, method: str) -> Answer:
        listing = method == "LIST" or request.place.query.get("list") == "true"
        if not call.rest:
            if method not in {"LIST", "GET"} or not listing:
                return _answer(_METHOD)
            names = await self._operations.names(call)
            data = {"keys": sorted(names)}
            return Answer(200, self._envelope(request, data)) if names else _answer(_NOTHING)
        request.key = call.key
        if method == "GET" and len(call.rest) == 1:
            return Answer(200, self._envelope(request, await self._operations.describe(call)))
        if method in _WRITES and len(call.rest) == 1:
            # As Vault does: to make a key that is there changes nothing.
            try:
                await self._operations.describe(call)
            except NotFound:
                return _answer(_OFFICERS)
            return Answer(204)
        return _answer(_OFFICERS if method in {*_WRITES, "DELETE"} else _METHOD)

    async def _body(self, request: Request) -> Mapping[str, object]:
        exchange = request.exchange
        if (exchange.content_length or 0) > wire.BODY_BYTES_MAX:
            raise Malformed("the request is longer than is served", code="HY-2677")
        return wire.parse_body(bytes(await exchange.read_whole(wire.BODY_BYTES_MAX)))

    def _note(self, request: Request, seconds: float, answer: Answer) -> None:
        operation = request.operation or "other"
        self._meter.door_request(DOOR, operation, answer.error, seconds)
        if operation in {"health", "seal-status", "init", "leader"}:
            return
        fields = {"app": request.app, "key": request.key[:64], "error": answer.error}
        log.info(
            "transit.request",
            operation=operation,
            request_id=request.request_id,
            status=answer.status,
            **{name: value for name, value in fields.items() if value},
            duration_ms=round(seconds * 1000, 2),
        )


_KNOWN: Mapping[tuple[str, ...], Mapping[str, object]] = {
    ("init",): {"initialized": True},
    ("leader",): {"ha_enabled": False, "is_self": False, "leader_address": ""},
}
"""What Vault's own client asks before it says how the server is."""

_PARTS_MIN = {
    Operation.ENCRYPT: 2,
    Operation.DECRYPT: 2,
    Operation.REWRAP: 2,
    Operation.DATAKEY: 3,
    Operation.RANDOM: 1,
    Operation.HMAC: 2,
    Operation.SIGN: 2,
    Operation.VERIFY: 2,
}


def _answer(fault: Fault) -> Answer:
    sentences = (fault.message,) if fault.message else ()
    return Answer(fault.status, wire.render_errors(*sentences), fault.name)


def _refused(why: Exception | Unserved, request: Request) -> Answer:
    """Return what the client is told, and tell our own log what it is not."""
    if isinstance(why, Unserved):
        return _answer(_UNSERVED[why])
    if not isinstance(why, HyokError):
        log.error("transit.bug", request_id=request.request_id, exc_info=why)
        return _answer(INTERNAL)
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("transit.tampered", request_id=request.request_id, error=why.explain())
    elif fault in {INTERNAL, SEALED}:
        log.warning("transit.failed", request_id=request.request_id, error=why.explain())
    elif isinstance(why, NotFound) and why.reason == KEY_UNKNOWN:
        log.info("transit.no_such_key", request_id=request.request_id)
    if isinstance(why, NotFound) and request.operation == "keys":
        return _answer(_NOTHING)  # as Vault reads what is not there
    return _answer(fault)


async def _send(exchange: Exchange, answer: Answer) -> None:
    headers = [*wire.HEADERS] if answer.body else []
    if answer.status in {429, 503}:
        headers.append(("retry-after", "1"))
    if exchange.head.method == "HEAD":
        headers.append(("content-length", str(len(answer.body))))
        await exchange.respond(answer.status, headers)
        return
    await exchange.respond(answer.status, headers, answer.body)
