"""DoorPool: a group of tokens that also keeps the keys of doors.

Which token is asked, and what when it fails, is `HsmPool`'s.  A call has little time here, so with
more than one token the first gets half of it: another can still answer before the door has to.

Source: docs/keyservices/xks.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Tampered
from hyok.hsm import ecdsa
from hyok.hsm.member import MemberFailed
from hyok.hsm.pool import CREATE_SECONDS, HsmPool, answered
from hyok.hsm.port import BAD_CIPHERTEXT, DOOR, DOOR_MAC, DOOR_SIGN, KekSpec
from hyok.hsm.recovery import is_bad_bytes
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.hsm.member import Member
    from hyok.hsm.wire import Answer


class DoorPool(HsmPool):
    """The `DoorHsm` over agents."""

    async def create_door_key(self, name: str) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR, b"")

        async def work(member: Member) -> KekSpec:
            asked = await member.ask(Verb.DOOR_CREATE, (name.encode(),), CREATE_SECONDS)
            (token,) = answered(unproven, asked)
            opened = await member.ask(Verb.DOOR_CHECK, (name.encode(), token), CREATE_SECONDS)
            return KekSpec(name, DOOR, answered(unproven, opened)[0], token)

        # Once: after a call that died the key may exist, and another try would say Conflict.
        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def door_seal(
        self, key: KekSpec, plain: bytes, data: bytes, seconds: float
    ) -> tuple[bytes, bytes]:
        share = self._share(seconds)

        async def work(member: Member) -> tuple[bytes, bytes]:
            fields = (key.kek_id.encode(), plain, data)
            answer = await member.ask_about(key, Verb.DOOR_SEAL, fields, share)
            iv, sealed = answered(key, answer)
            return iv, sealed

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_open(
        self, key: KekSpec, iv: bytes, sealed: bytes, data: bytes, seconds: float
    ) -> bytes:
        return await self._opened(key, Verb.DOOR_OPEN, (iv, sealed, data), seconds)

    async def _opened(
        self, key: KekSpec, verb: Verb, fields: tuple[bytes, ...], seconds: float
    ) -> bytes:
        """Return the plaintext of bytes that came from outside.

        Raises:
            Tampered: they do not open (reason ``BadCiphertext``).
        """
        share, asked = self._share(seconds), (key.kek_id.encode(), *fields)

        async def work(member: Member) -> bytes:
            answer = await member.ask_about(key, verb, asked, share)
            if answer.outcome is Outcome.BAD_BYTES and not blames_bytes(answer):
                # The code could mean the device as well; our own check token decides.
                if (said := await member.check(key, share)) is not None:
                    answered(key, said)
                answer = await member.ask_about(key, verb, asked, share)
            if answer.outcome is Outcome.BAD_BYTES:
                raise bad_ciphertext()
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_seal_many(
        self, key: KekSpec, plains: Sequence[bytes], seconds: float
    ) -> Sequence[tuple[bytes, bytes]]:
        share = self._share(seconds)

        async def work(member: Member) -> Sequence[tuple[bytes, bytes]]:
            fields = (key.kek_id.encode(), *plains)
            parts = answered(key, await member.ask_about(key, Verb.DOOR_SEAL_MANY, fields, share))
            return list(zip(parts[::2], parts[1::2], strict=True))

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_open_many(
        self, key: KekSpec, sealed: Sequence[tuple[bytes, bytes]], seconds: float
    ) -> Sequence[bytes]:
        share = self._share(seconds)

        async def work(member: Member) -> Sequence[bytes]:
            fields = (key.kek_id.encode(), *(part for each in sealed for part in each))
            answer = await member.ask_about(key, Verb.DOOR_OPEN_MANY, fields, share)
            if answer.outcome is Outcome.BAD_BYTES:
                raise bad_ciphertext()
            return answered(key, answer)

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def create_mac_key(self, name: str) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_MAC, b"")

        async def work(member: Member) -> KekSpec:
            asked = await member.ask(Verb.DOOR_MAC_CREATE, (name.encode(),), CREATE_SECONDS)
            return KekSpec(name, DOOR_MAC, answered(unproven, asked)[0])

        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def door_mac(self, key: KekSpec, data: bytes, seconds: float) -> bytes:
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            answer = await member.ask_about(key, Verb.DOOR_MAC, (key.kek_id.encode(), data), share)
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_mac_many(
        self, key: KekSpec, texts: Sequence[bytes], seconds: float
    ) -> Sequence[bytes]:
        share = self._share(seconds)

        async def work(member: Member) -> Sequence[bytes]:
            fields = (key.kek_id.encode(), *texts)
            return answered(key, await member.ask_about(key, Verb.DOOR_MAC_MANY, fields, share))

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def create_sign_key(self, name: str) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_SIGN, b"")

        async def work(member: Member) -> KekSpec:
            asked = await member.ask(Verb.DOOR_SIGN_CREATE, (name.encode(),), CREATE_SECONDS)
            public = ecdsa.der_of_point(answered(unproven, asked)[0])
            return KekSpec(name, DOOR_SIGN, ecdsa.check_value(public), public_key=public)

        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def door_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            fields = (key.kek_id.encode(), digest)
            answer = await member.ask_about(key, Verb.DOOR_SIGN, fields, share)
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_random(self, size: int, seconds: float) -> bytes:
        share, nobody = self._share(seconds), KekSpec(DOOR_PREFIX, DOOR, b"")

        async def work(member: Member) -> bytes:
            answer = await member.ask(Verb.DOOR_RANDOM, (size.to_bytes(2, "big"),), share)
            return answered(nobody, answer)[0]

        return await self._somewhere(nobody, work, deadline_seconds=seconds)

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        return await self._tried(Verb.DOOR_PROBE, seconds)

    async def _tried(self, verb: Verb, seconds: float) -> Mapping[str, str]:
        """Return what each member's trial showed to be wrong, by its name; empty: nothing."""
        failed = {}
        for member in self._members:
            try:
                answer = await member.ask(verb, (), seconds)
            except MemberFailed as error:
                self._mend(member)
                failed[member.spec.name] = str(error)
                continue
            said = b"" if answer.outcome is Outcome.DONE else answer.fields[0]
            failed[member.spec.name] = said.decode("utf-8", "replace")
        return failed

    def _share(self, seconds: float) -> float:
        return seconds if len(self._members) == 1 else seconds / 2


def blames_bytes(answer: Answer) -> bool:
    """Say whether the module blames what it was given, and nothing else."""
    word = answer.fields[1].decode("ascii", "replace") if len(answer.fields) > 1 else ""
    return is_bad_bytes(word)


def check_door_name(name: str) -> None:
    """Return quietly if a door's key may have this name in a token.

    Raises:
        Malformed: it may not.
    """
    if not name.startswith(DOOR_PREFIX) or len(name.encode()) > 160:
        raise Malformed(f"the name of a door's key begins with {DOOR_PREFIX}")


def bad_ciphertext() -> Tampered:
    """Return the one error of whatever does not open: no cause is told to whoever sent it."""
    return Tampered(
        "The ciphertext does not open under this key.", reason=BAD_CIPHERTEXT, code="HY-2607"
    )
