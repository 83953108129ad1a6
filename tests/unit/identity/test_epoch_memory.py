"""Values in memory under one epoch: who asks waits for a look only when it is due."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hyok.database.epochs import Epochs
from hyok.identity.epoch_memory import AHEAD_SECONDS, POLL_SECONDS, EpochMemory


class Slow:
    """A database that answers when it is let through; only epochs are asked of it here."""

    def __init__(self) -> None:
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.epoch = 1
        self.asked = 0
        self.epochs = Epochs(self)

    async def read(self, _act: object) -> list[int]:
        self.asked += 1
        await self.let_through.wait()
        return [self.epoch]


async def test_nobody_waits_for_a_look_while_what_is_known_still_serves() -> None:
    database, now, reads = Slow(), 100.0, 0
    memory: EpochMemory[str] = EpochMemory(cast("Any", database), "keys", monotonic=lambda: now)

    async def read() -> tuple[int, str]:
        nonlocal reads
        reads += 1
        return database.epoch, f"value {reads}"

    assert await memory.get("a", read) == "value 1"
    asked = database.asked
    database.let_through.clear()
    database.epoch = 2
    now += AHEAD_SECONDS
    for _ in range(5):
        async with asyncio.timeout(1):
            assert await memory.get("a", read) == "value 1"
    await asyncio.sleep(0)
    assert database.asked == asked + 1, "one look, for everybody"
    now += POLL_SECONDS - AHEAD_SECONDS - 0.1
    assert await memory.get("a", read) == "value 1"
    now += 0.1
    late = asyncio.create_task(memory.get("a", read))
    await asyncio.sleep(0.01)
    assert not late.done(), "it is due: who asks waits for the look"
    database.let_through.set()
    assert await late == "value 2"
