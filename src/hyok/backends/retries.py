"""Retries: how often, how long and how soon a call to a store is made again.

Which calls may be made again is `resilient.py`'s to say.  What stops a retry: the attempts, the
deadline over all of them, an error that would come again, and the budget, so that a store in
trouble is not asked several times as much by all of us at once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import structlog

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
LOOKS_A_DEADLINE = 50  # so a call of 50 s is cut within a second
log = structlog.get_logger("hyok.backends")


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Times are in seconds."""

    attempts_max: int = 4
    wait_seconds: float = 0.1  # before the second attempt; doubled before each further one
    wait_seconds_max: float = 5.0
    slow_down_seconds: float = 1.0  # at least, after SlowDown
    deadline_seconds: float = 50.0  # from the first attempt to the end of the last
    budget: int = 100  # retries that may be spent at once
    budget_back: float = 0.1  # of a retry, for each call that went well


class _Call:
    """A call on its way: in whose task, until when, and whether it was cut."""

    __slots__ = ("_cancelled_before", "_task", "cut", "deadline")

    def __init__(self, task: asyncio.Task[object], deadline: float) -> None:
        self._task = task
        self._cancelled_before = task.cancelling()
        self.deadline = deadline
        self.cut = False

    def end(self) -> None:
        """Break it off."""
        self.cut = True
        self._task.cancel()

    def took_it(self) -> bool:
        """Take the cancellation back; return whether it was ours and nobody else's beside it."""
        return self.cut and self._task.uncancel() <= self._cancelled_before


class Overdue:
    """Cuts calls that outlast their deadline; it looks at all of them now and then.

    A timer for each call, or an `asyncio.timeout` without one, would cost more than all else that
    is done here for one that goes well.

    Args:
        seconds_between: two looks, so a call may last that much longer.
        clock: seconds, monotonic.
    """

    def __init__(self, seconds_between: float, clock: Callable[[], float]) -> None:
        self._seconds_between = seconds_between
        self._clock = clock
        self._open: set[_Call] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, call: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Return what ``call`` returns.

        Raises:
            TimeoutError: it was cut.
        """
        task = asyncio.current_task()
        assert task is not None
        mine = _Call(task, deadline)
        self._open.add(mine)
        if self._timer is None:
            self._set()
        taken = False
        try:
            return await call()
        except asyncio.CancelledError:
            taken = True
            if mine.took_it():
                raise TimeoutError from None
            raise
        finally:
            self._open.discard(mine)
            if not taken:
                mine.took_it()

    def _set(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds_between, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock()
        for call in [call for call in self._open if call.deadline <= now]:
            self._open.discard(call)
            call.end()
        if self._open:
            self._set()


def _chance() -> float:
    return secrets.randbelow(1 << 20) / (1 << 20)


class Retries:
    """The retries of one store.  On one loop.

    Args:
        rules: the limits.
        clock: seconds, monotonic.
        sleep: waits so many seconds.
        chance: a number in [0, 1), for the jitter.
    """

    def __init__(
        self,
        rules: RetryRules,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = _chance,
    ) -> None:
        self.rules = rules
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._budget = float(rules.budget)
        self._overdue = Overdue(rules.deadline_seconds / LOOKS_A_DEADLINE, clock)

    async def run(
        self,
        call: Callable[[], Awaitable[T]],
        *,
        what: str,
        untouched_only: bool = False,
        bounded: bool = True,
    ) -> T:
        """Return what ``call`` returns, the last time.

        Args:
            call: makes one attempt.
            what: the operation, for the log.
            untouched_only: only an attempt of which the store did nothing may be made again.
            bounded: an attempt is cut at the deadline; else it has a longer one of its own.

        Raises:
            Unavailable: of the last attempt.
        """
        deadline = self._clock() + self.rules.deadline_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                result = await self._attempt(call, deadline if bounded else None)
            except Unavailable as error:
                wait = self._wait(attempt, error)
                if (
                    error.lasting
                    or (untouched_only and not error.untouched)
                    or attempt >= self.rules.attempts_max
                    or self._clock() + wait >= deadline
                    or self._budget < 1
                ):
                    raise
                self._budget -= 1
                log.warning(
                    "store.retry", operation=what, attempt=attempt, error=error.code, wait=wait
                )
            else:
                self._budget = min(float(self.rules.budget), self._budget + self.rules.budget_back)
                return result
            await self._sleep(wait)

    async def _attempt(self, call: Callable[[], Awaitable[T]], deadline: float | None) -> T:
        try:
            if deadline is None:
                return await call()
            return await self._overdue.run(call, deadline)
        except TimeoutError as error:
            raise Unavailable(
                "The store does not answer in time.",
                reason="ServiceUnavailable",
                code="HY-4001",
                lasting=True,  # there is no time left
            ) from error

    def _wait(self, attempt: int, error: Unavailable) -> float:
        """Return the wait before the next attempt; never shorter than the store asks for."""
        longest = min(self.rules.wait_seconds * 2.0 ** (attempt - 1), self.rules.wait_seconds_max)
        wait = longest * (0.5 + self._chance() / 2)
        if error.reason == "SlowDown":
            wait += self.rules.slow_down_seconds
        if error.retry_after_seconds:
            # On top of it: all who were sent away together should not come back together.
            wait += error.retry_after_seconds
        return wait
