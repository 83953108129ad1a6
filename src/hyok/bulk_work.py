"""From a job's kind to what does it: the only place that knows every kind of bulk work."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hyok.expiring import expire_bucket
from hyok.jobs.catalog import EXPIRE, RESEAL, REWRAP, SEAL
from hyok.jobs.ledger import JobLedger
from hyok.jobs.reseal import ResealBucket
from hyok.jobs.rewrap import RewrapBucket
from hyok.jobs.runner import Runner
from hyok.jobs.seal_adopted import SealAdopted
from hyok.objects.adoption_sealing import ACTION as SEAL_ACTION
from hyok.objects.resealing import ACTION as RESEAL_ACTION
from hyok.objects.rewrapping import ACTION as REWRAP_ACTION
from hyok.objects.rewrapping import Rewrapper
from hyok.vocabulary import Ask, Principal
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.jobs.catalog import Work
    from hyok.wiring import Core

ACTIONS = {SEAL: SEAL_ACTION, REWRAP: REWRAP_ACTION, RESEAL: RESEAL_ACTION}
"""What policy is asked about each object of a job, where it acts for the person who runs it."""


def build_runner(core: Core, actor: str) -> Runner:
    """Return what works through jobs on behalf of an operator."""

    async def work(kind: str, bucket_id: str) -> Work:
        if kind == EXPIRE:
            return await expire_bucket(core, bucket_id, clock_ms)
        bucket = await core.registry.get(bucket_id)

        def ask() -> Ask:
            return Ask(
                principal=Principal(id=actor, tenant=bucket.tenant, kind="officer", clearance=100),
                action=ACTIONS[kind],
                bucket=bucket,
                key="",
                request_id=secrets.token_hex(8).upper(),
                origin="local",
                at_ms=clock_ms(),
            )

        if kind == REWRAP:
            return RewrapBucket(core.vault, Rewrapper(core.vault, core.leases), ask)
        if kind == RESEAL:
            return ResealBucket(core.vault, core.leases, core.exposures, ask)
        return SealAdopted(core.vault, core.inventories, core.registry, core.plain_versions, ask)

    return Runner(JobLedger(core.database), core.leases, work, clock_ms, secrets.token_bytes)
