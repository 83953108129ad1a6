"""What a policy would do to what an installation has: classes, apps and stores.  Pure.

Source: docs/policies.md.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import NotFound
from hyok.policy.cedar import store_bars
from hyok.policy.classify import effective
from hyok.policy.exceptions import StoreLift
from hyok.policy.matrix import allowed, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hyok.policy.bundle import Policy
    from hyok.policy.classifications import Classifications
    from hyok.policy.matrix import Cell, World
    from hyok.vocabulary import Bucket

GONE = "(none)"
"""Stands for the class of what the candidate could give none."""


@dataclass(frozen=True, slots=True, order=True)
class Barred:
    """A store that may not have a classification of a bucket, by a guardrail.

    ``by_itself``: the bucket gives this class without any label of an application.
    """

    store: str
    bucket: str
    classification: str
    by: str
    by_itself: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would come of a policy for what is registered; objects are counted by `Reclassed`."""

    lost: Sequence[Cell]
    illegal: Sequence[Barred]
    illegal_already: Sequence[Barred]
    labels: Mapping[str, tuple[str, str]]
    unknown_stores: Sequence[str]

    @property
    def apps_that_lose(self) -> Sequence[str]:
        """Which apps may do less in a bucket, with a class that it takes."""
        return sorted({cell.app for cell in self.lost})

    @property
    def stores_that_become_illegal(self) -> Sequence[str]:
        """Which stores may not have what they may have today."""
        return sorted({one.store for one in self.illegal})


class Reclassed:
    """Counts the objects of a bucket that get another class; for what stands there in clear."""

    def __init__(self, before: Policy, after: Policy, bucket: Bucket) -> None:
        self._before, self._after = before.classifications, after.classifications
        self._bucket = bucket
        self._known: dict[tuple[str, ...], tuple[str, str]] = {}
        self.looked_at = 0
        self.changed: Counter[tuple[str, str]] = Counter()

    @property
    def is_settled(self) -> bool:
        """Whether no name of an object can make a difference, and none changes."""
        return not self._bucket.prefix_rules and len(set(self._classes(()))) == 1

    def count(self, name: str) -> None:
        """Take one object by its clear key."""
        fitting = tuple(prefix for prefix in self._bucket.prefix_rules if name.startswith(prefix))
        if fitting not in self._known:
            self._known[fitting] = self._classes(fitting)
        before, after = self._known[fitting]
        self.looked_at += 1
        if before != after:
            self.changed[before, after] += 1

    def _classes(self, prefixes: tuple[str, ...]) -> tuple[str, str]:
        before, after = (
            _class(rules, self._bucket, prefixes) for rules in (self._before, self._after)
        )
        return before, after


def rehearse(before: Policy, after: Policy, world: World) -> Rehearsal:
    """Return what ``after`` would do to the registered apps, buckets and stores."""
    taken = {bucket.bucket_id: classes_of(bucket) for bucket in world.buckets}
    change = compare(allowed(before, world), allowed(after, world))
    was, would = set(_barred(before, world)), set(_barred(after, world))
    return Rehearsal(
        lost=[cell for cell in change.lost if cell.classification in taken[cell.bucket]],
        illegal=sorted(would - was),
        illegal_already=sorted(would & was),
        labels=_labels(before.classifications, after.classifications),
        unknown_stores=sorted({b.store for b in world.buckets} - set(world.stores)),
    )


def classes_of(bucket: Bucket) -> frozenset[str]:
    """Return the classifications that a bucket takes."""
    return frozenset({bucket.classification, *bucket.allowed, *bucket.prefix_rules.values()})


def _barred(policy: Policy, world: World) -> Iterator[Barred]:
    known = set(policy.classifications.names())
    for bucket in world.buckets:
        facts = world.stores.get(bucket.store)
        by_itself = {bucket.classification, *bucket.prefix_rules.values()}
        for name in classes_of(bucket) & known if facts is not None else ():
            rule = policy.classifications.get(name)
            if rule.denied or facts is None:
                continue
            lifted = {
                one.lifts.lifted
                for one in policy.exceptions
                if isinstance(one.lifts, StoreLift)
                and (one.lifts.bucket, one.lifts.classification) == (bucket.bucket_id, name)
                and world.now_ms < one.ends_ms
            }
            for guardrail in set(store_bars(rule, facts, world.zone)) - lifted:
                yield Barred(bucket.store, bucket.bucket_id, name, guardrail, name in by_itself)


def _labels(before: Classifications, after: Classifications) -> Mapping[str, tuple[str, str]]:
    """Return the labels of applications that would mean another class."""
    words = sorted({*before.labels(), *after.labels()})
    meant = {word: (before.by_label(word) or GONE, after.by_label(word) or GONE) for word in words}
    return {word: pair for word, pair in meant.items() if pair[0] != pair[1]}


def _class(rules: Classifications, bucket: Bucket, prefixes: tuple[str, ...]) -> str:
    """Return the class of an object without labels, under these prefix rules of its bucket."""
    try:
        names = [bucket.prefix_rules[prefix] for prefix in prefixes]
        highest = max(names, key=rules.level, default=None)
        found: str = effective(
            rules, bucket_default=bucket.classification, prefix_rule=highest, labels=()
        )
        return found if found in rules.names() else GONE
    except NotFound:
        return GONE
