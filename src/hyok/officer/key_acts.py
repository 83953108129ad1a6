"""The act that ends a key version: nothing that it wrapped can be opened afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState, check_transition
from hyok.custody.quorum import Quorum
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.errors import Conflict, NotFound, Refused, Tampered
from hyok.objects.keys_in_use import count_under
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.backends.port import ObjectStore
    from hyok.custody.cases import Case
    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.proposal import Effect
    from hyok.custody.rotation import KeyRotation
    from hyok.hsm.port import Hsm
    from hyok.objects.registry import BucketRegistry
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask, Bucket

SYSTEM_APPROVALS = 2
"""For keys of no classification of documents, such as that of a tenant's own names."""


class DestroyKey:
    """`key:destroy`: of a version that keeps nothing any more.

    What it wrapped once may live on in old backups, and in what a store kept: those go with it.
    """

    def __init__(
        self,
        *,
        keks: KekCatalog,
        rotation: KeyRotation,
        hsm: Hsm,
        custodian: KeyCustodian,
        registry: BucketRegistry,
        stores: Mapping[str, ObjectStore],
        classifications: Classifications,
        progress: Callable[[int, int], None],
    ) -> None:
        self._keks = keks
        self._rotation = rotation
        self._hsm = hsm
        self._custodian = custodian
        self._registry = registry
        self._stores = stores
        self._classifications = classifications
        self._progress = progress

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
            await self._check_unused(kek)
        exact: Effect = {"key": kek.kek_id, "check_value": kek.spec.check_value.hex()}
        return Plan(kek.tenant, kek.classification, Quorum(self._approvals(kek)), exact)

    async def _named(self, effect: Effect) -> Kek:
        name = text(effect, "key")
        kek = await self._keks.find(name)
        if kek is None:
            raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
        if kek.classification == SECRETS:
            raise Refused(
                f"{name} keeps the installation's own secrets: access keys, proposals, grants.",
                code="HY-2313",
                effect="Nothing was proposed.",
                next_step="leave it deactivated; these rows are not sealed anew in this version",
            )
        return kek

    def _approvals(self, kek: Kek) -> int:
        if kek.classification not in self._classifications.names():
            return SYSTEM_APPROVALS
        return self._classifications.get(kek.classification).approvals.destroy_key

    async def _check_unused(self, kek: Kek) -> None:
        """Return quietly if no record, copy of one, or object is kept under this version.

        Raises:
            Conflict: something is (code HY-2311).
        """
        records = (await self._rotation.count_by_kek()).get(kek.kek_id, 0)
        rotate = f"hyok keys rotate --tenant {kek.tenant} --classification {kek.classification}"
        if records:
            raise _in_use(kek, f"{records:,} keyring records", rotate)
        for bucket in await self._buckets(kek):
            copies = await self._rotation.mirrored_under(kek, bucket)
            if copies:
                raise _in_use(kek, f"{copies:,} copies in bucket {bucket.bucket_id}", rotate)
            objects = await self._objects(kek, bucket)
            if objects:
                step = f"hyok jobs rewrap {bucket.bucket_id}, or delete them"
                raise _in_use(kek, f"{objects:,} objects of bucket {bucket.bucket_id}", step)

    async def _buckets(self, kek: Kek) -> Sequence[Bucket]:
        return [one for one in await self._registry.all() if one.tenant == kek.tenant]

    async def _objects(self, kek: Kek, bucket: Bucket) -> int:
        if kek.classification not in bucket.allowed:
            return 0
        if self._classifications.get(kek.classification).keys.mode == "keyring":
            return 0
        store = self._stores[bucket.store]
        return await count_under(
            store, bucket, kek.kek_id, lambda objects: self._progress(objects, 0)
        )

    async def perform(self, ask: Ask, case: Case) -> Done:
        """End it everywhere: no gateway uses it from now on, then no token has it.

        Raises:
            Unavailable: a token does not answer; carry it on when it does.
            Tampered: a token holds another key under this name.
        """
        kek = await self._named(case.proposal.effect)
        if kek.spec.check_value.hex() != case.proposal.effect["check_value"]:
            raise Conflict("The key of this name is another one now.", code="HY-2505")
        ask = replace(ask, classification=ClassificationName(kek.classification))
        await self._custodian.decide(ask)
        if kek.state is not KeyState.DESTROYED:
            await self._keks.change_state(kek.kek_id, KeyState.DESTROYED)
        tokens = await self._hsm.destroy_kek(kek.spec)
        try:
            await self._hsm.check(kek.spec)
        except NotFound:
            pass
        else:
            raise Tampered(
                f"The HSM still answers for the key {kek.kek_id} that it destroyed.",
                code="HY-2314",
                effect="No gateway uses it any more, and it still exists.",
                next_step="look at the HSM, and at copies of the token",
            )
        await self._custodian.conclude(ask, "done", kek_id=kek.kek_id)
        return Done(
            f"key {kek.kek_id} is destroyed in {', '.join(tokens)}; backups of the HSM may have it",
            {"key": kek.kek_id, "tokens": list(tokens)},
        )


def _in_use(kek: Kek, what: str, next_step: str) -> Conflict:
    return Conflict(
        f"The key {kek.kek_id} still keeps {what}.",
        code="HY-2311",
        effect="Nothing was destroyed; without the key they could never be read again.",
        next_step=next_step,
    )
