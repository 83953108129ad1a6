"""Runner: works through jobs in this process, shard by shard, over the database that is there.

Several runners may work at one job: a shard is held by a lease, which the holder keeps renewing, so
that the shard of one that died goes on after some seconds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from hyok.database.leases import KEPT_MS
from hyok.errors import Conflict, HyokError, NotFound, Unavailable
from hyok.jobs.catalog import ATTEMPTS_MAX, DONE, OPEN, PAUSED, backoff_ms
from hyok.jobs.ledger import NewJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.database.leases import Leases
    from hyok.jobs.catalog import Progress, Shard, Work
    from hyok.jobs.ledger import JobLedger

log = structlog.get_logger("hyok.jobs")

PARALLEL = 4
WAIT_SECONDS = 0.5
_BUG = "HY-2342 a worker failed in a way that is no trouble of store or HSM; its log says how"


class Runner:
    """Made once by wiring.

    Args:
        ledger: what is known of jobs.
        leases: who works at which shard.
        work: returns what a job of this kind does with this bucket, on behalf of who began it.
        clock_ms: unix time in milliseconds.
        entropy: random bytes, for ids.
        hold_ms: how long a shard is lost after its runner was killed.
    """

    def __init__(
        self,
        ledger: JobLedger,
        leases: Leases,
        work: Callable[[str, str], Awaitable[Work]],
        clock_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        hold_ms: int = KEPT_MS,
    ) -> None:
        self._hold_ms = hold_ms
        self.ledger = ledger
        self._leases = leases
        self._work = work
        self._clock_ms = clock_ms
        self._entropy = entropy

    async def begin(self, kind: str, bucket_id: str, begun_by: str) -> str:
        """Write a job down; return its id, or that of the same job that has not ended.

        Raises:
            Refused, Conflict, NotFound: it cannot be done.
        """
        planned = await (await self._work(kind, bucket_id)).plan()
        new = NewJob(self._entropy(6).hex(), kind, bucket_id, begun_by, self._clock_ms())
        return await self.ledger.begin(new, planned)

    async def run(
        self,
        job_id: str,
        tell: Callable[[Progress], None] = lambda _progress: None,
        parallel: int = PARALLEL,
    ) -> Progress:
        """Work until the job is done, paused or cancelled, or until nothing can be done now.

        ``tell`` is called after each step.

        Raises:
            NotFound: there is no such job, or its bucket is gone.
        """
        found = await self._now(job_id)
        work = await self._work(found.kind, found.bucket_id)
        gate = asyncio.Semaphore(parallel)
        furthest = found.looked_at

        def forward(now: Progress) -> None:
            nonlocal furthest
            if now.looked_at >= furthest:  # shards tell side by side; a bar goes one way
                furthest = now.looked_at
                tell(now)

        async def one(shard: Shard) -> bool:
            async with gate:
                return await self._shard(shard, work, forward)

        while True:
            waiting = await self.ledger.unfinished(job_id)
            if not waiting:
                break
            moved = await asyncio.gather(*(one(shard) for shard in waiting))
            if not any(moved):
                await asyncio.sleep(WAIT_SECONDS)
        found = await self._end(job_id, work)
        tell(found)
        return found

    async def shard(self, job_id: str, number: int) -> None:
        """Work at one shard as far as it goes now, and end the job with its last one.

        For workers that share jobs: a job that cannot go on is left to people.
        """
        shard = await self.ledger.shard(job_id, number)
        if shard is None:
            return
        try:
            found = await self._now(job_id)
            work = await self._work(found.kind, found.bucket_id)
            if not shard.finished:
                await self._shard(shard, work, _tell_nobody)
            if not await self.ledger.unfinished(job_id):
                await self._end(job_id, work)
        except Unavailable as error:
            await self._rest(shard, error)
        except HyokError as error:
            await self.ledger.set_state(job_id, PAUSED, self._clock_ms(), cause=error.explain())
            log.warning("job.paused", job=job_id, shard=number, error=error.explain())
        except Exception:
            # Left in the queue it would fail again, and again, with nobody looking.
            log.exception("job.bug", job=job_id, shard=number)
            await self.ledger.set_state(job_id, PAUSED, self._clock_ms(), cause=_BUG)

    async def _end(self, job_id: str, work: Work) -> Progress:
        """End a job of which no shard is left; return it as it is then."""
        found = await self._now(job_id)
        if found.state == OPEN:
            note = await work.finish()
            await self.ledger.set_state(job_id, DONE, self._clock_ms(), cause=note)
            found = await self._now(job_id)
        return found

    async def _now(self, job_id: str) -> Progress:
        return (await self.ledger.progress(job_id))[0]

    async def _shard(self, shard: Shard, work: Work, tell: Callable[[Progress], None]) -> bool:
        """Work at one shard; say whether it came any further."""
        if shard.not_before_ms > self._clock_ms():
            return False
        try:
            async with (
                self._leases.hold(f"job:{shard.job_id}:{shard.number}", self._hold_ms) as lease,
                lease.kept(),
            ):
                return await self._steps(shard, work, tell)
        except Conflict as error:
            if error.reason != "OperationAborted":
                raise
            return False  # another runner works at it
        except Unavailable as error:
            await self._rest(shard, error)
            return False

    async def _steps(self, seen: Shard, work: Work, tell: Callable[[Progress], None]) -> bool:
        # Another runner may have come further since the list was read.
        shard = await self.ledger.shard(seen.job_id, seen.number)
        while shard is not None and not shard.finished:
            step = await work.step(shard)
            is_open = await self.ledger.save(shard, step, self._clock_ms())
            tell(await self._now(shard.job_id))
            if not is_open:
                break
            shard = await self.ledger.shard(shard.job_id, shard.number)
        return True

    async def _rest(self, shard: Shard, error: Unavailable) -> None:
        """Leave the shard for a while; after too many attempts leave the job to people."""
        current = await self.ledger.shard(shard.job_id, shard.number)
        if current is None:
            return
        attempts = current.attempts + 1
        log.warning("job.shard_rests", job=shard.job_id, shard=shard.number, error=error.explain())
        await self.ledger.rest(shard, self._clock_ms() + backoff_ms(attempts))
        if attempts >= ATTEMPTS_MAX:
            await self.ledger.set_state(
                shard.job_id, PAUSED, self._clock_ms(), cause=error.explain()
            )

    async def failures(self, job_id: str, limit: int = 1000) -> Sequence[tuple[str, str, str]]:
        """Return name, cause and text of objects that failed.

        Raises:
            NotFound: there is no such job.
        """
        found = await self._now(job_id)
        rows = await self.ledger.failed(job_id, limit)
        if not rows:
            return []
        try:
            work = await self._work(found.kind, found.bucket_id)
            return [(await work.describe(item), cause, text) for item, cause, text in rows]
        except NotFound:  # the bucket was removed since, and with it the key of the names
            return [("", cause, text) for _, cause, text in rows]


def _tell_nobody(_progress: Progress) -> None:
    """Say nothing: nobody looks at a worker."""
