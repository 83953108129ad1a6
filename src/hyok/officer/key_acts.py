"""The act that ends a key version: nothing that it wrapped can be opened afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState, check_transition
from hyok.custody.quorum import Quorum
from hyok.errors import Conflict, NotFound
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.key_end import KeyEnder
    from hyok.custody.proposal import Effect
    from hyok.officer.key_uses import KeyUses
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask

SYSTEM_APPROVALS = 2
"""For keys of no classification of documents, such as that of a tenant's own names."""


class DestroyKey:
    """`key:destroy`: of a version that keeps nothing any more.

    What it wrapped once may live on in old backups, and in what a store kept: those go with it.
    With a version of the installation's own key go the backups and exports that it sealed.
    """

    def __init__(
        self,
        *,
        keks: KekCatalog,
        uses: KeyUses,
        ender: KeyEnder,
        custodian: KeyCustodian,
        classifications: Classifications,
    ) -> None:
        self._keks = keks
        self._uses = uses
        self._ender = ender
        self._custodian = custodian
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes, if nothing is kept under this version.

        Raises:
            NotFound: there is no such key (code HY-2310).
            Conflict: its state does not allow it (HY-2302), or something is still kept under it
                (HY-2311).
        """
        kek = await self._named(effect)
        if kek.state is not KeyState.DESTROYED:
            check_transition(kek.state, KeyState.DESTROYED)
            await self._uses.check_unused(kek)
        exact: Effect = {"key": kek.kek_id, "check_value": kek.spec.check_value.hex()}
        buried = await self._uses.buried_under(kek)
        if buried:  # they go with it, on the word of what stands in buckets
            exact["buried_records"] = buried
        return Plan(kek.tenant, kek.classification, Quorum(self._approvals(kek)), exact)

    async def _named(self, effect: Effect) -> Kek:
        name = text(effect, "key")
        kek = await self._keks.find(name)
        if kek is None:
            raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
        return kek

    def _approvals(self, kek: Kek) -> int:
        if kek.classification not in self._classifications.names():
            return SYSTEM_APPROVALS
        return self._classifications.get(kek.classification).approvals.destroy_key

    def _judged_as(self, kek: Kek) -> ClassificationName:
        """Return the classification by whose rules the act is decided.

        A key of no classification of documents is judged by the strictest one.
        """
        known = self._classifications
        if kek.classification in known.names():
            return ClassificationName(kek.classification)
        serving = [name for name in known.names() if not known.get(name).denied]
        return ClassificationName(max(serving, key=known.level))

    async def perform(self, ask: Ask, case: Case) -> Done:
        """End it everywhere: no gateway uses it from now on, then no token has it.

        Raises:
            Unavailable: a token does not answer; carry it on when it does.
            Tampered: a token holds another key under this name.
        """
        kek = await self._named(case.proposal.effect)
        if kek.spec.check_value.hex() != case.proposal.effect["check_value"]:
            raise Conflict("The key of this name is another one now.", code="HY-2505")
        ask = replace(ask, classification=self._judged_as(kek))
        await self._custodian.decide(ask)
        await self._ender.close(kek)
        records = await self._uses.end_records(kek)
        tokens = await self._ender.destroy(kek)
        await self._custodian.conclude(ask, "done", kek_id=kek.kek_id)
        return Done(
            f"key {kek.kek_id} is destroyed in {', '.join(tokens)}; backups of the HSM may have it",
            {"key": kek.kek_id, "tokens": list(tokens), "records": records},
        )
