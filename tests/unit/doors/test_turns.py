"""Requests take their turn at a door: so many at once, each in its time, each answered."""

from __future__ import annotations

import asyncio

import pytest

from hyok.doors.turns import Turns, Unserved
from hyok.errors import HyokError, NotFound, Unavailable


def turns(most: int = 2, *, reachable: bool = True) -> Turns:
    return Turns(in_flight_max=most, answer_seconds=0.05, reachable=lambda: reachable, away="Gone")


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def said(why: Exception | Unserved) -> str:
    return why.name if isinstance(why, Unserved) else repr(why)


async def test_one_more_than_the_door_takes_is_not_begun_and_a_place_is_given_back() -> None:
    door, go = turns(2), asyncio.Event()

    async def wait() -> str:
        await go.wait()
        return "served"

    async def never() -> str:
        raise AssertionError("begun all the same")

    inside = [asyncio.create_task(door.take(soon(), wait, said)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await door.take(soon(), never, said) == "TOO_MANY"
    go.set()
    assert await asyncio.gather(*inside) == ["served", "served"]
    assert await door.take(soon(), wait, said) == "served"


@pytest.mark.parametrize("error", [NotFound("no such key"), RuntimeError("a bug")])
async def test_what_failed_is_handed_on_and_leaves_its_place(error: Exception) -> None:
    door = turns(1)

    async def fail() -> str:
        raise error

    for _ in range(3):
        assert await door.take(soon(), fail, said) == repr(error)


async def test_an_answer_that_comes_too_late_is_not_waited_for() -> None:
    door = turns(1)

    async def hang() -> str:
        await asyncio.sleep(60)
        return "late"

    for _ in range(2):
        assert await door.take(soon(0.01), hang, said) == "LATE"


async def test_who_is_torn_down_leaves_its_place_and_is_not_answered() -> None:
    door = turns(1)

    async def hang() -> str:
        await asyncio.sleep(60)
        return ""

    task = asyncio.create_task(door.take(soon(), hang, said))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async def serve() -> str:
        return "served"

    assert await door.take(soon(), serve, said) == "served"


async def test_the_hsm_has_what_is_left_and_never_nothing() -> None:
    door = turns()
    assert 0.9 < door.seconds(soon(1.0)) <= 0.95
    assert door.seconds(soon(-1.0)) == 0.05


async def test_nobody_waits_for_an_hsm_that_is_known_to_be_away() -> None:
    turns().check_reachable()
    with pytest.raises(Unavailable) as told:
        turns(reachable=False).check_reachable()
    error: HyokError = told.value
    assert (error.code, error.reason) == ("HY-2608", "Gone")
