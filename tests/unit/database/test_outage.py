"""A database that is away: one call tries it, the others are told at once, and it is used again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from hyok.database.engine import Database
from hyok.database.outage import TRY_AGAIN_SECONDS, Outage
from hyok.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


class Gone(Exception):
    pass


class Now:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def made(now: Now) -> Outage:
    away = Unavailable("away", code="HY-3101")
    return Outage(lambda error: away if isinstance(error, Gone) else None, now)


def fail(outage: Outage, error: Exception) -> None:
    with pytest.raises(type(error)), outage.passed():
        raise error


def test_after_a_failure_calls_are_told_at_once_until_it_is_time_to_try() -> None:
    now = Now()
    outage = made(now)
    fail(outage, Gone())
    for check in (outage.check, outage.passed().__enter__):
        with pytest.raises(Unavailable) as told:
            check()
        assert told.value.code == "HY-3101"
    now.at += TRY_AGAIN_SECONDS
    outage.check()
    fail(outage, Gone())  # still away: the next half second is refused again
    with pytest.raises(Unavailable):
        outage.check()
    now.at += TRY_AGAIN_SECONDS
    with outage.passed(), pytest.raises(Unavailable):  # one tries, and the others do not wait
        outage.check()
    outage.check()
    with outage.passed(), outage.passed():
        pass


def test_what_says_nothing_about_the_database_ends_no_service() -> None:
    outage = made(Now())
    fail(outage, ValueError("a bug of ours"))
    outage.check()


def test_a_try_that_fails_for_another_reason_found_the_database_there() -> None:
    now = Now()
    outage = made(now)
    fail(outage, Gone())
    now.at += TRY_AGAIN_SECONDS
    fail(outage, ValueError("not there"))
    outage.check()


def test_a_try_that_is_torn_down_keeps_nobody_away_for_good() -> None:
    now = Now()
    outage = made(now)
    fail(outage, Gone())
    now.at += TRY_AGAIN_SECONDS
    with pytest.raises(SystemExit), outage.passed():
        raise SystemExit
    outage.check()


class Locked:
    """An engine of a database whose locks somebody else holds."""

    tried = 0
    seconds = 0.2

    def connect(self) -> None:
        self.tried += 1
        time.sleep(self.seconds)
        raise OperationalError("select", {}, sqlite3.OperationalError("database is locked"))


async def test_calls_that_stand_in_line_are_told_when_the_first_found_it_away(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'rows.db'}", threads=2)
    database.migrate()
    kept, database._reader = database._reader, cast("Any", locked := Locked())
    calls = [database.read(lambda _: 1) for _ in range(50)]
    calls += [database.run(lambda _: 1) for _ in range(50)]
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one) for one in told[:50]} == {Unavailable}
    assert locked.tried <= 2, "one for each thread"
    locked.seconds = 1.0
    await asyncio.sleep(TRY_AGAIN_SECONDS)
    began = time.monotonic()
    with pytest.raises(Unavailable):  # it is tried, and nobody waits for it as long as it takes
        await database.read(lambda _: 1)
    assert time.monotonic() - began < 0.9
    database._reader = kept
    await asyncio.sleep(1 + TRY_AGAIN_SECONDS)
    assert await database.read(lambda _: 1) == 1
    assert await database.run(lambda _: 2) == 2
    database.close()
