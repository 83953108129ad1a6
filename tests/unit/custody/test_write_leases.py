"""Writes of an IK are counted by the thousand, and asked for once by all who need one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from hyok.custody.write_leases import AHEAD, LEASE, WriteLeases
from hyok.errors import Unavailable

IK, OTHER = b"i" * 16, b"o" * 16
MANY = 1 << 20


@dataclass
class Number:
    """The number of every IK; ``open``: whether the database answers by itself."""

    taken: dict[bytes, int] = field(default_factory=dict)
    asked: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    away: bool = False

    async def take(self, ik_id: bytes, count: int, writes_max: int) -> bool:
        self.asked += 1
        await self.gate.wait()
        if self.away:
            raise Unavailable("The database does not answer.")
        if self.taken.get(ik_id, 0) + count > writes_max:
            return False
        self.taken[ik_id] = self.taken.get(ik_id, 0) + count
        return True


@pytest.fixture
def number() -> Number:
    made = Number()
    made.gate.set()
    return made


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_all_who_find_no_write_left_share_one_question(number: Number) -> None:
    number.gate.clear()
    leases = WriteLeases(number)
    asking = [asyncio.create_task(leases.take("scope", IK, MANY)) for _ in range(64)]
    await settled()
    number.gate.set()
    assert await asyncio.gather(*asking) == [True] * 64
    assert (number.asked, number.taken[IK]) == (1, LEASE)


async def test_more_than_one_lease_of_askers_ask_as_often_as_they_need(number: Number) -> None:
    number.gate.clear()
    leases = WriteLeases(number)
    asking = [asyncio.create_task(leases.take("scope", IK, MANY)) for _ in range(2 * LEASE)]
    await settled()
    number.gate.set()
    assert all(await asyncio.gather(*asking))
    assert 2 * LEASE <= number.taken[IK] <= 3 * LEASE


async def test_the_next_lease_is_there_before_the_last_is_used_up(number: Number) -> None:
    leases = WriteLeases(number)
    for _ in range(LEASE - AHEAD):
        assert await leases.take("scope", IK, MANY)
    await settled()
    assert number.taken[IK] == 2 * LEASE
    number.gate.clear()  # from here on nobody may have to wait
    for _ in range(LEASE):
        async with asyncio.timeout(5):
            assert await leases.take("scope", IK, MANY)


async def test_no_write_is_made_beyond_the_number(number: Number) -> None:
    leases = WriteLeases(number)
    made = 0
    while await leases.take("scope", IK, 3 * LEASE):
        made += 1
    assert made == 3 * LEASE
    assert number.taken[IK] == 3 * LEASE


async def test_who_gives_up_waiting_leaves_the_question_to_the_others(number: Number) -> None:
    number.gate.clear()
    leases = WriteLeases(number)
    first = asyncio.create_task(leases.take("scope", IK, MANY))
    second = asyncio.create_task(leases.take("scope", IK, MANY))
    await settled()
    first.cancel()
    await settled()
    number.gate.set()
    assert await second
    assert number.asked == 1


async def test_a_failure_is_told_to_who_waits_and_asked_again_by_the_next(number: Number) -> None:
    number.away = True
    leases = WriteLeases(number)
    with pytest.raises(Unavailable):
        await leases.take("scope", IK, MANY)
    number.away = False
    assert await leases.take("scope", IK, MANY)


async def test_a_failure_of_the_question_ahead_takes_nothing_from_who_has_writes_left(
    number: Number,
) -> None:
    leases = WriteLeases(number)
    assert await leases.take("scope", IK, MANY)
    number.away = True
    for _ in range(LEASE - 1):
        assert await leases.take("scope", IK, MANY)
    with pytest.raises(Unavailable):
        await leases.take("scope", IK, MANY)


async def test_another_key_of_the_scope_has_a_number_of_its_own(number: Number) -> None:
    leases = WriteLeases(number)
    assert await leases.take("scope", IK, MANY)
    assert await leases.take("scope", OTHER, MANY)
    assert number.taken == {IK: LEASE, OTHER: LEASE}


async def test_what_was_forgotten_is_taken_anew(number: Number) -> None:
    leases = WriteLeases(number)
    assert await leases.take("scope", IK, MANY)
    leases.forget()
    assert await leases.take("scope", IK, MANY)
    assert number.taken[IK] == 2 * LEASE
