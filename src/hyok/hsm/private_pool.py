"""PrivatePool: a group of tokens that also puts wrapped private keys of others to a single use.

Source: docs/keyservices/kacls.md; docs/adr/0034.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Refused
from hyok.hsm.door_pool import bad_ciphertext, blames_bytes, check_door_name
from hyok.hsm.pool import CREATE_SECONDS, answered
from hyok.hsm.port import DOOR_PRIVATE, OTHER_PUBLIC_KEY, KekSpec
from hyok.hsm.wire import Outcome, Verb
from hyok.hsm.wrap_pool import WrapPool

if TYPE_CHECKING:
    from hyok.hsm.member import Member
    from hyok.vocabulary import DecryptHow, SignHow


class PrivatePool(WrapPool):
    """The `PrivateHsm` over agents."""

    async def create_private_wrapper(self, name: str) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_PRIVATE, b"")

        async def work(member: Member) -> KekSpec:
            asked = await member.ask(Verb.PRIVATE_CREATE, (name.encode(),), CREATE_SECONDS)
            (token,) = answered(unproven, asked)
            opened = await member.ask(Verb.PRIVATE_CHECK, (name.encode(), token), CREATE_SECONDS)
            return KekSpec(name, DOOR_PRIVATE, answered(unproven, opened)[0], token)

        # Once: after a call that died the key may exist, and another try would say Conflict.
        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def private_wrap(self, key: KekSpec, private_der: bytes, seconds: float) -> bytes:
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            fields = (key.kek_id.encode(), private_der)
            answer = await member.ask_about(key, Verb.PRIVATE_WRAP, fields, share)
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def private_sign(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: SignHow, seconds: float
    ) -> bytes:
        fields = (how.padding.encode(), how.hash.encode(), how.digest)
        salt = how.salt_bytes.to_bytes(2, "big")
        return await self._use(key, Verb.PRIVATE_SIGN, (wrapped, spki, *fields, salt), seconds)

    async def private_decrypt(
        self, key: KekSpec, wrapped: bytes, spki: bytes, how: DecryptHow, seconds: float
    ) -> bytes:
        fields = (how.padding.encode(), how.hash.encode(), how.label, how.sealed)
        return await self._use(key, Verb.PRIVATE_DECRYPT, (wrapped, spki, *fields), seconds)

    async def _use(
        self, key: KekSpec, verb: Verb, fields: tuple[bytes, ...], seconds: float
    ) -> bytes:
        share = self._share(seconds)
        whole = (key.kek_id.encode(), *fields)

        async def work(member: Member) -> bytes:
            answer = await member.ask_about(key, verb, whole, share)
            if answer.outcome is Outcome.BAD_BYTES and not blames_bytes(answer):
                # The code could mean the device as well; our own check token decides.
                if (said := await member.check(key, share)) is not None:
                    answered(key, said)
                answer = await member.ask_about(key, verb, whole, share)
            if answer.outcome is Outcome.BAD_BYTES:
                raise bad_ciphertext()
            if answer.outcome is Outcome.REFUSED and answer.fields[1:] == (
                OTHER_PUBLIC_KEY.encode(),
            ):
                raise other_public_key()
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)


def other_public_key() -> Refused:
    """Return the refusal of a wrapped key whose public half is not the one that was named."""
    return Refused(
        "The wrapped private key is not the one of that public key.",
        reason=OTHER_PUBLIC_KEY,
        code="HY-2690",
        effect="It was not used.",
    )
