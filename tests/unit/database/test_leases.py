"""A lease that is kept stays ours; one that was lost breaks off what is done under it."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from hyok.database.engine import Database
from hyok.database.leases import Leases
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD_MS = 80


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'hyok.db'}")
    made.migrate()
    yield made
    made.close()


async def test_a_kept_lease_outlives_its_time_and_is_given_back(database: Database) -> None:
    now = [1_000]
    leases = Leases(database, secrets.token_bytes, lambda: now[0])
    async with leases.hold("naam", HOLD_MS) as lease, lease.kept():
        for _ in range(3):
            now[0] += HOLD_MS - 20
            await asyncio.sleep(0.15)  # renewed several times
            with pytest.raises(Conflict):
                async with leases.hold("naam", HOLD_MS):
                    pass
    async with leases.hold("naam", HOLD_MS):
        pass


async def test_whoever_lost_a_lease_is_stopped(database: Database) -> None:
    now = [1_000]
    leases = Leases(database, secrets.token_bytes, lambda: now[0])
    went_on = False
    with pytest.raises(Conflict) as refused:
        async with leases.hold("naam", HOLD_MS) as lease, lease.kept():
            now[0] += HOLD_MS + 1  # it was stopped for longer, as a laptop that slept
            async with leases.hold("naam", 60_000):
                await asyncio.sleep(5)
                went_on = True
    assert refused.value.reason == "OperationAborted"
    assert not went_on
    await asyncio.sleep(0)  # and the task itself goes on
