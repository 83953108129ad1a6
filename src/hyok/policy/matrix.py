"""Who may do what: a policy asked about every app, bucket, classification and action.  Pure.

What a change of policy gives and takes is the difference of two such matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.policy.decision import Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hyok.policy.bundle import Policy
    from hyok.policy.decision import Decision, StoreFacts
    from hyok.vocabulary import Bucket, Principal

ACTIONS = (
    *("object:get", "object:head", "object:put", "object:delete"),
    *("object:lock", "object:bypass-governance"),
    *("file:seal", "file:open"),
    *("bucket:list", "bucket:configure", "bucket:create", "bucket:delete", "upload:list"),
)
"""What an application can ask."""


NEVER = 1 << 62
"""A moment after everything."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One thing that somebody may do."""

    app: str
    bucket: str
    classification: str
    action: str


@dataclass(frozen=True, slots=True)
class World:
    """What a policy is asked about: the apps, buckets and stores of an installation.

    ``now_ms``: when; left out, no exception of a policy holds any more.
    """

    principals: Sequence[Principal]
    buckets: Sequence[Bucket]
    stores: Mapping[str, StoreFacts]
    zone: str
    now_ms: int = NEVER


def ask(
    policy: Policy,
    world: World,
    principal: Principal,
    bucket: Bucket,
    classification: str,
    action: str,
) -> Decision:
    """Return what the policy says of one cell.

    Raises:
        NotFound: the policy has no such classification.
    """
    return policy.deciding(lambda: world.now_ms).decide(
        Question(
            principal=principal,
            action=action,
            bucket_id=bucket.bucket_id,
            tenant=bucket.tenant,
            classification=classification,
            level=policy.classifications.level(classification),
            store_facts=world.stores.get(bucket.store),
            purpose=principal.purpose,
            zone=world.zone,
            public=bucket.public,
        )
    )


def allowed(policy: Policy, world: World, actions: Iterable[str] = ACTIONS) -> frozenset[Cell]:
    """Return everything that the policy lets applications do in their own tenant's buckets."""
    return frozenset(_allowed(policy, world, tuple(actions)))


def _allowed(policy: Policy, world: World, actions: Sequence[str]) -> Iterator[Cell]:
    names = policy.classifications.names()
    for principal in world.principals:
        for bucket in world.buckets:
            if bucket.tenant != principal.tenant:
                continue  # a guardrail that no policy can change
            for classification in names:
                for action in actions:
                    if ask(policy, world, principal, bucket, classification, action).allowed:
                        yield Cell(principal.id, bucket.bucket_id, classification, action)


@dataclass(frozen=True, slots=True)
class Change:
    """What another policy gives and takes."""

    gained: Sequence[Cell]
    lost: Sequence[Cell]

    @property
    def apps_that_lose(self) -> Sequence[str]:
        """Which apps may do less."""
        return sorted({cell.app for cell in self.lost})


def compare(before: frozenset[Cell], after: frozenset[Cell]) -> Change:
    """Return the difference of two matrices, in order."""
    return Change(sorted(after - before), sorted(before - after))
