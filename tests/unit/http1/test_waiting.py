"""Every wait has its limit, though a connection has one timer that is seldom set."""

from __future__ import annotations

import asyncio

import pytest

from hyok.http1.waiting import Waiting


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_wait_ends_at_its_limit_and_not_before() -> None:
    waiting, began = Waiting(), now()
    with pytest.raises(TimeoutError):
        await waiting.wait(began + 0.1)
    assert 0.09 <= now() - began < 1
    waiting.close()


async def test_a_wait_may_be_shorter_than_the_one_before_it() -> None:
    waiting, began = Waiting(), now()
    asyncio.get_running_loop().call_soon(waiting.wake)
    await waiting.wait(began + 60)
    with pytest.raises(TimeoutError):
        await waiting.wait(now() + 0.1)
    assert now() - began < 1
    waiting.close()


async def test_a_timer_that_rings_early_cuts_no_wait_short() -> None:
    """The timer of the first wait rings amid the second, which has time left."""
    waiting, began = Waiting(), now()
    asyncio.get_running_loop().call_soon(waiting.wake)
    await waiting.wait(began + 0.1)
    with pytest.raises(TimeoutError):
        await waiting.wait(began + 0.3)
    assert now() - began >= 0.29
    waiting.close()


async def test_a_timer_that_rings_when_nobody_waits_ends_no_later_wait() -> None:
    waiting = Waiting()
    asyncio.get_running_loop().call_soon(waiting.wake)
    await waiting.wait(now() + 0.05)
    await asyncio.sleep(0.1)
    asyncio.get_running_loop().call_later(0.1, waiting.wake)
    await waiting.wait(now() + 60)
    waiting.close()


async def test_a_wait_that_is_cancelled_leaves_room_for_the_next() -> None:
    waiting = Waiting()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting.wait(now() + 60)
    with pytest.raises(TimeoutError):
        await waiting.wait(now() + 0.05)
    waiting.close()
