"""The chores of a worker: one that fails ends no other."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hyok.chores import keep_house
from hyok.errors import Unavailable


async def nothing() -> None:
    return


async def away() -> None:
    raise Unavailable("the database does not answer")


async def broken() -> None:
    raise ZeroDivisionError


async def test_an_error_in_one_chore_ends_no_other_and_the_policy_is_looked_for() -> None:
    looked = asyncio.Event()

    async def look() -> None:
        looked.set()

    core = SimpleNamespace(
        custodian=SimpleNamespace(sweep=lambda: None),
        multipart=SimpleNamespace(forget_ended=broken),
        access_keys=SimpleNamespace(write_uses=away),
        break_glass=SimpleNamespace(end_past=nothing),
        policy=SimpleNamespace(look=look),
        shadow=SimpleNamespace(turn=nothing),
        exceptions=SimpleNamespace(tell_ended=nothing),
        stores={},
        registry=SimpleNamespace(all=_none),
    )
    task = asyncio.create_task(keep_house(cast("Any", core), lambda: 0))
    await asyncio.wait_for(looked.wait(), 5)
    assert not task.done()
    task.cancel()


async def _none() -> list[object]:
    return []
