"""ShardQueue: the shards of open jobs as tasks of Procrastinate, for any number of workers.

The ledger stays the truth: it has the jobs, their shards and cursors, and a worker makes a task of
each shard that has none.  So the queue's rows may be lost, and whoever begins a job needs no queue.
A shard is held by its lease as well: of two that have the same task one goes on.

Procrastinate's tables stand in a PostgreSQL schema of their own, of the version that is installed.

Source: Procrastinate's documentation, "Retry stalled jobs".
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Status
from procrastinate.schema import SchemaManager
from sqlalchemy import inspect, text

from hyok.database.postgresql import conninfo
from hyok.errors import HyokError, Refused, Unavailable
from hyok.jobs.catalog import EXPIRE, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from hyok.database.engine import Database
    from hyok.jobs.runner import Runner

log = structlog.get_logger("hyok.jobs")

SCHEMA = "hyok_queue"
QUEUE, TASK = "shards", "hyok.shard"
LOOK_SECONDS = 2.0
"""How soon a worker notices a job that was begun, and one of its own that ended."""

BEAT_SECONDS = 2.0
STALLED_SECONDS = 10.0
"""A worker that gave no sign for so long is dead, and its tasks are retried."""

GRACE_SECONDS = 20.0
"""How long a worker that is to end may take for the step that it is in."""


class ShardQueue:
    """One worker's way to the queue.

    Args:
        url: of PostgreSQL.
        database: the same.
        runner: works at a shard.
        clock_ms: unix time in milliseconds.
        stalled_seconds: see `STALLED_SECONDS`.

    Raises:
        Refused: the database is SQLite, which one host works on (code HY-2341).
    """

    def __init__(
        self,
        url: str,
        database: Database,
        runner: Runner,
        clock_ms: Callable[[], int],
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        if url.startswith("sqlite"):
            raise Refused(
                "Workers share jobs through PostgreSQL, and this installation is on SQLite.",
                code="HY-2341",
                effect="Nothing was begun.",
                next_step="hyok jobs run JOB works through a job in its own process",
            )
        self._database, self._runner, self._clock_ms = database, runner, clock_ms
        self._stalled_seconds = stalled_seconds
        self._app = App(connector=PsycopgConnector(conninfo=conninfo(url, SCHEMA)))
        self._app.task(name=TASK, queue=QUEUE)(runner.shard)

    async def work(self, stop: asyncio.Event, *, parallel: int, once: bool = False) -> None:
        """Work at open jobs until ``stop``; with ``once`` until none is left.

        Raises:
            Unavailable: the database does not answer.
        """
        await self._database.run(_prepare)
        try:
            await self._work(stop, parallel=parallel, once=once)
        except ConnectorException as error:
            raise Unavailable(
                "The database does not answer.",
                code="HY-3101",
                effect="This worker ends; another goes on with its shards.",
                next_step="start it again when the database is back",
            ) from error

    async def _work(self, stop: asyncio.Event, *, parallel: int, once: bool) -> None:
        async with self._app.open_async():
            worker = asyncio.create_task(
                self._app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=parallel,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    fetch_job_polling_interval=LOOK_SECONDS,
                    update_heartbeat_interval=min(BEAT_SECONDS, self._stalled_seconds / 3),
                    stalled_worker_timeout=self._stalled_seconds,
                    shutdown_graceful_timeout=GRACE_SECONDS,
                )
            )
            try:
                while not stop.is_set() and not worker.done():
                    is_open = await self._look()
                    if once and not is_open:
                        break
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await stop.wait()
            finally:
                worker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await worker

    async def _look(self) -> bool:
        """Retry what is stalled and make tasks that are missing; say whether a job is open."""
        try:
            await self._retry_stalled()
            return await self._defer_missing()
        except (HyokError, ConnectorException) as error:
            log.warning("jobs.queue_away", error=str(error))
            return True

    async def _retry_stalled(self) -> None:
        manager = self._app.job_manager
        stalled = await manager.get_stalled_jobs(
            queue=QUEUE, seconds_since_heartbeat=self._stalled_seconds
        )
        for job in stalled:
            log.warning("jobs.shard_stalled", **job.task_kwargs)
            try:
                await manager.retry_job(job)
            except UniqueViolation:  # another worker made a task of it meanwhile
                assert job.id is not None
                await manager.finish_job_by_id_async(job.id, Status.FAILED, delete_job=True)

    async def _defer_missing(self) -> bool:
        tasks = await self._app.job_manager.list_jobs_async(queue=QUEUE)
        there = {job.lock for job in tasks}
        is_open = False
        for job in await self._runner.ledger.progress():
            if job.state != OPEN or job.kind == EXPIRE:  # gateways expire by themselves
                continue
            is_open = True
            for shard in await self._runner.ledger.unfinished(job.job_id):
                name = f"{shard.job_id}:{shard.number}"
                if name in there or shard.not_before_ms > self._clock_ms():
                    continue
                task = self._app.configure_task(TASK, lock=name, queueing_lock=name)
                with contextlib.suppress(AlreadyEnqueued):
                    await task.defer_async(job_id=shard.job_id, number=shard.number)
        return is_open


def _prepare(connection: Connection) -> None:
    """Make Procrastinate's tables where they are missing: all of them, by one worker at a time."""
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    if inspect(connection).has_table("procrastinate_jobs", schema=SCHEMA):
        return
    connection.execute(text(f"SET LOCAL search_path TO {SCHEMA}"))
    cursor = connection.connection.cursor()
    cursor.execute(SchemaManager.get_schema())
    cursor.close()
