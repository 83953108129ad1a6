"""When a store is asked again, how soon, and when not: tables over a fake clock."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from hyok.backends.retries import Overdue, Retries, RetryRules
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered, Unavailable

RULES = RetryRules(attempts_max=4, wait_seconds=1.0, wait_seconds_max=3.0, deadline_seconds=60.0)
LOST = Unavailable("reset", code="HY-4001")
BUSY = Unavailable("busy", reason="SlowDown", untouched=True)


class Clock:
    """Time that passes only in waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class Script:
    """Raises its errors one after the other, then returns 7; each attempt takes ``seconds``."""

    def __init__(self, clock: Clock, *errors: HyokError, seconds: float = 0.0) -> None:
        self.clock = clock
        self.errors = list(errors)
        self.seconds = seconds
        self.attempts = 0

    async def __call__(self) -> int:
        self.attempts += 1
        self.clock.now += self.seconds
        if self.errors:
            raise self.errors.pop(0)
        return 7


def retries(clock: Clock, rules: RetryRules = RULES, chance: float = 0.0) -> Retries:
    return Retries(rules, clock=clock, sleep=clock.sleep, chance=lambda: chance)


@pytest.mark.parametrize(
    ("errors", "attempts"),
    [((), 1), ((LOST,), 2), ((LOST, BUSY), 3), ((LOST, LOST, LOST), 4)],
)
async def test_a_passing_failure_is_tried_again(
    errors: tuple[HyokError, ...], attempts: int
) -> None:
    clock = Clock()
    script = Script(clock, *errors)
    assert await retries(clock).run(script, what="x") == 7
    assert script.attempts == attempts


@pytest.mark.parametrize(
    "error",
    [
        Conflict("no"),
        Malformed("no"),
        NotFound("no"),
        Refused("no"),
        Tampered("no"),
        Unavailable("bad credentials", code="HY-4002", lasting=True),
    ],
)
async def test_what_would_fail_again_is_not_tried_again(error: HyokError) -> None:
    clock = Clock()
    script = Script(clock, error)
    with pytest.raises(type(error)):
        await retries(clock).run(script, what="x")
    assert script.attempts == 1


async def test_a_write_that_may_have_happened_is_not_repeated_and_one_that_did_not_is() -> None:
    clock = Clock()
    with pytest.raises(Unavailable):
        await retries(clock).run(Script(clock, LOST), what="x", untouched_only=True)
    assert await retries(clock).run(Script(clock, BUSY), what="x", untouched_only=True) == 7


async def test_the_last_error_is_told_when_the_attempts_are_spent() -> None:
    clock = Clock()
    script = Script(clock, LOST, LOST, LOST, BUSY)
    with pytest.raises(Unavailable) as caught:
        await retries(clock).run(script, what="x")
    assert caught.value is BUSY
    assert script.attempts == 4


@pytest.mark.parametrize(
    ("chance", "waits"), [(0.0, [0.5, 1.0, 1.5]), (1.0, [1.0, 2.0, 3.0])], ids=["least", "most"]
)
async def test_waits_double_up_to_a_limit_and_have_jitter(
    chance: float, waits: list[float]
) -> None:
    clock = Clock()
    await retries(clock, chance=chance).run(Script(clock, LOST, LOST, LOST), what="x")
    assert clock.waits == waits


async def test_slow_down_waits_longer_and_retry_after_is_honoured() -> None:
    clock = Clock()
    await retries(clock).run(Script(clock, BUSY), what="x")
    await retries(clock).run(Script(clock, Unavailable("later", retry_after_seconds=7.0)), what="x")
    assert clock.waits == [1.5, 7.5]


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for() -> None:
    clock = Clock()
    script = Script(clock, Unavailable("much later", retry_after_seconds=61.0))
    with pytest.raises(Unavailable, match="much later"):
        await retries(clock).run(script, what="x")
    assert clock.waits == []


async def test_no_attempt_begins_after_the_deadline() -> None:
    clock = Clock()
    script = Script(clock, LOST, LOST, LOST, seconds=35.0)
    with pytest.raises(Unavailable):
        await retries(clock).run(script, what="x")
    assert script.attempts == 2


async def test_an_attempt_that_hangs_is_cut_at_the_deadline() -> None:
    made = Retries(RetryRules(deadline_seconds=0.05))
    with pytest.raises(Unavailable) as caught:
        await made.run(asyncio.Event().wait, what="x")
    assert caught.value.code == "HY-4001"


async def test_only_the_call_whose_deadline_is_over_is_cut() -> None:
    clock = Clock()
    overdue, waiting = Overdue(0.02, clock), asyncio.Event()
    early = asyncio.create_task(overdue.run(waiting.wait, clock.now + 10))
    late = asyncio.create_task(overdue.run(waiting.wait, clock.now + 20))
    await asyncio.sleep(0.1)
    assert not early.done()
    clock.now += 15
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(early, 5)
    await asyncio.sleep(0.1)
    assert not late.done()
    waiting.set()
    assert await late


async def test_who_is_cancelled_while_its_call_is_cut_stays_cancelled() -> None:
    clock = Clock()
    overdue = Overdue(0.01, clock)
    told: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:  # it takes a while to end, and meanwhile its client goes away
            task.cancel()
            await asyncio.sleep(0)

    async def ask() -> None:
        try:
            await overdue.run(slow, clock.now + 1)
        except TimeoutError:
            told.append("cut")
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    clock.now += 2
    await asyncio.wait({task}, timeout=5)
    assert told == ["cancelled"]
    assert task.cancelled()


async def test_a_call_that_was_cut_and_ends_well_leaves_no_cancellation_behind() -> None:
    clock = Clock()
    overdue = Overdue(0.01, clock)

    async def stubborn() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    waiting = asyncio.create_task(overdue.run(stubborn, clock.now + 1))
    await asyncio.sleep(0)
    clock.now += 2
    assert await asyncio.wait_for(waiting, 5) == "done"
    assert waiting.cancelling() == 0


async def test_a_cut_call_of_a_task_that_was_cancelled_before_is_told_as_overdue() -> None:
    clock = Clock()
    overdue = Overdue(0.01, clock)

    async def cancelled_and_goes_on() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await overdue.run(asyncio.Event().wait, clock.now + 1)

    task = asyncio.create_task(cancelled_and_goes_on())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    clock.now += 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 5)


async def test_the_budget_stops_retries_of_all_calls_and_comes_back_with_success() -> None:
    clock = Clock()
    rules = RetryRules(attempts_max=2, budget=2, budget_back=0.5, deadline_seconds=60.0)
    made = retries(clock, rules)
    for spent in (2, 2, 1):  # attempts: the third call finds no budget
        script = Script(clock, LOST, LOST)
        with pytest.raises(Unavailable):
            await made.run(script, what="x")
        assert script.attempts == spent
    for _ in range(2):
        assert await made.run(Script(clock), what="x") == 7
    assert await made.run(Script(clock, LOST), what="x") == 7
