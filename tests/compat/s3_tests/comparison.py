"""What two runs of the suite say about each other, held against the list of accepted deviations."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DEVIATIONS = Path(__file__).parents[1] / "deviations.toml"
KINDS = ("ssec", "acl", "policy", "by-design", "store", "etag", "s3")
"""SSE-C; ACL grants; bucket policy; what hyok answers otherwise on purpose; what the store lets its
own clients do although it does not hold; ETags that are no MD5; where the suite or the store does
what Amazon S3 does not."""

APART = ("ssec", "acl", "policy")
"""Counted by themselves: here a gateway that keeps the keys and decides on access must differ."""

UNLIKE_AMAZON = ("s3", "store")
"""Here the suite asks for what Amazon S3 does not do, or relies on a store that loses something."""

SUITE_FILE = "test_s3.py"
"""Where the suite has nearly all its tests; one of another file is named with it."""

TARGET = 0.97  # of what passes at the store, outside those three


@dataclass(frozen=True, slots=True)
class Result:
    """How one test ended at one door, and what it asked on the way."""

    test: str
    outcome: str  # passed | failed | skipped | error
    markers: frozenset[str] = frozenset()
    calls: Sequence[str] = ()
    requests: Sequence[str] = ()
    why: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass(frozen=True, slots=True)
class Deviation:
    """A test that may fail through the gateway, and what its failure has to show."""

    test: str
    kind: str
    reason: str
    answer: str  # found in how it fails: the test still deviates for the reason that was given
    only: tuple[str, ...] = ()  # the runs it is about, such as "radosgw" or "seaweedfs/sealed"

    def is_about(self, run: str) -> bool:
        """Does it count in a run, named by its store and the kind of names?"""
        return not self.only or any(run == one or run.startswith(f"{one}/") for one in self.only)

    def meets(self, other: Deviation) -> bool:
        """Is there a run that both are about?"""
        if not self.only or not other.only:
            return True
        return any(self.is_about(run) for run in other.only) or any(
            other.is_about(run) for run in self.only
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison found."""

    both: Sequence[str] = ()
    unlisted: Sequence[Result] = ()  # pass at the store, fail through us, not in the list
    listed: Sequence[Deviation] = ()
    otherwise: Sequence[tuple[Deviation, Result]] = ()  # deviate, but not as the list says
    stale: Sequence[Deviation] = ()  # listed, and do not deviate any more
    missing: Sequence[str] = ()  # passed at the store, and never ended through us
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # family: (through, store)
    unlike_amazon: int = 0  # of those listed, outside `APART`, the ones of `UNLIKE_AMAZON`

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many accepted deviations there are of each kind."""
        return Counter(one.kind for one in self.listed)

    @property
    def share_like_amazon(self) -> float:
        """Return the share outside `APART`, less what asks for other than Amazon S3 does.

        No measure of its own: the target is about `share`.
        """
        rows = [row for family, row in self.counts.items() if family not in APART]
        asked = sum(store for _, store in rows) - self.unlike_amazon
        return sum(through for through, _ in rows) / asked if asked else 1.0

    @property
    def holds(self) -> bool:
        """Is nothing left to look at?"""
        return not (self.unlisted or self.otherwise or self.stale or self.missing)

    def share(self, *, apart: bool) -> float:
        """Return what passes through us of what passes at the store, in or out of `APART`."""
        rows = [row for family, row in self.counts.items() if (family in APART) == apart]
        through, store = (sum(row[i] for row in rows) for i in (0, 1))
        return through / store if store else 1.0


def read_results(text: str) -> dict[str, Result]:
    """Return the results of a run by test, from one JSON line for each."""
    found = {}
    for line in text.splitlines():
        row = json.loads(line)
        row["markers"] = frozenset(row["markers"])
        found[row["test"]] = Result(**row)
    return found


def read_deviations(text: str) -> list[Deviation]:
    """Return the accepted deviations of a TOML text, where one reason stands for several tests.

    Raises:
        ValueError: a test is twice there for one run, or a reason says too little.
    """
    found: list[Deviation] = []
    for row in tomllib.loads(text).get("deviation", []):
        tests, only = row.pop("tests"), tuple(row.pop("only", ()))
        made = [Deviation(test=_full(test), only=only, **row) for test in tests]
        for one in made:
            if one.kind not in KINDS:
                raise ValueError(f"{one.test}: the kind {one.kind!r} is none of {', '.join(KINDS)}")
            if not one.reason or not one.answer:
                raise ValueError(f"{one.test} needs a reason, and a word of how it fails")
            if any(one.test == other.test and one.meets(other) for other in found):
                raise ValueError(f"{one.test} is listed twice")
            found.append(one)
    return found


def _full(test: str) -> str:
    return test if "::" in test else f"{SUITE_FILE}::{test}"


def family_of(result: Result) -> str:
    """Return the family of a test, by what it asks: one of `APART`, or "rest"."""
    asked = " ".join(result.requests)
    if "x-amz-server-side-encryption-customer-" in asked:
        return "ssec"
    if any(f"{method} ?policy" in asked for method in ("PUT", "GET", "DELETE")):
        return "policy"
    if "publicAccessBlock" in asked:
        return "policy"
    if "x-amz-acl" in asked or "x-amz-grant-" in asked or "?acl" in asked:
        return "acl"
    if "ownershipControls" in asked:
        return "acl"
    return "rest"


def compare(
    run: str,
    at_store: Mapping[str, Result],
    through: Mapping[str, Result],
    deviations: Iterable[Deviation],
) -> Verdict:
    """Return what differs between the doors, and what of it was accepted."""
    wanted = {name: result for name, result in at_store.items() if result.passed}
    listed = {one.test: one for one in deviations if one.is_about(run)}
    return Verdict(
        both=[name for name in wanted if name in through and through[name].passed],
        unlisted=[
            through[name]
            for name in wanted
            if name in through and not through[name].passed and name not in listed
        ],
        listed=[listed[name] for name in wanted if name in listed],
        otherwise=[
            (listed[name], through[name])
            for name in wanted
            if name in listed
            and name in through
            and not through[name].passed
            and listed[name].answer not in shown(through[name])
        ],
        stale=[
            deviation
            for name, deviation in listed.items()
            if name not in wanted or (name in through and through[name].passed)
        ],
        missing=[name for name in wanted if name not in through],
        counts=_counts(wanted, through),
        unlike_amazon=sum(
            listed[name].kind in UNLIKE_AMAZON and family_of(result) not in APART
            for name, result in wanted.items()
            if name in listed
        ),
    )


def shown(result: Result) -> str:
    """Return everything that is known of a failure, to look for a word in."""
    return "\n".join([*result.calls, result.why])


def _counts(
    wanted: Mapping[str, Result], through: Mapping[str, Result]
) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for name, result in wanted.items():
        family = family_of(result)
        passed, all_of_it = counts.get(family, (0, 0))
        ours = name in through and through[name].passed
        counts[family] = (passed + ours, all_of_it + 1)
    return counts
