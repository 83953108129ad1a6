"""KubernetesDoor: the API servers of a cluster have the secrets of etcd encrypted by the HSM.

In this order, which is what a caller sees refused: members, app, rate, key, policy, class, HSM,
state, purpose.  Whoever may open the socket is the API server; there is nobody else to tell apart.

Source: Kubernetes, "Using a KMS provider for data encryption"; docs/keyservices/kubernetes.md.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.custody.doors import Opening, Sealing, is_bad_ciphertext
from hyok.custody.key_states import ALLOWED_USES, Use
from hyok.doors.kubernetes import wire
from hyok.doors.kubernetes.faults import (
    AWAY,
    INTERNAL,
    KEY_ID,
    THROTTLED,
    TOO_MANY,
    Fault,
    fault_of,
)
from hyok.doors.kubernetes.wire import Operation
from hyok.doors.serving_app import principal_of
from hyok.doors.shedding import Rate
from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, NotFound, Refused, Tampered, Unavailable
from hyok.vocabulary import Ask, KeyUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.custody.door_key import DoorKey
    from hyok.custody.doors import DoorCustody, Sealed
    from hyok.doors.kubernetes.config import KubernetesSettings
    from hyok.doors.port import Apps, Meter
    from hyok.vocabulary import Principal

log = structlog.get_logger("hyok.doors.kubernetes")

DOOR = "kubernetes"
ORIGIN = "unix"
ANSWER_SECONDS = 0.05
"""What is kept of the time we have for everything but the HSM."""

_ACTIONS = {
    Operation.STATUS: "key:describe",
    Operation.ENCRYPT: "key:encrypt",
    Operation.DECRYPT: "key:decrypt",
}
_UNSERVED = {Unserved.TOO_MANY: TOO_MANY, Unserved.LATE: AWAY}


@dataclass(slots=True)
class Call:
    """One request on its way."""

    operation: Operation
    ends: float  # of the loop's clock
    request_id: str


class KubernetesDoor:
    """Answers messages in their bytes; `answer` is what the server calls.

    Args:
        settings: whose key it is, and how much may be asked.
        apps: finds the app in whose name the door uses the key.
        custody: the keys.
        ill: what is wrong with every token as of the last trial; empty: at least one is well.
        reachable: does the HSM answer at all, as of a moment ago?
        clock_ms: unix time in milliseconds.
        monotonic: seconds.
        meter: takes the numbers of each request.
        new_id: returns an id for a request that brings none.
    """

    def __init__(
        self,
        settings: KubernetesSettings,
        *,
        apps: Apps,
        custody: DoorCustody,
        ill: Callable[[], str],
        reachable: Callable[[], bool],
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        meter: Meter,
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._apps = apps
        self._custody = custody
        self._ill = ill
        self._reachable = reachable
        self._turns = Turns(
            in_flight_max=settings.requests_in_flight_max,
            answer_seconds=ANSWER_SECONDS,
            reachable=reachable,
        )
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._meter = meter
        self._new_id = new_id
        self._rate = Rate(settings.requests_per_second_max, monotonic())

    async def answer(
        self, operation: Operation, raw: bytes, seconds: float | None
    ) -> bytes | Fault:
        """Return the answer, or why there is none; ``seconds``: how long the caller waits."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        allowed = self._settings.deadline_ms / 1000
        if seconds is not None:
            allowed = min(allowed, max(0.0, seconds - ANSWER_SECONDS))
        call = Call(operation, began + allowed, self._new_id())
        told = await self._turns.take(
            call.ends, lambda: self._serve(call, raw), lambda why: _fault(why, call)
        )
        self._note(call, loop.time() - began, told)
        return told

    async def _serve(self, call: Call, raw: bytes) -> bytes:
        if call.operation is Operation.STATUS:
            return await self._status(call, raw)
        if call.operation is Operation.ENCRYPT:
            return await self._encrypt(call, raw)
        return await self._decrypt(call, raw)

    async def _status(self, call: Call, raw: bytes) -> bytes:
        wire.parse_status(raw)
        key = await self._key(await self._ask(call))
        return wire.render_status(wire.key_id_of(key, key.newest), self._healthz(key))

    def _healthz(self, key: DoorKey) -> str:
        """Return how the plugin is, in the protocol's word or in ours."""
        if not self._reachable():
            return "the HSM does not answer"
        if ill := self._ill():
            return f"no token of the HSM is well: {ill}"
        for state in (key.state, key.newest.state):
            if Use.WRAP not in ALLOWED_USES[state]:
                return f"the key is {state}"
        return wire.OK

    async def _encrypt(self, call: Call, raw: bytes) -> bytes:
        asked = wire.parse_encrypt(raw)
        call.request_id = asked.uid or call.request_id
        ask = await self._ask(call)
        self._take_turn()
        key = await self._key(ask)
        self._turns.check_reachable()

        def data(version: int) -> bytes:
            return wire.data_of(f"{key.tenant}/{key.name}", version, {})

        # Opened again before it is given out: every secret of the cluster hangs on it.
        sealing = Sealing(asked.plaintext, data, prove=_quietly)
        made = await self._custody.encrypt(ask, sealing, self._turns.seconds(call.ends))
        version = key.version(made.version)
        if version is None:  # rotated a moment ago
            key = await self._key(ask)
            version = key.version(made.version)
        if version is None:
            raise Unavailable("The key was rotated in this moment.", code="HY-2747")
        return wire.render_encrypted(
            wire.key_id_of(key, version), made.iv, made.ciphertext, made.tag
        )

    async def _decrypt(self, call: Call, raw: bytes) -> bytes:
        asked = wire.parse_decrypt(raw)
        call.request_id = asked.uid or call.request_id
        ask = await self._ask(call)
        self._take_turn()
        key = await self._key(ask)
        self._turns.check_reachable()
        version = wire.version_of(key, asked.key_id)
        number = version.number if version is not None else 0
        data = wire.data_of(f"{key.tenant}/{key.name}", number, asked.annotations)
        opening = Opening(number, asked.iv, asked.ciphertext, asked.tag, data)
        try:
            plain = await self._custody.decrypt(ask, opening, self._turns.seconds(call.ends))
        except Tampered as error:
            if version is None and is_bad_ciphertext(error):  # judged and recorded as any other
                raise NotFound(
                    f"The key {key.tenant}/{key.name} has no version of this id.",
                    reason=KEY_ID,
                    code="HY-2746",
                ) from error
            raise
        return wire.render_decrypted(plain)

    async def _key(self, ask: Ask) -> DoorKey:
        return await self._custody.describe(ask, self._check_class)

    def _check_class(self, held: DoorKey) -> None:
        """Return quietly if the key is of the class that the settings say.

        Raises:
            Refused: it is of another (code HY-2744).
        """
        wanted = self._settings.classification
        if held.classification != wanted:
            raise Refused(
                f"The settings say {wanted}, the key {held.name} is for {held.classification}.",
                code="HY-2744",
                effect="Nothing is encrypted or opened with it.",
                next_step="correct classification in [doors.kubernetes], or make such a key",
            )

    def _take_turn(self) -> None:
        if not self._rate.take(self._monotonic()):
            raise Unavailable("More requests than were agreed.", reason=THROTTLED, code="HY-2745")

    async def _ask(self, call: Call) -> Ask:
        principal = await self._principal()
        return Ask(
            principal=principal,
            action=_ACTIONS[call.operation],
            bucket=None,
            key="",
            request_id=call.request_id,
            origin=ORIGIN,
            at_ms=self._clock_ms(),
            use=KeyUse(
                door=DOOR,
                tenant=principal.tenant,
                name=self._settings.key,
                operation=str(call.operation),
            ),
        )

    async def _principal(self) -> Principal:
        """Return the app in whose name the key is used.

        Raises:
            Refused: it was revoked, or is for more than keys (code HY-2743).
        """
        return await principal_of(
            self._apps,
            self._settings.app,
            code="HY-2743",
            effect="The API server reads and writes no secret that it has not in memory.",
        )

    def _note(self, call: Call, seconds: float, told: bytes | Fault) -> None:
        error = told.name if isinstance(told, Fault) else ""
        self._meter.door_request(DOOR, str(call.operation), error, seconds)
        fields: Mapping[str, str] = {"error": error} if error else {}
        log.info(
            "kubernetes.request",
            operation=str(call.operation),
            request_id=call.request_id,
            **fields,
            duration_ms=round(seconds * 1000, 2),
        )


def _quietly(_made: Sealed) -> None:
    """Ask for the proof alone."""


def _fault(why: Exception | Unserved, call: Call) -> Fault:
    """Return what the API server is told, and tell our own log what it is not."""
    if isinstance(why, Unserved):
        return _UNSERVED[why]
    if not isinstance(why, HyokError):
        log.error("kubernetes.bug", request_id=call.request_id, exc_info=why)
        return INTERNAL
    fault = fault_of(why)
    if isinstance(why, Tampered) and fault is INTERNAL:
        log.critical("kubernetes.tampered", request_id=call.request_id, error=why.explain())
    elif fault in {INTERNAL, AWAY}:
        log.warning("kubernetes.failed", request_id=call.request_id, error=why.explain())
    else:
        log.info("kubernetes.refused", request_id=call.request_id, error=why.explain())
    return fault
