"""JobLedger: jobs, their shards and their failures in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import case, delete, func, insert, select, update

from hyok.database.tables import job_failures as failures
from hyok.database.tables import job_shards as shards
from hyok.database.tables import jobs
from hyok.errors import Conflict, NotFound
from hyok.jobs.catalog import CANCELLED, DONE, OPEN, PAUSED, Progress, Shard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Row

    from hyok.database.engine import Database
    from hyok.jobs.catalog import Planned, Step


@dataclass(frozen=True, slots=True)
class NewJob:
    job_id: str
    kind: str
    bucket_id: str
    begun_by: str
    at_ms: int


class JobLedger:
    """The tables `jobs`, `job_shards` and `job_failures`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, new: NewJob, planned: Planned) -> str:
        """Write a job down; return its id, or that of the same job that is not ended yet."""

        def act(connection: Connection) -> str:
            running = connection.scalar(
                select(jobs.c.job_id).where(
                    jobs.c.bucket_id == new.bucket_id,
                    jobs.c.kind == new.kind,
                    jobs.c.state.in_([OPEN, PAUSED]),
                )
            )
            if running is not None:
                return str(running)
            connection.execute(
                insert(jobs).values(
                    job_id=new.job_id,
                    kind=new.kind,
                    bucket_id=new.bucket_id,
                    state=OPEN,
                    begun_by=new.begun_by,
                    objects_total=planned.objects,
                    bytes_total=planned.size_bytes,
                    created_ms=new.at_ms,
                )
            )
            for number, (start, stop) in enumerate(planned.shards):
                connection.execute(
                    insert(shards).values(job_id=new.job_id, shard=number, start=start, stop=stop)
                )
            return new.job_id

        return await self._database.run(act)

    async def set_state(self, job_id: str, state: str, now_ms: int, cause: str = "") -> None:
        """Pause, go on, cancel or end.

        Raises:
            NotFound: no such job.
            Conflict: it was cancelled, or is done (code HY-3602).
        """

        def act(connection: Connection) -> None:
            row = _row(connection, job_id)
            if row.state == CANCELLED or (row.state == DONE and state != DONE):
                raise Conflict(
                    f"job {job_id} is {row.state}", code="HY-3602", effect="Nothing was changed."
                )
            ended = now_ms if state in (CANCELLED, DONE) else None
            connection.execute(
                update(jobs)
                .where(jobs.c.job_id == job_id)
                .values(state=state, cause=cause, ended_ms=ended)
            )

        await self._database.run(act)

    async def reopen(self, job_id: str) -> None:
        """Go on with a job; one that is done goes through its failures again.

        Raises:
            NotFound: no such job.
            Conflict: it was cancelled (code HY-3602).
        """

        def act(connection: Connection) -> None:
            row = _row(connection, job_id)
            if row.state == CANCELLED:
                raise Conflict(
                    f"job {job_id} was cancelled",
                    code="HY-3602",
                    effect="Nothing was changed.",
                    next_step="begin a new one",
                )
            mine = shards.c.job_id == job_id
            fresh: dict[str, object] = {"attempts": 0, "not_before_ms": 0}
            if row.state == DONE:
                fresh |= {"cursor": "", "finished": False}
                connection.execute(delete(failures).where(failures.c.job_id == job_id))
            connection.execute(update(shards).where(mine).values(**fresh))
            connection.execute(
                update(jobs)
                .where(jobs.c.job_id == job_id)
                .values(state=OPEN, cause="", ended_ms=None)
            )

        await self._database.run(act)

    async def unfinished(self, job_id: str) -> Sequence[Shard]:
        """Return the shards that are still to be done, if the job is open."""

        def act(connection: Connection) -> Sequence[Shard]:
            if _row(connection, job_id).state != OPEN:
                return []
            found = connection.execute(
                select(shards)
                .where(shards.c.job_id == job_id, shards.c.finished.is_(False))
                .order_by(shards.c.shard)
            )
            return [_shard(row) for row in found]

        return await self._database.read(act)

    async def shard(self, job_id: str, number: int) -> Shard | None:
        """Return a shard as it stands now; None when its job is not open."""

        def act(connection: Connection) -> Shard | None:
            if _row(connection, job_id).state != OPEN:
                return None
            return _shard(
                connection.execute(
                    select(shards).where(shards.c.job_id == job_id, shards.c.shard == number)
                ).one()
            )

        return await self._database.read(act)

    async def save(self, shard: Shard, step: Step, now_ms: int) -> bool:
        """Keep what a step did; say whether the job is still open."""

        def act(connection: Connection) -> bool:
            connection.execute(
                update(shards)
                .where(shards.c.job_id == shard.job_id, shards.c.shard == shard.number)
                .values(
                    cursor=step.cursor,
                    finished=step.finished,
                    objects=shards.c.objects + step.objects,
                    size_bytes=shards.c.size_bytes + step.size_bytes,
                    skipped=shards.c.skipped + step.skipped,
                    kept=shards.c.kept + step.kept,
                    attempts=0,
                    not_before_ms=0,
                )
            )
            for failure in step.failures:
                connection.execute(
                    delete(failures).where(
                        failures.c.job_id == shard.job_id, failures.c.item == failure.item
                    )
                )
                connection.execute(
                    insert(failures).values(
                        job_id=shard.job_id,
                        item=failure.item,
                        cause=failure.cause[:64],
                        text=failure.text,
                        at_ms=now_ms,
                    )
                )
            return bool(_row(connection, shard.job_id).state == OPEN)

        return await self._database.run(act)

    async def rest(self, shard: Shard, until_ms: int) -> None:
        """Note that an attempt failed, and when the next one may be."""
        await self._database.run(
            lambda connection: connection.execute(
                update(shards)
                .where(shards.c.job_id == shard.job_id, shards.c.shard == shard.number)
                .values(attempts=shards.c.attempts + 1, not_before_ms=until_ms)
            )
        )

    async def progress(self, job_id: str = "") -> Sequence[Progress]:
        """Return how far jobs are, the newest first; or one.

        Raises:
            NotFound: there is no such job (code HY-3601).
        """

        def act(connection: Connection) -> Sequence[Progress]:
            asked = select(jobs).order_by(jobs.c.created_ms.desc(), jobs.c.job_id)
            if job_id:
                _row(connection, job_id)
                asked = asked.where(jobs.c.job_id == job_id)
            return [_progress(connection, row) for row in connection.execute(asked).all()]

        return await self._database.read(act)

    async def latest(self, kind: str, bucket_id: str) -> Progress | None:
        """Return the newest job of a kind on a bucket; None when there was none."""

        def act(connection: Connection) -> Progress | None:
            mine = (jobs.c.kind == kind, jobs.c.bucket_id == bucket_id)
            newest = select(jobs).where(*mine).order_by(jobs.c.created_ms.desc(), jobs.c.job_id)
            row = connection.execute(newest.limit(1)).one_or_none()
            return None if row is None else _progress(connection, row)

        return await self._database.read(act)

    async def forget(self, kind: str, bucket_id: str, before_ms: int) -> None:
        """Drop what has ended of a kind on a bucket and was begun before a moment."""

        def act(connection: Connection) -> None:
            mine = (jobs.c.kind == kind, jobs.c.bucket_id == bucket_id)
            ended = jobs.c.state.in_([CANCELLED, DONE])
            old = select(jobs.c.job_id).where(*mine, ended, jobs.c.created_ms < before_ms)
            for table in (failures, shards, jobs):
                connection.execute(delete(table).where(table.c.job_id.in_(old)))

        await self._database.run(act)

    async def failed(self, job_id: str, limit: int) -> Sequence[tuple[bytes, str, str]]:
        """Return items that failed, with cause and text."""

        def act(connection: Connection) -> Sequence[tuple[bytes, str, str]]:
            found = connection.execute(
                select(failures.c.item, failures.c.cause, failures.c.text)
                .where(failures.c.job_id == job_id)
                .order_by(failures.c.cause, failures.c.item)
                .limit(limit)
            )
            return [tuple(row) for row in found]

        return await self._database.read(act)


