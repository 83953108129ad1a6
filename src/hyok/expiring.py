"""Lifecycle rules carried out by themselves: once a day in every bucket that has some.

One worker of the installation works at a bucket, under a lease; one that dies loses it after some
seconds, and another goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hyok.database.leases import KEPT_MS
from hyok.errors import Conflict, HyokError
from hyok.jobs.catalog import CANCELLED, DONE, EXPIRE, OPEN, PAUSED
from hyok.jobs.expire import ExpireBucket
from hyok.jobs.ledger import JobLedger
from hyok.jobs.runner import Runner
from hyok.objects.expiring import Clock, Expirer
from hyok.s3.expiry import is_enabled
from hyok.s3.lifecycle import KIND, from_kept
from hyok.vocabulary import Ask, Principal

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.jobs.catalog import Progress
    from hyok.vocabulary import Bucket
    from hyok.wiring import Core

log = structlog.get_logger("hyok.lifecycle")

ACTOR = "lifecycle"
"""Who expires objects, in the audit log and in the rules of policy; no person and no app."""

LOOK_SECONDS = 30.0
"""How often a worker looks whether a bucket is due; oftener where days are shorter."""

KEPT_DAYS = 7
"""For so long jobs that have ended can be looked at."""


async def expire_bucket(
    core: Core,
    bucket_id: str,
    clock_ms: Callable[[], int],
    *,
    dry: bool = False,
    counted: bool = True,
) -> ExpireBucket:
    """Return what carries a bucket's rules out.

    Raises:
        NotFound: no such bucket.
    """
    bucket = await core.registry.get(bucket_id)
    day_ms = core.settings.lifecycle.day_seconds * 1000

    def ask(action: str, key: str) -> Ask:
        return Ask(
            principal=Principal(id=ACTOR, tenant=bucket.tenant, kind="officer", clearance=100),
            action=action,
            bucket=bucket,
            key=key,
            request_id=secrets.token_hex(8).upper(),
            origin="local",
            at_ms=clock_ms(),
        )

    return ExpireBucket(
        partial(core.registry.get, bucket_id),
        core.places,
        core.multipart,
        Expirer(core.vault, core.multipart, ask, dry=dry),
        lambda: Clock(clock_ms(), day_ms),
        counted=counted,
    )


async def keep_expiring(core: Core, clock_ms: Callable[[], int]) -> None:
    """Carry out what is due in every bucket; one that fails has its next turn.  Runs for ever."""
    day_seconds = core.settings.lifecycle.day_seconds
    while True:
        with contextlib.suppress(HyokError):
            for bucket in await core.registry.all():
                await expire_due(core, bucket, clock_ms)
        await asyncio.sleep(min(LOOK_SECONDS, day_seconds / 10))


async def expire_due(core: Core, bucket: Bucket, clock_ms: Callable[[], int]) -> Progress | None:
    """Carry a bucket's rules out if that was not done today; return how it ended.

    A job that was killed goes on.  One that people paused stays so; one that paused since store or
    HSM were away is begun anew the next day.
    """
    if not is_enabled(from_kept(bucket.documents.get(KIND, "")).rules):
        return None
    ledger = JobLedger(core.database)
    if not _is_due(await ledger.latest(EXPIRE, bucket.bucket_id), _today(core, clock_ms)):
        return None
    try:
        async with (
            core.leases.hold(f"lifecycle:{bucket.bucket_id}", KEPT_MS) as lease,
            lease.kept(),
        ):
            return await _expire(core, ledger, bucket.bucket_id, clock_ms)
    except Conflict as error:
        if error.reason != "OperationAborted":
            log.warning("lifecycle.failed", bucket=bucket.bucket_id, error=error.explain())
    except HyokError as error:
        log.warning("lifecycle.failed", bucket=bucket.bucket_id, error=error.explain())
    return None


async def _expire(
    core: Core, ledger: JobLedger, bucket_id: str, clock_ms: Callable[[], int]
) -> Progress | None:
    today = _today(core, clock_ms)
    newest = await ledger.latest(EXPIRE, bucket_id)
    if not _is_due(newest, today):  # another worker was here between the look and the lease
        return None
    if newest is not None and newest.state == PAUSED:
        await ledger.set_state(newest.job_id, CANCELLED, clock_ms(), cause=newest.cause)
    await ledger.forget(EXPIRE, bucket_id, today - KEPT_DAYS * _day_ms(core))

    async def work(_kind: str, name: str) -> ExpireBucket:
        return await expire_bucket(core, name, clock_ms, counted=False)

    runner = Runner(ledger, core.leases, work, clock_ms, secrets.token_bytes)
    if newest is not None and newest.state == OPEN:
        job_id = newest.job_id
    else:
        job_id = await runner.begin(EXPIRE, bucket_id, ACTOR)
    ended = await runner.run(job_id, parallel=1)
    log.info(
        "lifecycle.carried_out",
        bucket=bucket_id,
        job=job_id,
        state=ended.state,
        expired=ended.objects,
        kept=ended.kept,
        failed=ended.failed,
    )
    return ended


def _is_due(newest: Progress | None, today_ms: int) -> bool:
    if newest is None or newest.state == OPEN:
        return True
    if newest.state == PAUSED and not newest.cause:
        return False
    assert newest.state in {DONE, CANCELLED, PAUSED}
    return newest.created_ms < today_ms


def _day_ms(core: Core) -> int:
    return core.settings.lifecycle.day_seconds * 1000


def _today(core: Core, clock_ms: Callable[[], int]) -> int:
    """Return when this day began, in unix milliseconds."""
    return clock_ms() // _day_ms(core) * _day_ms(core)
