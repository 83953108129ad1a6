"""EkmDoor: Azure Managed HSM has keys of its customers wrapped and unwrapped, in time.

In this order, which is what a caller sees refused: certificate, path, prefix, method, load, rate,
api-version, members, key, state, policy, purpose, algorithm, length.  Whoever shows another
certificate than a prefix's own hears the same, whether there is such a prefix or not.

Source: Microsoft "EKM Proxy API", 0.1-preview; docs/keyservices/ekm.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.custody.door_key import PAIRS
from hyok.doors.ekm import wire
from hyok.doors.ekm.faults import (
    AWAY,
    INTERNAL,
    NO_METHOD,
    THROTTLED,
    TIMEOUT,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNKNOWN_PATH,
    Fault,
    fault_of,
)
from hyok.doors.ekm.wire import Context, Operation
from hyok.doors.serving_app import principal_of
from hyok.doors.shedding import Rate
from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, Refused, Tampered, Unavailable
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.custody.door_wraps import DoorWraps
    from hyok.doors.ekm.config import EkmPoolSettings, EkmSettings
    from hyok.doors.ekm.wire import Place
    from hyok.doors.port import Apps, Exchange, Meter
    from hyok.vocabulary import Principal

log = structlog.get_logger("hyok.doors.ekm")

DOOR = "ekm"
ANSWER_SECONDS = 0.02
"""What is kept of the time we have for everything but the HSM."""

_JSON = [("content-type", "application/json"), ("cache-control", "no-store")]
_ACTIONS = {
    Operation.METADATA: "key:describe",
    Operation.WRAP: "key:wrap",
    Operation.UNWRAP: "key:unwrap",
}
_WORDS = {
    Operation.INFO: "info",
    Operation.METADATA: "metadata",
    Operation.WRAP: "wrapKey",
    Operation.UNWRAP: "unwrapKey",
}
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: TIMEOUT}


@dataclass(frozen=True, slots=True)
class Product:
    """What info tells of us and of the HSM."""

    proxy: str
    vendor: str
    product: str


@dataclass(slots=True)
class Pool:
    """One Managed HSM pool: whose certificate it shows, and how much it may ask."""

    settings: EkmPoolSettings
    rate: Rate


@dataclass(slots=True)
class Call:
    """One request on its way."""

    pool: Pool
    place: Place
    name: str  # in the certificate
    ends: float  # of the loop's clock
    context: Context


_NOBODY = Context("", "")


class EkmDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        settings: the pools, and how long an answer may take.
        product: what is told of us and of the HSM.
        apps: finds the apps in whose names the pools use keys.
        custody: the keys.
        reachable: does the HSM answer at all, as of a moment ago?
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
        new_id: returns an id for a request that brought none.
        share: the part of each pool's rate that is this process's.
    """

    def __init__(
        self,
        settings: EkmSettings,
        *,
        product: Product,
        apps: Apps,
        custody: DoorWraps,
        reachable: Callable[[], bool],
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
        new_id: Callable[[], str],
        share: float = 1.0,
    ) -> None:
        now = monotonic()
        self._pools: Mapping[str, Pool] = {
            pool.prefix: Pool(pool, Rate(pool.requests_per_second_max * share, now))
            for pool in settings.pools
        }
        self._names = frozenset(name for pool in settings.pools for name in pool.client_names)
        self._settings = settings
        self._product = product
        self._apps = apps
        self._custody = custody
        self._turns = Turns(
            in_flight_max=settings.requests_in_flight_max,
            answer_seconds=ANSWER_SECONDS,
            reachable=reachable,
            away=AWAY,
        )
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter
        self._new_id = new_id

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        head = exchange.head
        if head.client_name not in self._names:
            await self._turn_away(exchange, UNAUTHORIZED)
            return
        place = wire.parse_target(head.target)
        if place is None:
            await self._turn_away(exchange, UNKNOWN_PATH)
            return
        pool = self._pools.get(place.prefix)
        if pool is None or head.client_name not in pool.settings.client_names:
            await self._turn_away(exchange, UNAUTHORIZED)
        elif head.method != "POST":
            await self._turn_away(exchange, NO_METHOD)
        else:
            ends = asyncio.get_running_loop().time() + self._settings.deadline_ms / 1000
            await self._answer(exchange, Call(pool, place, head.client_name, ends, _NOBODY))

    async def _turn_away(self, exchange: Exchange, fault: Fault) -> None:
        """Refuse who is not at a pool's own door; no more is known of them than this."""
        self._meter.door_request(DOOR, "none", fault.name, 0.0)
        head = exchange.head
        log.info("ekm.refused", error=fault.name, client=head.client_name, peer=head.peer)
        await _refuse(exchange, fault)

    async def _answer(self, exchange: Exchange, call: Call) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await self._turns.take(
            call.ends,
            lambda: self._serve(exchange, call),
            lambda why: _fault(why, call),
        )
        if isinstance(answer, Fault):
            await _refuse(exchange, answer)
        else:
            await exchange.respond(200, _JSON, answer)
        self._note(call, loop.time() - began, answer if isinstance(answer, Fault) else None)

    async def _serve(self, exchange: Exchange, call: Call) -> bytes:
        if not call.pool.rate.take(self._monotonic()):
            raise Unavailable(
                "The pool asks more often than was agreed.", reason=THROTTLED, code="HY-2651"
            )
        wire.check_version(exchange.head.target)
        wire.check_type(exchange.head.headers)
        body = wire.parse_body(bytes(await exchange.read_whole(wire.BODY_BYTES_MAX)))
        call.context = wire.parse_context(body)
        operation = call.place.operation
        if operation is Operation.INFO:
            self._turns.check_reachable()
            about = self._product
            return wire.render_info(proxy=about.proxy, vendor=about.vendor, product=about.product)
        if operation is Operation.METADATA:
            return await self._describe(exchange, call)
        asked = wire.parse_asked(body)
        ask = await self._ask(exchange, call)
        self._turns.check_reachable()
        wraps = operation is Operation.WRAP
        act = self._custody.wrap_value if wraps else self._custody.unwrap_value
        made = await act(ask, asked.algorithm, asked.value, self._turns.seconds(call.ends))
        return wire.render_wrapped(made)

    async def _describe(self, exchange: Exchange, call: Call) -> bytes:
        ask = await self._ask(exchange, call)
        key, modulus, exponent = await self._custody.wrapping_key(
            ask, self._turns.seconds(call.ends)
        )
        return wire.render_metadata(PAIRS.get(key.kind, 256), modulus, exponent)

    async def _ask(self, exchange: Exchange, call: Call) -> Ask:
        principal = await self._principal(call.pool.settings.app)
        context, operation = call.context, call.place.operation
        return Ask(
            principal=principal,
            action=_ACTIONS[operation],
            bucket=None,
            key="",
            request_id=context.request_id or self._new_id(),
            origin=exchange.head.peer,
            at_ms=self._clock_ms(),
            use=KeyUse(
                door=DOOR,
                tenant=principal.tenant,
                name=call.place.key,
                operation=_WORDS[operation],
                via=context.pool_name,
                resource=call.name,
                correlation=context.correlation_id,
            ),
        )

    async def _principal(self, name: str) -> Principal:
        """Return the app in whose name a pool uses keys.

        Raises:
            Refused: it was revoked, or is for more than keys (code HY-2650).
        """
        return await principal_of(
            self._apps, name, code="HY-2650", effect="Its pool wraps and unwraps nothing."
        )

    def _note(self, call: Call, seconds: float, fault: Fault | None) -> None:
        error = fault.name if fault is not None else ""
        operation, context = str(call.place.operation), call.context
        self._meter.door_request(DOOR, operation, error, seconds)
        fields = {
            "request_id": context.request_id,
            "correlation_id": context.correlation_id,
            "pool_name": context.pool_name,
            "key": call.place.key,
            "error": error,
        }
        log.info(
            "ekm.request",
            operation=operation,
            app=call.pool.settings.app,
            **{name: value for name, value in fields.items() if value},
            duration_ms=round(seconds * 1000, 2),
        )


def _fault(why: Exception | Unserved, call: Call) -> Fault:
    """Return what Azure is told, and tell our own log what it is not."""
    context = call.context
    ids = {"request_id": context.request_id, "correlation_id": context.correlation_id}
    if isinstance(why, Unserved):
        return _UNSERVED[why]
    if not isinstance(why, HyokError):
        log.error("ekm.bug", **ids, exc_info=why)
        return INTERNAL
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("ekm.tampered", error=why.explain(), **ids)
    elif fault in {INTERNAL, TIMEOUT, UNAVAILABLE} or fault.status >= 500:
        log.warning("ekm.failed", error=why.explain(), **ids)
    elif isinstance(why, Refused):
        log.info("ekm.denied", error=why.explain(), **ids)
    return fault


async def _refuse(exchange: Exchange, fault: Fault) -> None:
    headers = list(_JSON)
    if fault.retry_seconds:
        headers.append(("retry-after", str(fault.retry_seconds)))
    if fault is NO_METHOD:
        headers.append(("allow", "POST"))
    await exchange.respond(fault.status, headers, wire.render_error(fault.name, fault.message))
