"""When an object expires, by which rule of its bucket, and what a client is told of it.

Every time is unix milliseconds.  A number of days ends at the midnight UTC that follows it, so that
nothing goes a moment too early.

Source: Amazon S3 User Guide, "Expiring objects", "Lifecycle rules: based on an object's age",
"Managing the lifecycle of objects" (versions); the header ``x-amz-expiration`` of PutObject.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from hyok.s3.lifecycle import DAY_MS, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TELLABLE_MS_MAX = 253_402_300_799_000  # the end of the year 9999
HEADER = "x-amz-expiration"


@dataclass(frozen=True, slots=True)
class Expiry:
    """When an object expires, and by which rule."""

    at_ms: int
    rule_id: str


def end_of(moment_ms: int, days: int, day_ms: int = DAY_MS) -> int:
    """Return the midnight that follows ``days`` after a moment.

    ``day_ms``: the length of a day, which only a development installation shortens.
    """
    return (moment_ms // day_ms + days + 1) * day_ms


def expiry_of(
    rules: Sequence[Rule],
    key: str,
    size: int,
    modified_ms: int,
    tags: Mapping[str, str] | None,
    day_ms: int = DAY_MS,
) -> Expiry | None:
    """Return when the current version of an object expires first; None: never.

    ``tags`` None: not known; then it is when it would with every tag that a rule asks for.
    """
    found: Expiry | None = None
    for rule in _enabled(rules):
        at_ms = _current(rule, modified_ms, day_ms)
        sooner = at_ms is not None and (found is None or at_ms < found.at_ms)
        if sooner and rule.filter.matches(key, size, tags):
            assert at_ms is not None
            found = Expiry(at_ms, rule.id)
    return found


def noncurrent_expiry_of(
    rules: Sequence[Rule],
    key: str,
    size: int,
    since_ms: int,
    newer: int,
    tags: Mapping[str, str] | None,
    day_ms: int = DAY_MS,
) -> Expiry | None:
    """Return when a version that is no longer current goes for good; None: never.

    ``since_ms``: when the version above it was made; ``newer``: how many of the noncurrent ones are
    newer; ``tags`` as `expiry_of`.
    """
    found: Expiry | None = None
    for rule in _enabled(rules):
        days = rule.noncurrent_days
        if days is None or newer < (rule.newer_noncurrent or 0):
            continue
        at_ms = end_of(since_ms, days, day_ms)
        if (found is None or at_ms < found.at_ms) and rule.filter.matches(key, size, tags):
            found = Expiry(at_ms, rule.id)
    return found


def marker_expiry_of(
    rules: Sequence[Rule], key: str, modified_ms: int, day_ms: int = DAY_MS
) -> Expiry | None:
    """Return when a delete marker goes below which no version is left; None: never."""
    found: Expiry | None = None
    for rule in _enabled(rules):
        if rule.filter.by_tags or rule.filter.by_size:
            continue  # a marker has neither
        at_ms = modified_ms if rule.expired_marker else _current(rule, modified_ms, day_ms)
        sooner = at_ms is not None and (found is None or at_ms < found.at_ms)
        if sooner and rule.filter.matches(key, None, None):
            assert at_ms is not None
            found = Expiry(at_ms, rule.id)
    return found


def upload_expiry_of(
    rules: Sequence[Rule], key: str, begun_ms: int, day_ms: int = DAY_MS
) -> Expiry | None:
    """Return when an upload that was not completed is given up; None: by no rule."""
    ends = [
        Expiry(end_of(begun_ms, rule.abort_days, day_ms), rule.id)
        for rule in _enabled(rules)
        if rule.abort_days is not None and rule.filter.matches(key, None, None)
    ]
    return min(ends, key=lambda end: end.at_ms, default=None)


def wants_tags(rules: Sequence[Rule], key: str) -> bool:
    """Does it take the tags of this object to know when it expires?"""
    return any(
        rule.filter.by_tags and rule.filter.matches(key, None, None) for rule in _enabled(rules)
    )


def common_prefix(rules: Sequence[Rule]) -> str:
    """Return the longest prefix that every key has which an enabled rule may be about."""
    prefixes = [max(rule.filter.prefixes, key=len) for rule in _enabled(rules)]
    low, high = min(prefixes, default=""), max(prefixes, default="")
    same = 0
    while same < len(low) and low[same] == high[same]:
        same += 1
    return low[:same]


def is_enabled(rules: Sequence[Rule]) -> bool:
    """Is there anything to do?"""
    return any(rule.enabled for rule in rules)


def expiration_headers(expiry: Expiry | None) -> list[tuple[str, str]]:
    """Return what tells when an object expires; nothing where it never does."""
    if expiry is None or not 0 <= expiry.at_ms <= _TELLABLE_MS_MAX:
        return []
    date = formatdate(expiry.at_ms // 1000, usegmt=True)
    return [(HEADER, f'expiry-date="{date}", rule-id="{quote(expiry.rule_id, safe="")}"')]


def _enabled(rules: Sequence[Rule]) -> Iterator[Rule]:
    return (rule for rule in rules if rule.enabled)


def _current(rule: Rule, modified_ms: int, day_ms: int) -> int | None:
    if rule.days is not None:
        return end_of(modified_ms, rule.days, day_ms)
    return rule.date_ms
