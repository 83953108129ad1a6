"""Member: one token of a group, as a gateway process sees it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.envelope.profiles import Profile, check_value_secret, derive_seed
from hyok.hsm import ecdsa, rsa_pkcs1
from hyok.hsm.line import AgentLines, LineBroken, LinesBusy, LineSlow, LineUnreachable
from hyok.hsm.port import (
    DOOR,
    DOOR_MAC,
    DOOR_PAIR,
    DOOR_PRIVATE,
    DOOR_RSA_SIGN,
    DOOR_SIGN,
    DOOR_WRAP,
    TokenHealth,
)
from hyok.hsm.public_key import public_key_der
from hyok.hsm.record import TokenRecord
from hyok.hsm.semaphore import Semaphore
from hyok.hsm.wire import Answer, Outcome, Verb

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hyok.hsm.port import KekSpec

CHECK_SCOPE = ""
"""The scope of check tokens: format.md §10 names none."""

LINES_FOR_OTHERS = 2
"""Calls that those about one KEK leave room for: a module that hangs on it must not stop others."""

_COMPUTES = {
    int(Profile.HMAC_SHA256): Verb.HMAC_CHECK,
    DOOR_MAC: Verb.DOOR_MAC_CHECK,
    DOOR_WRAP: Verb.WRAP_CHECK,
}
"""By profile, what has the token compute a check value anew."""

_OF_THE_DEVICE = frozenset({Outcome.UNAVAILABLE, Outcome.PIN_REFUSED})
_ORIGINS_MAX = 1024
_GENERATIONS_TRIED_MAX = 3


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """One token of a group: its name, and the socket of the agent that holds it."""

    name: str
    socket_path: str


class MemberFailed(Exception):
    """This token cannot answer now.

    ``asked``: it may have begun with the question.  ``busy``: it is well, and we ask too much.
    """

    def __init__(
        self, cause: str, *, asked: bool, pin_refused: bool = False, busy: bool = False
    ) -> None:
        super().__init__(cause)
        self.busy = busy
        self.asked = asked
        self.pin_refused = pin_refused


class OtherKey(Exception):
    """The key of this name answers another check value."""


class Member:
    """Asks one token, and keeps the record of how it did.

    Raises, from its questions:
        MemberFailed: the device or its agent; the record says unhealthy from now on.
    """

    def __init__(self, spec: TokenSpec, lines_max: int, clock: Callable[[], float]) -> None:
        self.spec = spec
        self.record = TokenRecord(clock())
        self.mending: asyncio.Task[None] | None = None
        self.pin_refused = False
        self._lines = AgentLines(spec.socket_path, lines_max)
        few = lines_max <= 2 * LINES_FOR_OTHERS
        self._share_max = lines_max if few else lines_max - LINES_FOR_OTHERS
        self._shares: dict[str, Semaphore] = {}
        self._clock = clock
        self._generation = 0
        self._checked: set[KekSpec] = set()
        self._origins: dict[KekSpec, bytes] = {}

    async def take_share(self, kek_id: str, seconds: float) -> Semaphore:
        """Take part of what calls about one KEK may take of our room; others get theirs.

        The caller gives it back.

        Raises:
            MemberFailed: too many such calls are under way, and none ended within ``seconds``.
        """
        share = self._shares.get(kek_id)
        if share is None:
            share = self._shares[kek_id] = Semaphore(self._share_max)
        try:
            await share.acquire(seconds)
        except TimeoutError as error:
            raise MemberFailed("too many calls about one key", asked=True, busy=True) from error
        return share

    async def ask(self, verb: Verb, fields: tuple[bytes, ...], seconds: float) -> Answer:
        """Return the answer; its outcome is never UNAVAILABLE or PIN_REFUSED."""
        number = self.record.begin(self._clock())
        try:
            answer = await self._lines.ask(verb, fields, seconds)
        except LinesBusy as error:
            self.record.leave(number)
            raise MemberFailed(str(error), asked=True, busy=True) from error
        except (LineUnreachable, LineBroken, LineSlow) as error:
            self.record.fail(number, self._clock(), str(error))
            raise MemberFailed(str(error), asked=not isinstance(error, LineUnreachable)) from error
        except BaseException:
            self.record.leave(number)
            raise
        if answer.generation != self._generation:
            self._generation = answer.generation
            self._checked.clear()
        if answer.outcome in _OF_THE_DEVICE:
            cause = answer.fields[0].decode("utf-8", "replace") if answer.fields else "no cause"
            self.record.fail(number, self._clock(), cause)
            self.pin_refused = answer.outcome is Outcome.PIN_REFUSED
            raise MemberFailed(cause, asked=True, pin_refused=self.pin_refused)
        self.record.succeed(number, self._clock())
        return answer

    async def ask_about(
        self, kek: KekSpec, verb: Verb, fields: tuple[bytes, ...], seconds: float
    ) -> Answer:
        """Return the answer of a login under which this KEK's check value was right.

        Raises:
            OtherKey: it was not.
        """
        for _ in range(_GENERATIONS_TRIED_MAX):
            if kek not in self._checked and (answer := await self.check(kek, seconds)):
                return answer
            generation = self._generation
            answer = await self.ask(verb, fields, seconds)
            if answer.generation == generation:
                return answer
        raise MemberFailed("the HSM logged in anew with each call", asked=True)

    async def check(self, kek: KekSpec, seconds: float) -> Answer | None:
        """Return None if the key in the token answers its check value, or what was said instead.

        Raises:
            OtherKey: another key carries this name.
        """
        found = await self._value_in_token(kek, seconds)
        if isinstance(found, Answer):
            return found
        answer, value = found
        # An empty check value in the configuration equals nothing: it fails closed.
        if not hmac.compare_digest(value, kek.check_value):
            raise OtherKey
        if answer.generation == self._generation:
            self._checked.add(kek)
        return None

    async def _value_in_token(self, kek: KekSpec, seconds: float) -> tuple[Answer, bytes] | Answer:
        """Return the check value of the key in the token, or what was said instead.

        Raises:
            OtherKey: another key carries this name.
        """
        name = kek.kek_id.encode()
        if kek.profile in {DOOR, DOOR_PAIR, DOOR_PRIVATE}:
            answer = await self._check_door(kek, seconds)
            bad = answer.outcome is not Outcome.DONE
            return _other_key_if_bad(answer) if bad else (answer, answer.fields[0])
        if kek.profile in {DOOR_SIGN, DOOR_RSA_SIGN}:
            return await self._value_of_signer(kek, seconds)
        if (verb := _COMPUTES.get(kek.profile)) is not None:
            answer = await self.ask(verb, (name,), seconds)
            return answer if answer.outcome is not Outcome.DONE else (answer, answer.fields[0])
        origin = await self.origin(kek, seconds)
        if isinstance(origin, Answer):
            return _other_key_if_bad(origin)
        answer = await self._open_trusted(kek, kek.check_token, seconds)
        if answer.outcome is not Outcome.DONE:
            return _other_key_if_bad(answer)
        secret = derive_seed(answer.fields[0], kek.kek_id, CHECK_SCOPE, origin)
        return answer, check_value_secret(secret)

    async def _check_door(self, kek: KekSpec, seconds: float) -> Answer:
        verb = _CHECKS[kek.profile]
        answer = await self.ask(verb, (kek.kek_id.encode(), kek.check_token), seconds)
        if verb is Verb.PAIR_CHECK and answer.outcome is Outcome.DONE:
            # Whoever writes rows may have put a public key of theirs where ours stood.
            _, modulus, exponent = answer.fields
            if public_key_der(modulus, exponent) != kek.public_key:
                raise OtherKey
        return answer

    async def _value_of_signer(self, kek: KekSpec, seconds: float) -> tuple[Answer, bytes] | Answer:
        of_rsa = kek.profile == DOOR_RSA_SIGN
        verb, kind = (Verb.RSA_SIGN, rsa_pkcs1) if of_rsa else (Verb.DOOR_SIGN, ecdsa)
        digest = kind.check_digest(kek.kek_id)
        answer = await self.ask(verb, (kek.kek_id.encode(), digest), seconds)
        if answer.outcome is not Outcome.DONE:
            return answer
        if not kind.is_signature(kek.public_key, digest, answer.fields[0]):
            raise OtherKey
        return answer, kind.check_value(kek.public_key)

    async def check_once(self, kek: KekSpec, seconds: float) -> Answer | None:
        """Do as `check` does, unless this login has passed it already."""
        return None if kek in self._checked else await self.check(kek, seconds)

    async def proven(self, kek: KekSpec, token: bytes, origin: bytes, seconds: float) -> KekSpec:
        """Return a new KEK's spec with ``token`` as its check token, opened once by the HSM.

        Raises:
            OtherKey: it does not open.
        """
        answer = await self._open_trusted(kek, token, seconds)
        if answer.outcome is not Outcome.DONE:
            raise OtherKey
        secret = derive_seed(answer.fields[0], kek.kek_id, CHECK_SCOPE, origin)
        return replace(kek, check_value=check_value_secret(secret), check_token=token)

    async def origin(self, kek: KekSpec, seconds: float) -> bytes | Answer:
        """Return the opened origin of a KEK of profile 4, empty for others; or what went wrong."""
        if kek.profile != Profile.RSA_OAEP_SHA256:
            return b""
        known = self._origins.get(kek)
        if known is not None:
            return known
        answer = await self._open_trusted(kek, kek.origin, seconds)
        if answer.outcome is not Outcome.DONE:
            return answer
        if len(self._origins) >= _ORIGINS_MAX:
            self._origins.clear()
        self._origins[kek] = answer.fields[0]
        return answer.fields[0]

    async def _open_trusted(self, kek: KekSpec, token: bytes, seconds: float) -> Answer:
        fields = (bytes([kek.profile]), kek.kek_id.encode(), CHECK_SCOPE.encode(), token)
        return await self.ask(Verb.OPEN_TRUSTED, fields, seconds)

    async def is_well(self, kek: KekSpec | None, seconds: float) -> bool:
        """Return whether a trial works: a real operation where a KEK is known."""
        try:
            answer = await self.ask(Verb.STATUS, (), seconds)
            state = answer.fields[0] if answer.fields else b""
            self.pin_refused = state.startswith(b"pin-refused")
            if state != b"ready":
                self.record.last_error = state.decode("utf-8", "replace")
                return False
            if kek is not None:
                await self.check(kek, seconds)
        except MemberFailed:
            return False
        except OtherKey:
            pass  # the device works; that KEK is refused when it is asked for
        return True

    def health(self, wall_ms: int) -> TokenHealth:
        """Return the record for people; ``wall_ms`` is the unix time now."""
        record = self.record
        return TokenHealth(
            token=self.spec.name,
            healthy=record.healthy,
            since_ms=wall_ms - round(1000 * (self._clock() - record.since)),
            last_error=record.last_error,
            calls=record.calls,
            failures=record.failures,
            p50_ms=record.latency_ms(0.50),
            p99_ms=record.latency_ms(0.99),
        )

    def close(self) -> None:
        if self.mending is not None:
            self.mending.cancel()
        self._lines.close()


_CHECKS = {DOOR: Verb.DOOR_CHECK, DOOR_PAIR: Verb.PAIR_CHECK, DOOR_PRIVATE: Verb.PRIVATE_CHECK}


def _other_key_if_bad(answer: Answer) -> Answer:
    if answer.outcome is Outcome.BAD_BYTES:
        # Our own token does not open: whatever the module calls it, it is not our key.
        raise OtherKey
    return answer
