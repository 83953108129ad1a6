"""What object lock allows: the rules of retention and legal hold, as values.  Pure.

Source: Amazon S3 User Guide, "Locking objects with Object Lock"; API reference of
PutObjectRetention, PutObjectLegalHold and PutObjectLockConfiguration.
"""

from __future__ import annotations

from dataclasses import replace

from hyok.backends.port import DefaultLock, Lock
from hyok.errors import Malformed, Refused

GOVERNANCE = "GOVERNANCE"
COMPLIANCE = "COMPLIANCE"
MODES = frozenset({GOVERNANCE, COMPLIANCE})
DAY_MS = 86_400_000
YEAR_DAYS = 365
_SECOND_MS = 1000


def check_free(lock: Lock, now_ms: int, *, bypass: bool = False) -> None:
    """Return quietly if a version with this lock may be removed.

    Args:
        lock: the version's.
        now_ms: unix time, milliseconds.
        bypass: the caller may pass over a GOVERNANCE retention.

    Raises:
        Refused: it is held or retained (reason ``AccessDenied``).
    """
    retained = _retains(lock, now_ms) and not (bypass and lock.mode == GOVERNANCE)
    if lock.hold or retained:
        raise Refused(
            "object lock protects this version",
            reason="AccessDenied",
            effect="Nothing was removed or changed.",
        )


def check_asked(lock: Lock, now_ms: int) -> None:
    """Return quietly if somebody may ask for this lock.

    Raises:
        Malformed: no such mode, a mode without a date, or a date that is past (reason
            ``InvalidArgument``).
    """
    if not lock.mode and not lock.until_ms:
        return
    if lock.mode not in MODES or not lock.until_ms:
        raise Malformed(
            "a retention has a date and the mode GOVERNANCE or COMPLIANCE",
            reason="InvalidArgument",
        )
    if lock.until_ms <= now_ms:
        raise Malformed("the retain until date must be in the future", reason="InvalidArgument")


def check_default(default: DefaultLock) -> None:
    """Return quietly if a bucket can give this lock.

    Raises:
        Malformed: no such mode, or not exactly one of days and years (reason ``InvalidArgument``).
    """
    if default == DefaultLock():
        return
    one = (default.days > 0 and default.years == 0) or (default.days == 0 and default.years > 0)
    if default.mode not in MODES or not one:
        raise Malformed(
            "a default retention has the mode GOVERNANCE or COMPLIANCE, and days or years",
            reason="InvalidArgument",
        )


def first(asked: Lock, default: DefaultLock | None, now_ms: int) -> Lock:
    """Return the lock of a new version.

    Args:
        asked: what its writer wants; wins over the bucket's default.
        default: the bucket's object lock; None where it has none.
        now_ms: unix time of the write, milliseconds.

    Raises:
        Malformed: a lock in a bucket without object lock (reason ``InvalidRequest``).
    """
    if default is None:
        if asked != Lock():
            raise Malformed("the bucket has no object lock", reason="InvalidRequest")
        return asked
    if asked.mode or not default.mode:
        return replace(asked, until_ms=_whole_seconds(asked.until_ms))
    days = default.days + default.years * YEAR_DAYS
    return replace(asked, mode=default.mode, until_ms=_whole_seconds(now_ms + days * DAY_MS))


def changed(old: Lock, new: Lock, now_ms: int, *, bypass: bool = False) -> Lock:
    """Return a version's lock after the change ``new``; what it does not say stays.

    Raises:
        Refused: that would weaken a retention that holds (reason ``AccessDenied``).
    """
    hold = old.hold if new.hold is None else new.hold
    if not new.mode:
        return replace(old, hold=hold)
    until_ms = _whole_seconds(new.until_ms)
    weaker = new.mode != old.mode or until_ms < old.until_ms
    if _retains(old, now_ms) and weaker and not (bypass and old.mode == GOVERNANCE):
        raise Refused(
            "object lock keeps this version's retention from being weakened",
            reason="AccessDenied",
            effect="Nothing was changed.",
        )
    return Lock(new.mode, until_ms, hold)


def _retains(lock: Lock, now_ms: int) -> bool:
    return bool(lock.mode) and lock.until_ms > now_ms


def _whole_seconds(at_ms: int) -> int:
    """Return the time to the second; never earlier than was asked."""
    return -(-at_ms // _SECOND_MS) * _SECOND_MS
