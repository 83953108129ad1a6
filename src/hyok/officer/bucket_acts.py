"""Acts on buckets: open one to readers without credentials, lower its classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.quorum import Quorum, Role
from hyok.errors import Malformed, Refused
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.objects.registry import BucketKeeper, BucketRegistry
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask


class PublishBucket:
    """`bucket:publish`: anybody reads it.  To close it again takes one person, and no proposal."""

    def __init__(
        self,
        registry: BucketRegistry,
        keeper: BucketKeeper,
        classifications: Classifications,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes; as many as lowering takes."""
        bucket = await self._registry.get(text(effect, "bucket"))
        self._keeper.check_publishable(bucket)
        rule = self._classifications.get(bucket.classification)
        return Plan(
            bucket.tenant,
            bucket.classification,
            Quorum(rule.approvals.lower),
            {"bucket": bucket.bucket_id, "classification": bucket.classification},
            bucket,
        )

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Open it."""
        await self._keeper.set_public(ask, public=True)
        name = case.proposal.effect["bucket"]
        return Done(f"bucket {name} is open to readers without credentials")


class LowerBucket:
    """`bucket:lower`: what is written from now on; what stands there stays as it is sealed."""

    def __init__(
        self, registry: BucketRegistry, keeper: BucketKeeper, classifications: Classifications
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: as the classification that it has demands."""
        bucket = await self._registry.get(text(effect, "bucket"))
        to = text(effect, "to")
        before = text(effect, "from", default=bucket.classification)
        if bucket.classification != to:
            before = bucket.classification
        check_lower(self._classifications, before, to)
        if self._classifications.get(to).seal.names == "sealed" and bucket.names == "clear":
            raise Refused(
                f"Buckets of classification {to} keep sealed names.",
                code="HY-3202",
                effect="Nothing was proposed.",
            )
        return Plan(
            bucket.tenant,
            before,
            lowering_quorum(self._classifications, before),
            {"bucket": bucket.bucket_id, "from": before, "to": to},
            bucket,
        )

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Lower the default of the bucket."""
        effect = case.proposal.effect
        await self._keeper.lower(ask, ClassificationName(text(effect, "to")))
        return Done(f"bucket {effect['bucket']} is {effect['to']} from now on")


def check_lower(classifications: Classifications, before: str, to: str) -> None:
    """Return quietly if ``to`` is a classification below ``before``.

    Raises:
        Malformed: it is as high or higher; NotFound: there is none of this name.
    """
    if classifications.level(to) >= classifications.level(before):
        raise Malformed(
            f"{to} is not below {before}; to raise needs no approval",
            effect="Nothing was proposed.",
        )


def lowering_quorum(classifications: Classifications, before: str) -> Quorum:
    """Return what it takes to lower something of classification ``before``."""
    return Quorum(classifications.get(before).approvals.lower, (Role.SECURITY,))
