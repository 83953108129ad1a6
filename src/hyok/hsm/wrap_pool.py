"""WrapPool: a group of tokens that also wraps keys for doors.

Source: docs/keyservices/ekm.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.hsm.door_pool import check_door_name
from hyok.hsm.member import MemberFailed
from hyok.hsm.pair_pool import PairPool
from hyok.hsm.pool import CREATE_SECONDS, answered
from hyok.hsm.port import DOOR_WRAP, KekSpec
from hyok.hsm.wire import Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.hsm.member import Member


class WrapPool(PairPool):
    """The `WrapHsm` over agents."""

    async def create_wrap_key(self, name: str) -> KekSpec:
        check_door_name(name)
        unproven = KekSpec(name, DOOR_WRAP, b"")

        async def work(member: Member) -> KekSpec:
            asked = await member.ask(Verb.WRAP_CREATE, (name.encode(),), CREATE_SECONDS)
            return KekSpec(name, DOOR_WRAP, answered(unproven, asked)[0])

        # Once: after a call that died the key may exist, and another try would say Conflict.
        return await self._somewhere(
            unproven, work, asked_max=1, deadline_seconds=2 * CREATE_SECONDS
        )

    async def door_wrap(self, key: KekSpec, value: bytes, seconds: float, *, padded: bool) -> bytes:
        share = self._share(seconds)

        async def work(member: Member) -> bytes:
            fields = (key.kek_id.encode(), bytes([padded]), value)
            return answered(key, await member.ask_about(key, Verb.WRAP, fields, share))[0]

        return await self._somewhere(key, work, deadline_seconds=seconds)

    async def door_unwrap(
        self, key: KekSpec, wrapped: bytes, seconds: float, *, padded: bool
    ) -> bytes:
        return await self._opened(key, Verb.UNWRAP, (bytes([padded]), wrapped), seconds)

    async def probe_wraps(self, seconds: float) -> Mapping[str, str]:
        failed = {}
        for member in self._members:
            try:
                answer = await member.ask(Verb.WRAP_PROBE, (), seconds)
            except MemberFailed as error:
                self._mend(member)
                failed[member.spec.name] = str(error)
                continue
            said = b"" if answer.outcome is Outcome.DONE else answer.fields[0]
            failed[member.spec.name] = said.decode("utf-8", "replace")
        return failed
