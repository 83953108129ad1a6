"""Decisions of the past, decided anew: what another policy would have said of them.  Pure.

A record says who asked what of which bucket and class, and what was answered; the rest of a
question comes from the registrations of today.  Where the policy of today does not come to the
recorded answer, something has changed since, and the record is counted apart.

Source: docs/policies.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.policy.decision import Question
from hyok.policy.shadow import Verdict
from hyok.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.policy.bundle import Policy
    from hyok.policy.decision import Decision
    from hyok.policy.matrix import World
    from hyok.vocabulary import Bucket

NO_APP = "the app is not registered any more"
NO_BUCKET = "the bucket is not registered any more"
NO_KIND = "who asked was no app, officer or anonymous reader"
NO_CLASS = "the policy in force does not know the class"
NO_CLASS_THEN = "the candidate does not know the class"
OTHERWISE = "decided otherwise today: registration, bucket, store or policy changed since"
OFFICER_CLEARANCE = 100


@dataclass(frozen=True, slots=True, order=True)
class PastDecision:
    """What a record of the audit log says of one decision."""

    actor: str
    kind: str
    tenant: str
    action: str
    bucket_id: str
    classification: str
    allowed: bool
    approved: bool = False
    break_glass: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Changed:
    """Decisions that would come out otherwise; ``by``: the rules that would say so."""

    verdict: str
    app: str
    bucket_id: str
    action: str
    by: str


@dataclass(slots=True)
class Replayed:
    """What came of a replay: records in each, not different decisions."""

    same: int = 0
    changed: Counter[Changed] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """How many records there were."""
        return self.same + self.changed.total() + self.skipped.total()


def replay(
    before: Policy,
    after: Policy,
    world: World,
    decisions: Mapping[PastDecision, int],
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> Replayed:
    """Return what ``after`` would change of what was decided, beside ``before``.

    ``tell`` is called with the different decisions gone through, and all there are.
    """
    apps = {principal.id: principal for principal in world.principals}
    buckets = {bucket.bucket_id: bucket for bucket in world.buckets}
    found = Replayed()
    for done, (past, count) in enumerate(sorted(decisions.items()), 1):
        word = _one(before, after, world, past, apps, buckets)
        if isinstance(word, Changed):
            found.changed[word] += count
        elif word:
            found.skipped[word] += count
        else:
            found.same += count
        tell(done, len(decisions))
    return found


def _one(
    before: Policy,
    after: Policy,
    world: World,
    past: PastDecision,
    apps: Mapping[str, Principal],
    buckets: Mapping[str, Bucket],
) -> Changed | str:
    """Return what would change, or why that cannot be said; empty: nothing would."""
    bucket = buckets.get(past.bucket_id)
    if past.bucket_id and bucket is None:
        return NO_BUCKET
    principal = _principal(past, apps)
    if isinstance(principal, str):
        return principal
    for policy, said in ((before, NO_CLASS), (after, NO_CLASS_THEN)):
        if past.classification and past.classification not in policy.classifications.names():
            return said
    now = _decide(before, world, past, principal, bucket)
    if now.allowed is not past.allowed:
        return OTHERWISE
    then = _decide(after, world, past, principal, bucket)
    if then.allowed is now.allowed:
        return ""
    verdict = Verdict.WOULD_ALLOW if then.allowed else Verdict.WOULD_DENY
    by = ",".join(then.reasons) or "no rule permits it"
    return Changed(verdict, past.actor, past.bucket_id, past.action, by)


def _principal(past: PastDecision, apps: Mapping[str, Principal]) -> Principal | str:
    if past.kind == "app":
        return apps.get(past.actor, NO_APP)
    if past.kind == "officer":
        return Principal(past.actor, past.tenant, "officer", clearance=OFFICER_CLEARANCE)
    if past.kind == "anonymous":
        return Principal(past.actor, past.tenant, "anonymous")
    return NO_KIND


def _decide(
    policy: Policy,
    world: World,
    past: PastDecision,
    principal: Principal,
    bucket: Bucket | None,
) -> Decision:
    question = Question(
        principal=principal,
        action=past.action,
        bucket_id=past.bucket_id,
        tenant=bucket.tenant if bucket is not None else principal.tenant,
        classification=past.classification,
        level=policy.classifications.level(past.classification) if past.classification else 0,
        store_facts=world.stores.get(bucket.store) if bucket is not None else None,
        purpose=principal.purpose,
        zone=world.zone,
        public=bucket is not None and bucket.public,
        approved=past.approved,
        break_glass=past.break_glass,
    )
    return policy.deciding(lambda: world.now_ms).decide(question)
