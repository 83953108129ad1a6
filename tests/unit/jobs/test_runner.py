"""Jobs: shards go on where they stopped, one runner to a shard, until people stop them."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.database.engine import Database
from hyok.database.leases import KEPT_MS, Leases
from hyok.errors import Conflict, NotFound, Unavailable
from hyok.jobs import runner as running
from hyok.jobs.catalog import (
    ATTEMPTS_MAX,
    CANCELLED,
    PAUSED,
    Failure,
    Planned,
    Progress,
    Step,
    backoff_ms,
    hex_ranges,
)
from hyok.jobs.ledger import JobLedger
from hyok.jobs.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hyok.jobs.catalog import Shard


@dataclass
class Counting:
    """Work on the numbers of each shard's range, two a step."""

    ranges: list[tuple[int, int]]
    done: list[int] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    away: int = 0
    before: Callable[[], None] = lambda: None
    finished: int = 0
    slow: float = 0.0
    working: set[int] = field(default_factory=set)

    async def plan(self) -> Planned:
        total = sum(stop - start for start, stop in self.ranges)
        return Planned(total, total, [(str(a), str(b)) for a, b in self.ranges])

    async def step(self, shard: Shard) -> Step:
        assert shard.number not in self.working, "two runners work at one shard"
        self.working.add(shard.number)
        try:
            return await self._step(shard)
        finally:
            self.working.discard(shard.number)

    async def _step(self, shard: Shard) -> Step:
        self.before()
        await asyncio.sleep(self.slow)
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        at = int(shard.cursor or shard.start)
        stop = min(at + 2, int(shard.stop))
        items = range(at, stop)
        self.done += [item for item in items if item not in self.bad]
        failures = [
            Failure(str(item).encode(), f"Tampered HY-{item % 2}", f"no {item}")
            for item in items
            if item in self.bad
        ]
        good = len(items) - len(failures)
        return Step(str(stop), good, good, 0, failures, finished=stop == int(shard.stop))

    async def finish(self) -> str:
        self.finished += 1
        return "something to know"

    async def describe(self, item: bytes) -> str:
        return f"object {item.decode()}"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path / 'hyok.db'}")
    made.migrate()
    yield made
    made.close()


def runner(database: Database, work: Counting, now: list[int]) -> Runner:
    async def of(_kind: str, _bucket: str) -> Counting:
        return work

    leases = Leases(database, secrets.token_bytes, lambda: now[0])
    return Runner(JobLedger(database), leases, of, lambda: now[0], secrets.token_bytes)


async def test_every_object_of_every_shard_is_done_and_told(database: Database) -> None:
    work = Counting([(0, 5), (5, 6), (6, 20)])
    made = runner(database, work, [1_000])
    job = await made.begin("seal", "b", "operator:x")
    seen: list[Progress] = []
    found = await made.run(job, seen.append)
    assert sorted(work.done) == list(range(20))
    assert (found.state, found.objects, found.size_bytes, found.fraction) == ("done", 20, 20, 1.0)
    assert work.finished == 1
    assert [one.objects for one in seen] == sorted(one.objects for one in seen)
    assert (await made.ledger.progress())[0] == found


async def test_the_same_job_is_not_begun_twice(database: Database) -> None:
    made = runner(database, Counting([(0, 4)]), [1_000])
    first = await made.begin("seal", "b", "x")
    assert await made.begin("seal", "b", "y") == first
    assert await made.begin("seal", "c", "y") != first
    await made.run(first)
    assert await made.begin("seal", "b", "y") != first


async def test_one_that_was_killed_goes_on_at_its_cursor(database: Database) -> None:
    class Killed(BaseException): ...

    def kill() -> None:
        if len(work.done) >= 6:
            raise Killed

    work = Counting([(0, 20)], before=kill)
    made = runner(database, work, [1_000])
    job = await made.begin("seal", "b", "x")
    with pytest.raises(Killed):
        await made.run(job)
    work.before = lambda: None
    found = await runner(database, work, [1_000]).run(job)
    assert work.done == list(range(20))  # none twice
    assert found.objects == 20


