"""Findings: what trials of a store showed in its buckets, and for how long that is believed.

A trial that the store did not let us finish showed nothing.  It is told as a failure that passes,
made again once a moment is over, and never remembered as something that the store cannot do.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from hyok.backends.s3_answers import BROKEN
from hyok.errors import HyokError, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

AGE_SECONDS_MAX = 86_400.0
"""What was found longer ago is tried again: the store may be another version by now."""

PAUSE_SECONDS = 2.0
"""A store that did not let a trial be finished is not tried again before."""

REFUSED_REQUEST = "HY-4006"
REFUSED_CREDENTIALS = "HY-4002"


def is_unfinished(error: HyokError) -> bool:
    """Did a trial end without showing anything of what the store can do?

    A refusal in words (a 4xx, a 501) shows something, and so does a success that breaks the
    protocol (radosgw, where Completes race).  No answer, a cut one, a 5xx, a refusal of our
    credentials and a bucket that is gone do not.
    """
    if isinstance(error, Unavailable):
        return error.code not in {REFUSED_REQUEST, BROKEN}
    return isinstance(error, NotFound) and error.reason == "NoSuchBucket"


async def tried(trial: Awaitable[bool]) -> bool:
    """Return the trial's result; a store that refuses the request as such cannot do it.

    Raises:
        HyokError: the trial could not be finished.
    """
    try:
        return await trial
    except HyokError as error:
        if is_unfinished(error):
            raise
        return False


def unfinished(error: HyokError, pause_seconds: float) -> HyokError:
    """Return what a client is told whose request waits for a trial that ``error`` ended."""
    if not isinstance(error, Unavailable) or error.lasting:
        return error  # people help, another attempt does not
    return Unavailable(
        "The store was too busy to show whether it can do this.",
        reason="SlowDown",
        code="HY-2480",
        effect="Nothing was written.",
        next_step="try again; look at the store if it stays so",
        untouched=True,
        retry_after_seconds=max(pause_seconds, error.retry_after_seconds),
    )


@dataclass(frozen=True, slots=True)
class Finding(Generic[T]):
    """What was seen, and until when (unix time, seconds) it is believed."""

    value: T
    until: float


class Findings(Generic[T]):
    """The findings of one kind of trial, by bucket and by what the store says of itself.

    Args:
        clock: unix time, seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._found: dict[tuple[str, str], Finding[T]] = {}
        self._failed: dict[tuple[str, str], tuple[float, HyokError]] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    def known(self, bucket: str, server: str) -> T | None:
        """Return what is believed now; None where nothing is."""
        found = self._found.get((bucket, server))
        if found is None or not 0 <= found.until - self._clock() <= AGE_SECONDS_MAX:
            return None
        return found.value

    def values(self) -> list[T]:
        """Return what was seen in all buckets."""
        return [found.value for found in self._found.values()]

    def check_pause(self, bucket: str, server: str) -> None:
        """Return quietly if a trial may be made now.

        Raises:
            HyokError: one could not be finished a moment ago.
        """
        again, failure = self._failed.get((bucket, server), (0.0, None))
        left = again - self._clock()
        if failure is not None and 0 < left <= PAUSE_SECONDS:
            raise unfinished(failure, left) from failure

    async def of(self, bucket: str, server: str, trial: Callable[[], Awaitable[Finding[T]]]) -> T:
        """Return what is believed of a bucket, after a trial where that is nothing.

        Raises:
            HyokError: the trial could not be finished, now or a moment ago.
        """
        known = self.known(bucket, server)
        if known is not None:
            return known
        place = bucket, server
        async with self._locks[place]:
            known = self.known(bucket, server)
            if known is not None:
                return known
            self.check_pause(bucket, server)
            try:
                self._found[place] = await trial()
            except HyokError as error:
                self._failed[place] = self._clock() + PAUSE_SECONDS, error
                raise unfinished(error, PAUSE_SECONDS) from error
            self._failed.pop(place, None)
            return self._found[place].value
