"""DkeDoor: Office encrypts to a public key of ours by itself, and asks here when it decrypts.

In this order, which is what a caller sees refused: path, load, token, rate, members, key, person,
state, policy, purpose.  A token is judged before a byte of the body is read.

Source: Microsoft "Double Key Encryption"; docs/keyservices/dke.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hyok.doors.dke import wire
from hyok.doors.dke.faults import (
    INTERNAL,
    THROTTLED,
    TIMEOUT,
    TOO_MANY,
    UNAUTHENTICATED,
    UNKNOWN_PATH,
    Fault,
    fault_of,
)
from hyok.doors.dke.people import check_listed, mail_of
from hyok.doors.serving_app import principal_of
from hyok.doors.shedding import Rate
from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, NotAuthenticated, Refused, Tampered, Unavailable
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.custody.door_key import DoorKey
    from hyok.custody.doors import DoorCustody
    from hyok.doors.dke.config import DkeKeySettings, DkeSettings
    from hyok.doors.dke.tokens import TokenJudge
    from hyok.doors.dke.wire import Place
    from hyok.doors.port import Apps, Exchange, Meter
    from hyok.vocabulary import Principal

log = structlog.get_logger("hyok.doors.dke")

DOOR = "dke"
PING = b"/ping"
ANSWER_SECONDS = 0.05
_JSON = ("content-type", "application/json")
_NOT_KEPT = ("cache-control", "no-store")
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: TIMEOUT}


@dataclass(slots=True)
class Call:
    """One request on its way."""

    place: Place
    key: DkeKeySettings
    ends: float  # of the loop's clock
    request_id: str

    @property
    def operation(self) -> str:
        return "decrypt" if self.place.key_id else "key"


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    kept: tuple[str, str]  # the header that says how long


class DkeDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        settings: whose keys these are, and who may open with them.
        tokens: says whose a token is.
        apps: finds the app in whose name the door uses keys.
        custody: the keys.
        reachable: does the HSM answer at all, as of a moment ago?
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
        new_id: returns an id for a request.
        share: the part of the rate that is this process's.
    """

    def __init__(
        self,
        settings: DkeSettings,
        *,
        tokens: TokenJudge,
        apps: Apps,
        custody: DoorCustody,
        reachable: Callable[[], bool],
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
        new_id: Callable[[], str],
        share: float = 1.0,
    ) -> None:
        self._settings = settings
        self._tokens = tokens
        self._apps = apps
        self._custody = custody
        self._turns = Turns(
            in_flight_max=settings.requests_in_flight_max,
            answer_seconds=ANSWER_SECONDS,
            reachable=reachable,
        )
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter
        self._new_id = new_id
        self._rate = Rate(settings.requests_per_second_max * share, monotonic())

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        head = exchange.head
        if head.method in {"GET", "HEAD"} and head.target == PING:
            await exchange.respond(200, [("content-type", "text/plain")], b"ok\n")
            return
        place = wire.parse_target(head.target)
        key = self._settings.key_of(place.key) if place is not None else None
        wanted = "POST" if place is not None and place.key_id else "GET"
        if place is None or key is None:
            await _refuse(exchange, UNKNOWN_PATH)
        elif head.method != wanted:
            await exchange.respond(405, [("allow", wanted)])
        else:
            ends = asyncio.get_running_loop().time() + self._settings.deadline_ms / 1000
            await self._answer(exchange, Call(place, key, ends, self._new_id()))

    async def _answer(self, exchange: Exchange, call: Call) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await self._turns.take(
            call.ends,
            lambda: self._serve(exchange, call),
            lambda why: _fault(why, call),
        )
        if isinstance(answer, Fault):
            await self._refuse(exchange, answer)
        else:
            await exchange.respond(200, [_JSON, answer.kept], answer.body)
        self._note(call, loop.time() - began, answer if isinstance(answer, Fault) else None)

    async def _serve(self, exchange: Exchange, call: Call) -> Answer:
        if call.place.key_id:
            return Answer(await self._decrypt(exchange, call), _NOT_KEPT)
        return await self._public_key(exchange, call)

    async def _public_key(self, exchange: Exchange, call: Call) -> Answer:
        self._take_turn()
        ask = await self._ask(exchange, call, "key:describe", "")
        self._turns.check_reachable()
        version = await self._custody.public_key(
            ask, lambda held: _check_class(call.key, held), self._turns.seconds(call.ends)
        )
        public = load_der_public_key(version.spec.public_key)
        assert isinstance(public, RSAPublicKey)
        numbers = public.public_numbers()
        hours = self._settings.cache_hours
        now = datetime.fromtimestamp(self._clock_ms() // 1000, UTC)
        body = wire.render_key(
            modulus=numbers.n,
            exponent=numbers.e,
            kid=f"{self._settings.public_url}/{call.key.name}/{version.key_id}",
            until=now + timedelta(hours=hours) if hours else None,
        )
        kept = ("cache-control", f"max-age={hours * 3600}") if hours else _NOT_KEPT
        return Answer(body, kept)

    async def _decrypt(self, exchange: Exchange, call: Call) -> bytes:
        token = wire.parse_token(exchange.head.headers)
        if not token:
            raise NotAuthenticated("The request has no bearer token.", code="HY-2640")
        who = await self._tokens.judge(token)
        self._take_turn()
        sealed = wire.parse_decrypt(bytes(await exchange.read_whole(wire.BODY_BYTES_MAX)))
        mail = mail_of(who.claims, self._settings.mail_claims)
        ask = await self._ask(exchange, call, "key:decrypt", mail or who.subject)

        def fits(held: DoorKey) -> None:
            check_listed(call.key, who.claims, mail)
            _check_class(call.key, held)

        self._turns.check_reachable()
        plain = await self._custody.open(
            ask, call.place.key_id, sealed, fits, self._turns.seconds(call.ends)
        )
        return wire.render_decrypted(plain)

    def _take_turn(self) -> None:
        if not self._rate.take(self._monotonic()):
            raise Unavailable("More requests than were agreed.", reason=THROTTLED, code="HY-2643")

    async def _ask(self, exchange: Exchange, call: Call, action: str, caller: str) -> Ask:
        principal = await self._principal()
        return Ask(
            principal=principal,
            action=action,
            bucket=None,
            key="",
            request_id=call.request_id,
            origin=exchange.head.peer,
            at_ms=self._clock_ms(),
            use=KeyUse(
                door=DOOR,
                tenant=principal.tenant,
                name=call.key.name,
                operation=call.operation,
                caller=caller,
                via=call.key.label,
                resource=call.place.key_id,
            ),
        )

    async def _principal(self) -> Principal:
        """Return the app in whose name keys are used.

        Raises:
            Refused: it was revoked, or is for more than keys (code HY-2644).
        """
        return await principal_of(
            self._apps,
            self._settings.app,
            code="HY-2644",
            effect="Nobody opens or encrypts anything through this door.",
        )

    async def _refuse(self, exchange: Exchange, fault: Fault) -> None:
        more: list[tuple[str, str]] = []
        if fault is UNAUTHENTICATED:
            settings = self._settings
            more = wire.challenge(settings.resource, settings.authorization_uri)
        elif fault.status == TIMEOUT.status:
            more = [("retry-after", "1")]
        await _refuse(exchange, fault, more)

    def _note(self, call: Call, seconds: float, fault: Fault | None) -> None:
        error = fault.name if fault is not None else ""
        self._meter.door_request(DOOR, call.operation, error, seconds)
        fields = {"error": error} if error else {}
        log.info(
            "dke.request",
            operation=call.operation,
            request_id=call.request_id,
            key=call.key.name,
            **fields,
            duration_ms=round(seconds * 1000, 2),
        )


def _check_class(wanted: DkeKeySettings, held: DoorKey) -> None:
    """Return quietly if the label's classification is the one that officers approved for the key.

    Raises:
        Refused: it is another (code HY-2645).
    """
    if held.classification != wanted.classification:
        raise Refused(
            f"The label {wanted.label} is for {wanted.classification}, the key {held.name} for "
            f"{held.classification}.",
            code="HY-2645",
            effect="Nothing is encrypted or opened with it.",
            next_step="correct classification in [[doors.dke.keys]], or make a key of that class",
        )


def _fault(why: Exception | Unserved, call: Call) -> Fault:
    """Return what Office is told, and tell our own log what it is not: of a token no word."""
    if isinstance(why, Unserved):
        return _UNSERVED[why]
    if not isinstance(why, HyokError):
        log.error("dke.bug", request_id=call.request_id, exc_info=why)
        return INTERNAL
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("dke.tampered", request_id=call.request_id, error=why.explain())
    elif fault in {INTERNAL, TIMEOUT}:
        log.warning("dke.failed", request_id=call.request_id, error=why.explain())
    else:
        log.info("dke.refused", request_id=call.request_id, error=why.explain())
    return fault


async def _refuse(
    exchange: Exchange, fault: Fault, more: list[tuple[str, str]] | None = None
) -> None:
    headers = [_JSON, _NOT_KEPT, *(more or [])]
    await exchange.respond(fault.status, headers, wire.render_error(fault.message))
