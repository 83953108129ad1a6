"""Object lock between the words of S3 and those of the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import NO_LOCK as NOT_LOCKED
from hyok.backends.port import DefaultLock, Lock
from hyok.errors import Malformed
from hyok.s3.locks import LockAsked, LockConfiguration, Mode, Retention

if TYPE_CHECKING:
    from hyok.objects.places import Place

NO_LOCK = LockAsked()
_MODES = frozenset(mode.value for mode in Mode)


def store_lock(asked: LockAsked) -> Lock:
    """Return what a store is told of a version's lock."""
    if asked == NO_LOCK:
        return NOT_LOCKED
    if asked.retention is None:
        return Lock(hold=asked.legal_hold)
    return Lock(asked.retention.mode.value, asked.retention.until_ms, asked.legal_hold)


def told_lock(lock: Lock) -> LockAsked:
    """Return what a store tells of a version's lock; a mode that nobody knows is none."""
    if not lock.mode and lock.hold is None:
        return NO_LOCK
    known = lock.mode in _MODES
    retention = Retention(Mode(lock.mode), lock.until_ms) if known else None
    return LockAsked(retention, lock.hold)


def still_holding(lock: LockAsked, now_ms: int) -> LockAsked:
    """Return the lock that goes along with a version made in another's place.

    A retention that has passed does not.
    """
    retention = lock.retention
    if retention is not None and retention.until_ms <= now_ms:
        retention = None
    return LockAsked(retention, lock.legal_hold)


def default_lock(configuration: LockConfiguration) -> DefaultLock:
    """Return what a store is told of a bucket's default retention."""
    mode = "" if configuration.mode is None else configuration.mode.value
    return DefaultLock(mode, configuration.days, configuration.years)


def told_configuration(default: DefaultLock) -> LockConfiguration:
    """Return what a store tells of a bucket's default retention."""
    if not default.mode:
        return LockConfiguration()
    return LockConfiguration(Mode(default.mode), default.days, default.years)


async def check_lockable(place: Place, asked: LockAsked) -> None:
    """Return quietly if a version written here may have this lock.

    Stores differ in what they do with a lock in a bucket without object lock, so it is asked.

    Raises:
        Malformed: the bucket has no object lock (reason ``InvalidRequest``).
    """
    if asked != NO_LOCK and await place.store.object_lock(place.bucket) is None:
        raise no_object_lock()


def no_object_lock() -> Malformed:
    """Return the error of a bucket without object lock."""
    return Malformed("Bucket is missing Object Lock Configuration", reason="InvalidRequest")
