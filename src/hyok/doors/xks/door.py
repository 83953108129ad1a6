"""XksDoor: AWS KMS asks for every use of a key of an external key store, and is answered in time.

In this order, which is what a caller sees refused: path, load, signature, rate, members, key,
state, policy, size, purpose.  Whatever happens, an answer goes out before KMS gives up.

Source: AWS "XKS Proxy API Specification", version 1; docs/keyservices/xks.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from hyok.custody.door_key import KEY_UNKNOWN, Usage
from hyok.custody.doors import TOO_LARGE, Opening, Sealing
from hyok.custody.key_states import ALLOWED_USES, Use
from hyok.doors.shedding import Rate
from hyok.doors.turns import Turns, Unserved
from hyok.doors.xks import wire
from hyok.doors.xks.faults import (
    INTERNAL,
    THROTTLED,
    TIMEOUT,
    TOO_MANY,
    UNKNOWN_PATH,
    Fault,
    fault_of,
)
from hyok.doors.xks.wire import Operation
from hyok.errors import HyokError, Malformed, NotFound, Tampered, Unavailable
from hyok.sigv4.service import check_claim, parse_claim, refused
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.custody.doors import DoorCustody, Sealed
    from hyok.doors.port import Credentials, Exchange, Meter
    from hyok.doors.xks.config import XksStoreSettings
    from hyok.doors.xks.health import Health
    from hyok.doors.xks.wire import Metadata, Place
    from hyok.vocabulary import Principal

log = structlog.get_logger("hyok.doors.xks")

DOOR = "xks"
PING = b"/ping"
ANSWER_SECONDS = 0.02
"""What is kept of the time we have for everything but the HSM."""

_JSON = [("content-type", "application/json")]
_ACTIONS = {
    Operation.METADATA: "key:describe",
    Operation.ENCRYPT: "key:encrypt",
    Operation.DECRYPT: "key:decrypt",
}
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: TIMEOUT}


@dataclass(slots=True)
class Store:
    """One key store: who holds its access keys, and how much it may ask."""

    settings: XksStoreSettings
    rate: Rate


@dataclass(slots=True)
class Call:
    """One request on its way."""

    store: Store
    place: Place
    ends: float  # of the loop's clock
    request_id: str = ""


class XksDoor:
    """Answers exchanges of the HTTP engine; `handle` is what the engine calls.

    Args:
        stores: the key stores of this door.
        credentials: finds access keys.
        custody: the keys.
        health: how the HSM is.
        reachable: does the HSM answer at all, as of a moment ago?
        deadline_seconds: for a whole request; KMS gives up at 0.25.
        in_flight_max: more than these at once are told to come back.
        share: the part of each store's rate that is this process's.
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
    """

    def __init__(
        self,
        *,
        stores: Sequence[XksStoreSettings],
        credentials: Credentials,
        custody: DoorCustody,
        health: Health,
        reachable: Callable[[], bool],
        deadline_seconds: float,
        in_flight_max: int,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
        share: float = 1.0,
    ) -> None:
        now = monotonic()
        self._stores: Mapping[str, Store] = {
            store.prefix: Store(store, Rate(store.requests_per_second_max * share, now))
            for store in stores
        }
        self._credentials = credentials
        self._custody = custody
        self._health = health
        self._turns = Turns(
            in_flight_max=in_flight_max, answer_seconds=ANSWER_SECONDS, reachable=reachable
        )
        self._deadline_seconds = deadline_seconds
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        head = exchange.head
        if head.method in {"GET", "HEAD"} and head.target == PING:
            await exchange.respond(200, [("content-type", "text/plain")], b"ok\n")
            return
        place = wire.parse_target(head.target)
        store = self._stores.get(place.prefix) if place is not None else None
        if place is None or store is None:
            await _refuse(exchange, UNKNOWN_PATH)
        elif head.method != "POST":
            await exchange.respond(405, [("allow", "POST")])
        else:
            await self._answer(exchange, store, place)

    async def _answer(self, exchange: Exchange, store: Store, place: Place) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        call = Call(store, place, began + self._deadline_seconds)
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
        if (exchange.content_length or 0) > wire.BODY_BYTES_MAX:
            raise Malformed("The body is too long.", reason=TOO_LARGE, code="HY-2605")
        raw = bytes(await exchange.read_whole(wire.BODY_BYTES_MAX))
        principal = await self._who(exchange, call, raw)
        if not call.store.rate.take(self._monotonic()):
            raise Unavailable(
                "The key store asks more often than was agreed.", reason=THROTTLED, code="HY-2622"
            )
        body = wire.parse_body(raw)
        operation = call.place.operation
        if operation is Operation.HEALTH:
            call.request_id = wire.parse_metadata(body, operation).request_id
            return await self._health.answer(self._turns.seconds(call.ends))
        if operation is Operation.METADATA:
            return await self._describe(exchange, call, principal, body)
        if operation is Operation.ENCRYPT:
            return await self._encrypt(exchange, call, principal, body)
        return await self._decrypt(exchange, call, principal, body)

    async def _who(self, exchange: Exchange, call: Call, raw: bytes) -> Principal:
        """Return the app that signed this request, for this store.

        Raises:
            NotAuthenticated: nobody who may.
        """
        head = exchange.head
        store = call.store.settings
        if store.client_names and head.client_name not in store.client_names:
            raise refused("The certificate is not one of this key store.")
        claim = parse_claim(head.headers)
        credential = await self._credentials.find(claim.access_key)
        if credential is None or credential.principal.id != store.app:
            raise refused("The access key is not one of this key store.")
        check_claim(
            claim,
            credential.secret.get_secret_value(),
            method=head.method,
            path=head.target,
            body_sha256_hex=sha256(raw).hexdigest(),
            now_ms=self._clock_ms(),
            service=wire.SERVICE,
            regions=store.regions,
        )
        self._credentials.note_use(claim.access_key)
        return credential.principal

    def _ask(self, exchange: Exchange, call: Call, principal: Principal, metadata: Metadata) -> Ask:
        call.request_id = metadata.request_id
        return Ask(
            principal=principal,
            action=_ACTIONS[call.place.operation],
            bucket=None,
            key="",
            request_id=metadata.request_id,
            origin=exchange.head.peer,
            at_ms=self._clock_ms(),
            use=KeyUse(
                door=DOOR,
                tenant=principal.tenant,
                name=call.place.key,
                operation=metadata.operation,
                caller=metadata.principal_arn,
                via=metadata.via,
                resource=metadata.key_arn,
            ),
        )

    async def _describe(
        self, exchange: Exchange, call: Call, principal: Principal, body: Mapping[str, object]
    ) -> bytes:
        metadata = wire.parse_metadata(body, Operation.METADATA)
        key = await self._custody.describe(self._ask(exchange, call, principal, metadata))
        enabled = Use.UNWRAP in ALLOWED_USES[key.state]
        usage = [word.name for word in (Usage.ENCRYPT, Usage.DECRYPT) if word in key.usage]
        return wire.render(
            {
                "keySpec": "AES_256",
                "keyUsage": usage,
                "keyStatus": "ENABLED" if enabled else "DISABLED",
            }
        )

    async def _encrypt(
        self, exchange: Exchange, call: Call, principal: Principal, body: Mapping[str, object]
    ) -> bytes:
        asked = wire.parse_encrypt(body)
        ask = self._ask(exchange, call, principal, asked.metadata)
        integrity: list[str] = []

        def prove(made: Sealed) -> None:
            metadata = wire.metadata_of(made.version)
            integrity.append(
                wire.integrity_value(asked.data, metadata, made.iv, made.ciphertext, made.tag)
            )

        def data(version: int) -> bytes:
            return wire.joined_data(asked.data, wire.metadata_of(version))

        sealing = Sealing(asked.plaintext, data, prove if asked.wants_digest else None)
        self._turns.check_reachable()
        made = await self._custody.encrypt(ask, sealing, self._turns.seconds(call.ends))
        return wire.render_encrypted(
            made.ciphertext,
            made.iv,
            made.tag,
            wire.metadata_of(made.version),
            integrity[0] if integrity else "",
        )

    async def _decrypt(
        self, exchange: Exchange, call: Call, principal: Principal, body: Mapping[str, object]
    ) -> bytes:
        asked = wire.parse_decrypt(body)
        ask = self._ask(exchange, call, principal, asked.metadata)
        opening = Opening(
            wire.version_of(asked.ciphertext_metadata),
            asked.iv,
            asked.ciphertext,
            asked.tag,
            wire.joined_data(asked.data, asked.ciphertext_metadata),
        )
        self._turns.check_reachable()
        return wire.render_decrypted(
            await self._custody.decrypt(ask, opening, self._turns.seconds(call.ends))
        )

    def _note(self, call: Call, seconds: float, fault: Fault | None) -> None:
        error = fault.name if fault is not None else ""
        operation = str(call.place.operation)
        self._meter.door_request(DOOR, operation, error, seconds)
        fields = {"request_id": call.request_id, "key": call.place.key, "error": error}
        log.info(
            "xks.request",
            operation=operation,
            app=call.store.settings.app,
            **{name: value for name, value in fields.items() if value},
            duration_ms=round(seconds * 1000, 2),
        )


def _fault(why: Exception | Unserved, call: Call) -> Fault:
    """Return what KMS is told, and tell our own log what it is not."""
    if isinstance(why, Unserved):
        return _UNSERVED[why]
    if not isinstance(why, HyokError):
        log.error("xks.bug", request_id=call.request_id, exc_info=why)
        return INTERNAL
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("xks.tampered", request_id=call.request_id, error=why.explain())
    elif fault in {INTERNAL, TIMEOUT}:
        log.warning("xks.failed", request_id=call.request_id, error=why.explain())
    elif isinstance(why, NotFound) and why.reason == KEY_UNKNOWN:
        log.info("xks.no_such_key", request_id=call.request_id)
    return fault


async def _refuse(exchange: Exchange, fault: Fault) -> None:
    await exchange.respond(fault.status, _JSON, wire.render_error(fault.name, fault.message))