async def test_two_runners_never_work_at_one_shard(database: Database) -> None:
    work = Counting([(n * 10, n * 10 + 10) for n in range(6)], slow=0.01)
    now = [1_000]
    one, two = runner(database, work, now), runner(database, work, now)
    job = await one.begin("seal", "b", "x")
    await asyncio.gather(one.run(job), two.run(job))
    assert sorted(work.done) == list(range(60))


async def test_a_shard_of_a_runner_that_died_is_free_again_after_its_time(
    database: Database,
) -> None:
    work = Counting([(0, 4)])
    now = [1_000]
    made = runner(database, work, now)
    job = await made.begin("seal", "b", "x")
    dead = Leases(database, secrets.token_bytes, lambda: now[0])
    await dead._take(f"job:{job}:0", b"d" * 16, KEPT_MS)  # and never gives it back
    task = asyncio.create_task(made.run(job))
    await asyncio.sleep(0.2)
    assert work.done == []
    now[0] += KEPT_MS + 1
    assert (await task).objects == 4


async def test_pausing_takes_effect_after_the_present_step(database: Database) -> None:
    work = Counting([(0, 20)])
    made = runner(database, work, [1_000])
    job = await made.begin("seal", "b", "x")

    async def pause() -> None:
        await made.ledger.set_state(job, PAUSED, 2_000, "by hand")

    real = work._step

    async def step(shard: Shard) -> Step:
        done = await real(shard)
        if len(work.done) == 4:
            await pause()
        return done

    work._step = step  # type: ignore[method-assign]
    found = await made.run(job)
    assert (found.state, found.cause, work.done) == ("paused", "by hand", [0, 1, 2, 3])
    assert work.finished == 0
    await made.ledger.reopen(job)
    assert (await made.run(job)).objects == 20


async def test_what_was_cancelled_stays_so(database: Database) -> None:
    made = runner(database, Counting([(0, 4)]), [1_000])
    job = await made.begin("seal", "b", "x")
    await made.ledger.set_state(job, CANCELLED, 2_000)
    assert (await made.run(job)).objects == 0
    for act in (made.ledger.reopen(job), made.ledger.set_state(job, PAUSED, 3_000)):
        with pytest.raises(Conflict) as refused:
            await act
        assert refused.value.code == "HY-3602"
    with pytest.raises(NotFound):
        await made.run("geen")


async def test_trouble_is_waited_out_longer_each_time_and_then_left_to_people(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WAIT_SECONDS", 0.001)
    now = [1_000]
    work = Counting([(0, 4)], away=3)
    made = runner(database, work, now)

    def tick() -> int:  # time passes for whoever waits
        now[0] += 1_000
        return now[0]

    made._clock_ms = tick
    job = await made.begin("seal", "b", "x")
    assert (await made.run(job)).state == "done"
    work.away = ATTEMPTS_MAX
    other = await made.begin("seal", "b", "x")
    found = await made.run(other)
    assert (found.state, found.objects) == ("paused", 0)
    assert "away" in found.cause
    await made.ledger.reopen(other)
    assert (await made.run(other)).objects == 4
    waits = [backoff_ms(n) for n in range(12)]
    assert waits == sorted(waits)
    assert waits[-1] == 60_000


async def test_failures_are_grouped_listed_and_tried_again(database: Database) -> None:
    work = Counting([(0, 10)], bad={3, 4, 6})
    made = runner(database, work, [1_000])
    job = await made.begin("seal", "b", "x")
    found = await made.run(job)
    assert (found.state, found.objects, found.failed) == ("done", 7, 3)
    assert found.causes == {"Tampered HY-0": 2, "Tampered HY-1": 1}
    assert sorted(await made.failures(job))[0] == ("object 3", "Tampered HY-1", "no 3")
    work.bad = {4}
    await made.ledger.reopen(job)
    found = await made.run(job)
    assert found.causes == {"Tampered HY-0": 1}


@given(objects=st.integers(0, 30_000_000))
def test_the_shards_of_ids_cover_each_id_once(objects: int) -> None:
    ranges = hex_ranges(objects)
    assert ranges[0][0] == "0" * 32
    assert ranges[-1][1] == ""
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    assert all(start < (stop or "g") for start, stop in ranges)
    assert all(len(bytes.fromhex(start)) == 16 for start, _ in ranges)
