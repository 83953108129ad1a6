"""As many places as it was made with, whatever becomes of those who wait for one."""

from __future__ import annotations

import asyncio

import pytest

from hyok.hsm.semaphore import Semaphore

SHORT = 0.02


async def free_places(semaphore: Semaphore) -> int:
    """Return how many places can be had now, and give them back."""
    taken = 0
    try:
        while True:
            await semaphore.acquire(SHORT)
            taken += 1
    except TimeoutError:
        for _ in range(taken):
            semaphore.release()
    return taken


async def test_no_more_than_its_places_are_had_at_once() -> None:
    semaphore, inside, most = Semaphore(3), 0, 0

    async def work() -> None:
        nonlocal inside, most
        await semaphore.acquire(5)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        semaphore.release()

    await asyncio.gather(*(work() for _ in range(50)))
    assert most == 3
    assert await free_places(semaphore) == 3


async def test_who_came_first_is_served_first() -> None:
    semaphore, served = Semaphore(1), []
    await semaphore.acquire(1)

    async def wait(number: int) -> None:
        await semaphore.acquire(5)
        served.append(number)
        semaphore.release()

    tasks = [asyncio.create_task(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    semaphore.release()
    await asyncio.gather(*tasks)
    assert served == [0, 1, 2, 3, 4]


async def test_who_waited_too_long_is_told_and_takes_no_place() -> None:
    semaphore = Semaphore(1)
    await semaphore.acquire(1)
    with pytest.raises(TimeoutError):
        await semaphore.acquire(SHORT)
    semaphore.release()
    assert await free_places(semaphore) == 1


async def test_one_who_gives_up_waiting_loses_no_place() -> None:
    semaphore = Semaphore(1)
    await semaphore.acquire(1)
    waiting = asyncio.create_task(semaphore.acquire(5))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    semaphore.release()
    assert await free_places(semaphore) == 1


async def test_a_place_that_comes_as_its_taker_is_cancelled_goes_on() -> None:
    semaphore = Semaphore(1)
    await semaphore.acquire(1)
    waiting = asyncio.create_task(semaphore.acquire(5))
    await asyncio.sleep(0)
    semaphore.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await free_places(semaphore) == 1
