"""One job, two workers on PostgreSQL, and one of them is killed at random: every object once."""

from __future__ import annotations

import asyncio
import os
import random  # noqa: TID251 - moments of killing
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from tests.conformance.shard_worker import clock_ms, runner
from tests.peers.postgresql import PostgreSQL

from hyok.database.engine import Database
from hyok.errors import Refused
from hyok.jobs.catalog import DONE, OPEN
from hyok.jobs.queue import ShardQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.jobs.catalog import Progress

pytestmark = pytest.mark.integration
LONG = bool(os.environ.get("HYOK_LONG"))
NUMBERS, SHARDS, KILLS = (100_000, 100, 30) if LONG else (2_000, 8, 1)
SECONDS_MAX = 1_200 if LONG else 120
WORKER = Path(__file__).with_name("shard_worker.py")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL(durable=False) as made:
        yield made


@pytest.fixture
def url(server: PostgreSQL) -> str:
    return server.new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    made.migrate()
    yield made
    made.close()


def worker(url: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.conformance.shard_worker", url],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def begin(database: Database) -> str:
    rows = [{"n": number, "done": 0} for number in range(NUMBERS)]

    def act(connection):  # type: ignore[no-untyped-def]
        connection.execute(text("CREATE TABLE numbers (n integer PRIMARY KEY, done integer)"))
        connection.execute(text("INSERT INTO numbers VALUES (:n, :done)"), rows)

    database.run_sync(act)
    return asyncio.run(runner(database, NUMBERS, SHARDS).begin("rewrap", "b", "operator:t"))


def progress(database: Database, job: str) -> Progress:
    return asyncio.run(runner(database).ledger.progress(job))[0]


def test_a_worker_killed_at_random_loses_nothing_and_does_nothing_twice(
    url: str, database: Database
) -> None:
    seed = int(os.environ.get("HYOK_SEED", time.time_ns()))
    chance = random.Random(seed)
    job = begin(database)
    workers = [worker(url), worker(url)]
    deadline = time.monotonic() + SECONDS_MAX
    kill_at = sorted(chance.uniform(0.05, 0.8) for _ in range(KILLS))
    try:
        while (now := progress(database, job)).state == OPEN:
            assert time.monotonic() < deadline, (seed, now)
            if kill_at and now.fraction >= kill_at[0]:
                kill_at.pop(0)
                victim = chance.randrange(2)
                workers[victim].kill()
                workers[victim].communicate()
                workers[victim] = worker(url)
            for each in workers:
                assert each.poll() in (None, 0), each.communicate()[1].decode()
            time.sleep(0.05)
    finally:
        for each in workers:
            each.kill()
            each.communicate()
    assert not kill_at, f"it was over before the last kill: seed {seed}"
    assert (now.state, now.cause) == (DONE, "counted")
    assert now.shards_finished == SHARDS
    assert now.looked_at == NUMBERS
    twice = database.read_sync(
        lambda c: c.execute(text("SELECT n, done FROM numbers WHERE done <> 1")).all()
    )
    assert twice == []


def test_a_job_that_cannot_go_on_is_left_to_people(url: str, database: Database) -> None:
    job = begin(database)
    database.run_sync(
        lambda c: c.execute(text("ALTER TABLE numbers RENAME TO gone"))
    )  # a bug, to the worker: the statement is wrong
    done = worker(url)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while progress(database, job).state == OPEN:
            assert time.monotonic() < deadline
            assert done.poll() in (None, 0), done.communicate()[1].decode()
            time.sleep(0.1)
        assert "HY-2342" in progress(database, job).cause
    finally:
        done.kill()
        done.communicate()


def test_sqlite_has_no_workers(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hyok.db"
    made = Database(url)
    with pytest.raises(Refused, match="SQLite"):
        ShardQueue(url, made, runner(made), clock_ms)
    made.close()