def _row(connection: Connection, job_id: str) -> Row[tuple[str, ...]]:
    found = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
    if found is None:
        raise NotFound(f"there is no job {job_id}", code="HY-3601", next_step="hyok jobs list")
    return found


def _shard(row: Row[tuple[object, ...]]) -> Shard:
    return Shard(
        job_id=row.job_id,
        number=row.shard,
        start=row.start,
        stop=row.stop,
        cursor=row.cursor,
        attempts=row.attempts,
        not_before_ms=row.not_before_ms,
        finished=row.finished,
    )


def _progress(connection: Connection, row: Row[tuple[str, ...]]) -> Progress:
    sums = connection.execute(
        select(
            func.coalesce(func.sum(shards.c.objects), 0),
            func.coalesce(func.sum(shards.c.size_bytes), 0),
            func.coalesce(func.sum(shards.c.skipped), 0),
            func.coalesce(func.sum(shards.c.kept), 0),
            func.count(),
            func.coalesce(func.sum(case((shards.c.finished, 1), else_=0)), 0),
        ).where(shards.c.job_id == row.job_id)
    ).one()
    causes: Mapping[str, int] = {
        str(cause): int(count)
        for cause, count in connection.execute(
            select(failures.c.cause, func.count())
            .where(failures.c.job_id == row.job_id)
            .group_by(failures.c.cause)
        )
    }
    objects, size, skipped, kept, count, finished = (int(number) for number in sums)
    return Progress(
        job_id=row.job_id,
        kind=row.kind,
        bucket_id=row.bucket_id,
        state=row.state,
        cause=row.cause,
        begun_by=row.begun_by,
        created_ms=row.created_ms,
        ended_ms=row.ended_ms or 0,
        objects_total=row.objects_total,
        bytes_total=row.bytes_total,
        objects=objects,
        size_bytes=size,
        skipped=skipped,
        kept=kept,
        failed=sum(causes.values()),
        shards=count,
        shards_finished=finished,
        causes=causes,
    )
