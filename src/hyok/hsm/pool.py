"""HsmPool: a group of tokens behind agents, as one `Hsm`.

A call goes to the first healthy token.  One that fails is left alone, and a task of ours tries it
with real operations until it is well; clients' calls do no such trials.  Every operation but
`create_kek` may be repeated, so a call that dies with its agent goes to another token or waits for
the new agent, once: a token that brings down each module it meets gets no third.

Source: docs/format.md, sections 10 and 13.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NoReturn, TypeVar

from hyok.envelope.profiles import PROFILES, Profile, check_token, derive_seed
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.hsm.hung_keys import HungKeys
from hyok.hsm.member import CHECK_SCOPE, Member, MemberFailed, OtherKey, TokenSpec
from hyok.hsm.port import KekSpec, TokenHealth
from hyok.hsm.public_key import make_origin, public_key_der, seal_to
from hyok.hsm.recovery import is_bad_bytes
from hyok.hsm.wire import Answer, Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["HsmPool", "TokenSpec"]

ATTEMPT_SECONDS = 5.5  # an agent ends itself after 5 s; then we should hear that it did
DEADLINE_SECONDS = 12.0
CREATE_SECONDS = 60.0
ASKED_MAX = 2
PROVEN_MAX = 8
_MEND_SECONDS_MIN = 0.05
_MEND_SECONDS_MAX = 2.0

T = TypeVar("T")


class HsmPool:
    """The `Hsm` of one group of tokens that hold the same KEKs.

    Args:
        tokens: in order of preference.
        lines_max: questions of this process that each agent has at once.
        attempt_seconds: how long one token may take.
        deadline_seconds: how long a call may take in all, waiting for a new agent included.
        grace_seconds: how long after its last answer the group is waited for; then calls fail at
            once until a token is well again, so that requests do not pile up.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        tokens: Sequence[TokenSpec],
        *,
        lines_max: int = 8,
        attempt_seconds: float = ATTEMPT_SECONDS,
        deadline_seconds: float = DEADLINE_SECONDS,
        grace_seconds: float = DEADLINE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not tokens:
            raise Malformed("a group of HSM tokens has at least one token")
        self._members = [Member(spec, lines_max, clock) for spec in tokens]
        self._attempt_seconds, self._deadline_seconds = attempt_seconds, deadline_seconds
        self._grace_seconds = grace_seconds
        # The agent ends half a second before we would give up (hyok.connections).
        self._late_seconds = max(attempt_seconds / 2, attempt_seconds - 0.6)
        self._clock = clock
        self._changed = asyncio.Event()
        # KEKs that worked, the last one last: what trials use, in turn, so that a key on which the
        # module hangs does not bring down each new agent.
        self._proven: OrderedDict[str, KekSpec] = OrderedDict()
        self._hung = HungKeys()
        self._suspects: set[str] = set()

    # ── the port ────────────────────────────────────────────────────────────────────────────

    async def secret(self, kek: KekSpec, scope: str, token: bytes) -> bytes:
        profile = PROFILES[kek.profile]
        check_token(profile, token)

        async def work(member: Member) -> bytes:
            if profile is Profile.HMAC_SHA256:
                fields = (kek.kek_id.encode(), scope.encode(), token)
                seconds = self._attempt_seconds
                return answered(kek, await member.ask_about(kek, Verb.HMAC, fields, seconds))[0]
            return await self._open(member, kek, scope, token)

        return await self._somewhere(kek, work)

    async def _open(self, member: Member, kek: KekSpec, scope: str, token: bytes) -> bytes:
        fields = (bytes([kek.profile]), kek.kek_id.encode(), scope.encode(), token)
        seconds = self._attempt_seconds
        answer = await member.ask_about(kek, Verb.OPEN, fields, seconds)
        if answer.outcome is Outcome.BAD_BYTES and not is_bad_bytes(_word(answer)):
            # The code could mean the device as well.  The check value decides: if it is right, and
            # the token fails again, it is the token.  If the device is ill, this call says so.
            if (said := await member.check(kek, seconds)) is not None:
                _fail(kek, said)
            answer = await member.ask_about(kek, Verb.OPEN, fields, seconds)
        (seed,) = answered(kek, answer)
        return derive_seed(seed, kek.kek_id, scope, await self._origin(member, kek))

    async def _origin(self, member: Member, kek: KekSpec) -> bytes:
        origin = await member.origin(kek, self._attempt_seconds)
        if isinstance(origin, Answer):
            _fail(kek, origin)
        return origin

    async def new_token(self, kek: KekSpec, scope: str) -> tuple[bytes, bytes]:
        match PROFILES[kek.profile]:
            case Profile.HMAC_SHA256:
                token = secrets.token_bytes(32)
                return token, await self.secret(kek, scope, token)
            case Profile.RSA_OAEP_SHA256:
                return await self._new_public_token(kek, scope)
            case Profile.AES_GCM | Profile.AES_KWP:
                fields = (bytes([kek.profile]), kek.kek_id.encode(), scope.encode())

                async def work(member: Member) -> tuple[bytes, bytes]:
                    seconds = self._attempt_seconds
                    answer = await member.ask_about(kek, Verb.SEAL, fields, seconds)
                    token, seed = answered(kek, answer)
                    return token, derive_seed(seed, kek.kek_id, scope)

                return await self._somewhere(kek, work)

    async def _new_public_token(self, kek: KekSpec, scope: str) -> tuple[bytes, bytes]:
        async def work(member: Member) -> bytes:
            # Checked here too: a key that no longer opens must not be used to seal.
            if (said := await member.check_once(kek, self._attempt_seconds)) is not None:
                _fail(kek, said)
            return await self._origin(member, kek)

        origin = await self._somewhere(kek, work)
        seed = secrets.token_bytes(32)
        return seal_to(kek.public_key, seed), derive_seed(seed, kek.kek_id, scope, origin)

    async def create_kek(self, kek_id: str, profile: int) -> KekSpec:
        if not 1 <= len(kek_id.encode()) <= 64:
            raise Malformed("a kek_id is 1 to 64 bytes")
        kind = Profile(profile)
        unproven = KekSpec(kek_id, int(kind), b"")

        async def work(member: Member) -> KekSpec:
            fields = (bytes([kind]), kek_id.encode())
            made = answered(unproven, await member.ask(Verb.CREATE, fields, CREATE_SECONDS))
            if kind is Profile.HMAC_SHA256:
                return KekSpec(kek_id, int(kind), made[0])
            return await self._with_check_token(member, kek_id, kind, made)

        # Once: after a call that died the key may exist, and another try would say Conflict.
        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def _with_check_token(
        self, member: Member, kek_id: str, kind: Profile, made: tuple[bytes, ...]
    ) -> KekSpec:
        """Return the spec of a KEK just made, its check value from a token that did open."""
        bare = KekSpec(kek_id, int(kind), b"")
        if kind is Profile.RSA_OAEP_SHA256:
            der = public_key_der(*made)
            origin, sealed_origin = make_origin(der)
            token = seal_to(der, secrets.token_bytes(32))
            bare = KekSpec(kek_id, int(kind), b"", b"", sealed_origin, der)
        else:
            origin = b""
            fields = (bytes([kind]), kek_id.encode(), CHECK_SCOPE.encode())
            token, _ = answered(bare, await member.ask(Verb.SEAL, fields, self._attempt_seconds))
        return await member.proven(bare, token, origin, self._attempt_seconds)

    async def check(self, kek: KekSpec) -> None:
        async def work(member: Member) -> None:
            if (said := await member.check(kek, self._attempt_seconds)) is not None:
                _fail(kek, said)

        await self._somewhere(kek, work)

    async def find_keks(self) -> Sequence[KekSpec]:
        nameless = KekSpec("", 1, b"")

        async def work(member: Member) -> list[KekSpec]:
            flat = answered(nameless, await member.ask(Verb.FIND, (), self._attempt_seconds))
            pairs = zip(flat[::2], flat[1::2], strict=True)
            return [KekSpec(name.decode(), 1, value) for name, value in pairs]

        return await self._somewhere(nameless, work)

    async def is_same_key(self, kek: KekSpec, other: KekSpec) -> bool:
        if kek.profile != other.profile:
            return False
        if kek.profile == Profile.RSA_OAEP_SHA256:
            return kek.public_key == other.public_key

        async def work(member: Member) -> bool:
            seconds = self._attempt_seconds
            if (said := await member.check_once(other, seconds)) is not None:
                _fail(other, said)
            fields = (bytes([kek.profile]), kek.kek_id.encode(), other.kek_id.encode())
            answer = await member.ask_about(kek, Verb.SAME_KEY, fields, seconds)
            return answered(kek, answer)[0] == b"\x01"

        return await self._somewhere(kek, work)

    async def destroy_kek(self, kek: KekSpec) -> Sequence[str]:
        for member in self._members:
            try:
                if (said := await member.check(kek, self._attempt_seconds)) is None:
                    fields = (kek.kek_id.encode(),)
                    said = await member.ask(Verb.DESTROY, fields, self._attempt_seconds)
            except OtherKey as error:
                raise _other_key(kek.kek_id) from error
            except MemberFailed as error:
                self._mend(member)
                raise Unavailable(
                    f"the HSM token {member.spec.name} does not answer",
                    code="HY-2101",
                    effect=f"The KEK {kek.kek_id} may still be there; it serves nothing any more.",
                    next_step="hyok hsm status; then do the same again",
                ) from error
            if said.outcome is not Outcome.NOT_FOUND:
                answered(kek, said)
        self._proven.pop(kek.kek_id, None)
        return [member.spec.name for member in self._members]

    async def health(self) -> Sequence[TokenHealth]:
        wall_ms = time.time_ns() // 1_000_000
        return [member.health(wall_ms) for member in self._members]

    async def close(self) -> None:
        for member in self._members:
            member.close()

    # ── which token, and what when it fails ─────────────────────────────────────────────────

    async def _somewhere(
        self,
        kek: KekSpec,
        work: Callable[[Member], Awaitable[T]],
        *,
        asked_max: int = ASKED_MAX,
        deadline_seconds: float = 0.0,
    ) -> T:
        """Return what ``work`` returns on the first token that can do it."""
        ends = self._clock() + (deadline_seconds or self._deadline_seconds)
        asked = 0
        unfit: dict[Member, HyokError] = {}
        while True:
            # Nearly always the first is well, and there is nothing to wait for.
            member = None if unfit else self._best(self._members)
            if member is None:
                member = await self._choose(unfit, ends)
            began = self._clock()
            try:
                share = await member.take_share(kek.kek_id, self._attempt_seconds)
                try:
                    began = self._clock()
                    if self._hung.is_held(kek.kek_id, began):
                        raise _held(kek.kek_id)
                    done = await work(member)
                finally:
                    share.release()
            except OtherKey:
                unfit[member] = _other_key(kek.kek_id)
            except NotFound as error:
                # Perhaps not copied there yet, or the token is another one than we think.
                unfit[member] = error
            except MemberFailed as error:
                if not error.busy:
                    self._suspect(kek, began)
                    self._mend(member)
                asked += error.asked
                if asked >= asked_max or self._clock() > ends:
                    raise self._unavailable() from error
            else:
                self._note_proven(kek)
                return done

    def _suspect(self, kek: KekSpec, began: float) -> None:
        """Note a call that outlasted the deadline; the next answer says whose fault it was."""
        if self._clock() - began >= self._late_seconds:
            self._suspects.add(kek.kek_id)

    def _note_proven(self, kek: KekSpec) -> None:
        """Note a KEK that worked: then those that did not are at fault, and not the device."""
        self._hung.forget(kek.kek_id)
        if self._suspects:
            for kek_id in self._suspects - {kek.kek_id}:
                self._hung.note(kek_id, self._clock())
            self._suspects.clear()
        if kek.check_value:
            self._proven[kek.kek_id] = kek
            self._proven.move_to_end(kek.kek_id)
            if len(self._proven) > PROVEN_MAX:
                self._proven.popitem(last=False)

    def _best(self, fit: Sequence[Member]) -> Member | None:
        """Return the first of the best that are well; None: none is."""
        if len(fit) == 1:
            return fit[0] if fit[0].record.healthy else None
        now = self._clock()
        well = [member for member in fit if member.record.healthy]
        if not well:
            return None
        return min(well, key=lambda member: member.record.is_slow(now))

    async def _choose(self, unfit: dict[Member, HyokError], ends: float) -> Member:
        """Return the best token, waiting for one while there is hope.

        Raises:
            HyokError: every token is unfit, or none is well and the time is up.
        """
        fit = [member for member in self._members if member not in unfit]
        if not fit:
            raise next(iter(unfit.values()))
        while True:
            if (best := self._best(fit)) is not None:
                return best
            hope = max(member.record.last_success for member in fit) + self._grace_seconds
            wait_seconds = min(ends, hope) - self._clock()
            if wait_seconds <= 0 or all(member.pin_refused for member in fit):
                if unfit:
                    raise next(iter(unfit.values()))
                raise self._unavailable()
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _mend(self, member: Member) -> None:
        if member.mending is None or member.mending.done():
            member.mending = asyncio.create_task(self._try_until_well(member))

    async def _try_until_well(self, member: Member) -> None:
        pause_seconds = _MEND_SECONDS_MIN
        for trial in itertools.count():
            # Jitter: all gateways notice the same fault at the same moment.
            await asyncio.sleep(pause_seconds * (0.5 + secrets.randbelow(1000) / 1000))
            known = list(reversed(self._proven.values()))
            kek = known[trial % len(known)] if known else None
            if await member.is_well(kek, self._attempt_seconds):
                if kek is not None:
                    self._note_proven(kek)
                member.record.mend(self._clock())
                self._changed.set()
                return
            self._changed.set()
            pause_seconds = min(2 * pause_seconds, _MEND_SECONDS_MAX)

    def _unavailable(self) -> Unavailable:
        refused = [member for member in self._members if member.pin_refused]
        if refused:
            return Unavailable(
                f"the PIN of HSM token {refused[0].spec.name} was refused",
                code="HY-2102",
                effect="Nothing is sealed or opened until an operator acts.",
                next_step="Put the right PIN in place, then run: hyok hsm reset-pin",
            )
        return Unavailable(
            "no HSM token answered in time",
            code="HY-2101",
            effect="Nothing was written; no other key was used instead.",
            next_step="hyok hsm status shows each token and its last error.",
        )


