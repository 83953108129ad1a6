"""PairPool: a group of tokens that also opens what was sealed to the public keys of doors.

Source: docs/keyservices/dke.md; docs/adr/0032.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hyok.hsm import rsa_pkcs1
from hyok.hsm.door_pool import DoorPool, check_door_name
from hyok.hsm.pool import CREATE_SECONDS, answered
from hyok.hsm.port import DOOR_PAIR, DOOR_RSA_SIGN, KekSpec
from hyok.hsm.public_key import public_key_der, seal_bytes_to
from hyok.hsm.wire import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.hsm.member import Member

CHECK_BYTES = 16


class PairPool(DoorPool):
    """The `PairHsm` over agents."""

    async def create_door_pair(self, name: str, bits: int) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_PAIR, b"")

        async def work(member: Member) -> KekSpec:
            fields = (name.encode(), bits.to_bytes(2, "big"))
            asked = await member.ask(Verb.PAIR_CREATE, fields, CREATE_SECONDS)
            der = public_key_der(*answered(unproven, asked))
            value = secrets.token_bytes(CHECK_BYTES)
            spec = KekSpec(name, DOOR_PAIR, value, seal_bytes_to(der, value), public_key=der)
            if (said := await member.check(spec, CREATE_SECONDS)) is not None:
                answered(spec, said)
            return spec

        # Once: after a call that died the key may exist, and another try would say Conflict.
        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def create_rsa_signer(self, name: str, bits: int) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_RSA_SIGN, b"")

        async def work(member: Member) -> KekSpec:
            fields = (name.encode(), bits.to_bytes(2, "big"))
            asked = await member.ask(Verb.RSA_SIGN_CREATE, fields, CREATE_SECONDS)
            der = public_key_der(*answered(unproven, asked))
            spec = KekSpec(name, DOOR_RSA_SIGN, rsa_pkcs1.check_value(der), public_key=der)
            if (said := await member.check(spec, CREATE_SECONDS)) is not None:
                answered(spec, said)
            return spec

        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def rsa_sign(self, key: KekSpec, digest: bytes, seconds: float) -> bytes:
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            fields = (key.kek_id.encode(), digest)
            answer = await member.ask_about(key, Verb.RSA_SIGN, fields, share)
            return answered(key, answer)[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def pair_open(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        return await self._opened(key, Verb.PAIR_OPEN, (sealed,), seconds)

    async def pair_open_sha1(self, key: KekSpec, sealed: bytes, seconds: float) -> bytes:
        return await self._opened(key, Verb.PAIR_OPEN_SHA1, (sealed,), seconds)

    async def pair_public(self, key: KekSpec, seconds: float) -> bytes:
        async def work(member: Member) -> bytes:
            if (said := await member.check_once(key, self._share(seconds))) is not None:
                answered(key, said)
            return key.public_key

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def probe_pairs(self, seconds: float) -> Mapping[str, str]:
        return await self._tried(Verb.PAIR_PROBE, seconds)
