"""DoorPool: a group of tokens that also keeps the keys of doors.

Which token is asked, and what when it fails, is `HsmPool`'s.  A call has little time here, so with
more than one token the first gets half of it: another can still answer before the door has to.

Source: docs/keyservices/xks.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Tampered
from hyok.hsm.member import MemberFailed
from hyok.hsm.pool import CREATE_SECONDS, HsmPool, answered
from hyok.hsm.port import BAD_CIPHERTEXT, DOOR, KekSpec
from hyok.hsm.recovery import is_bad_bytes
from hyok.hsm.wire import DOOR_PREFIX, Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            fields = (key.kek_id.encode(), iv, sealed, data)
            answer = await member.ask_about(key, Verb.DOOR_OPEN, fields, share)
            if answer.outcome is Outcome.BAD_BYTES and not _blames_bytes(answer):
                # The code could mean the device as well; our own check token decides.
                if (said := await member.check(key, share)) is not None:
                    answered(key, said)
                answer = await member.ask_about(key, Verb.DOOR_OPEN, fields, share)
            if answer.outcome is Outcome.BAD_BYTES:
                raise bad_ciphertext()
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def probe_doors(self, seconds: float) -> Mapping[str, str]:
        failed = {}
        for member in self._members:
            try:
                answer = await member.ask(Verb.DOOR_PROBE, (), seconds)
            except MemberFailed as error:
                self._mend(member)
                failed[member.spec.name] = str(error)
                continue
            said = b"" if answer.outcome is Outcome.DONE else answer.fields[0]
            failed[member.spec.name] = said.decode("utf-8", "replace")
        return failed

    def _share(self, seconds: float) -> float:
        return seconds if len(self._members) == 1 else seconds / 2


def _blames_bytes(answer: Answer) -> bool:
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