def _word(answer: Answer) -> str:
    return answer.fields[1].decode("ascii", "replace") if len(answer.fields) > 1 else ""


def answered(kek: KekSpec, answer: Answer) -> tuple[bytes, ...]:
    """Return the fields of an answer, or raise what it comes to."""
    if answer.outcome is not Outcome.DONE:
        _fail(kek, answer)
    return answer.fields


def _fail(kek: KekSpec, answer: Answer) -> NoReturn:
    """Raise what an answer other than DONE comes to."""
    cause = answer.fields[0].decode("utf-8", "replace") if answer.fields else "no cause given"
    match answer.outcome:
        case Outcome.NOT_FOUND:
            raise NotFound(
                cause,
                code="HY-2103",
                effect="Nothing was opened or sealed with it.",
                next_step="A KEK's label in the token is its kek_id, and it stands there once.",
            )
        case Outcome.CONFLICT:
            raise Conflict(cause, code="HY-2107")
        case Outcome.BAD_BYTES:
            raise Tampered(f"a token does not open under the KEK {kek.kek_id}", code="HY-2108")
        case Outcome.MALFORMED:
            raise Malformed(cause)
        case _ if _word(answer) == "DoorsOff":
            raise Refused(
                cause,
                code="HY-2109",
                effect="Keys of doors are neither made nor used; everything else is served.",
                next_step="hyok hsm prove shows what the module offers.",
            )
        case _ if _word(answer) == "ProfileOff":
            raise Refused(
                cause,
                code="HY-2109",
                effect=f"The KEK {kek.kek_id} was not used.",
                next_step="Name it in hsm.profiles of the settings, then start the gateway again.",
            )
        case _:
            raise Refused(
                f"the HSM cannot do this with the KEK {kek.kek_id}: {cause}",
                code="HY-2109",
                next_step="hyok hsm prove shows what the module offers.",
            )


def _held(kek_id: str) -> Unavailable:
    return Unavailable(
        f"the HSM does not return from calls about the key {kek_id}",
        code="HY-2101",
        effect="It is tried again every few seconds; other keys are served.",
        next_step="hyok hsm status shows each token; the HSM's own log may say why.",
    )


def _other_key(kek_id: str) -> Tampered:
    return Tampered(
        f"another key than expected carries the name {kek_id}",
        code="HY-2106",
        effect="It was not used.",
        next_step="Compare the KEK's check value in the configuration with the token's.",
    )
