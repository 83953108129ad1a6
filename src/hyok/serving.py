"""A worker of the gateway: the S3 door, its management port and its chores, until it stops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from os import urandom
from typing import TYPE_CHECKING

import structlog

from hyok.audit.checkpoint import time_of
from hyok.audit.cursor import progress
from hyok.audit.evidence import latest
from hyok.chores import keep_house
from hyok.errors import HyokError
from hyok.expiring import keep_expiring
from hyok.gateway.admission import Admission
from hyok.gateway.app import Gateway
from hyok.gateway.call import NewBuckets, Services
from hyok.gateway.handlers.sts import StsDoor
from hyok.gateway.management import Management, cause_of
from hyok.http1.limits import Limits
from hyok.http1.proxy import parse_networks
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings
from hyok.identity.guesses import FailureLimit
from hyok.objects.bucket_states import BucketStates
from hyok.objects.version_listing import VersionListings
from hyok.s3.algorithms import load_crt
from hyok.telemetry.metrics import Metrics
from hyok.vocabulary import ClassificationName
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.audit.config import AuditSettings
    from hyok.custody.shadowing import ShadowWatch
    from hyok.gateway.port import Meter
    from hyok.http1.server import Server
    from hyok.settings import Settings
    from hyok.wiring import Core

log = structlog.get_logger("hyok.serving")

UNKNOWN = ClassificationName("onbekend")
UNCOVERED_SLACK_SECONDS = 1.0


def gateway_of(core: Core, meter: Meter | None = None) -> Gateway:
    """Return what answers requests at the S3 door."""
    settings = core.settings
    services = Services(
        admission=Admission(
            credentials=core.access_keys,
            buckets=core.registry,
            classifications=core.classifications,
            regions=settings.gateway.regions,
            sessions=core.sessions if settings.web_identity.issuers else None,
        ),
        vault=core.vault,
        multipart=core.multipart,
        listings=core.listings,
        versions=VersionListings(core.places, core.custodian, core.inventories),
        states=BucketStates(core.places, core.custodian),
        buckets=core.registry,
        keeper=core.keeper,
        new_buckets=NewBuckets(settings.default_store, UNKNOWN),
        region=settings.gateway.regions[0],
        patience_seconds=settings.gateway.patience_seconds,
    )
    return Gateway(
        services,
        base_domains=settings.gateway.base_domains,
        clock_ms=clock_ms,
        entropy=urandom,
        meter=meter,
    )


async def open_gateway(core: Core, meter: Meter | None = None) -> Server:
    """Open the S3 door."""
    settings = core.settings
    gateway = gateway_of(core, meter)
    handle = gateway.handle
    if settings.web_identity.issuers:
        sts = StsDoor(
            core.identities,
            core.journal,
            FailureLimit(settings.web_identity.failures_per_minute_max, time.monotonic),
            gateway.handle,
            base_domains=settings.gateway.base_domains,
            clock_ms=clock_ms,
            entropy=urandom,
            meter=meter,
        )
        handle = sts.handle
    tls = None
    if settings.gateway.tls_certificate is not None and settings.gateway.tls_key is not None:
        tls = TlsSettings(settings.gateway.tls_certificate, settings.gateway.tls_key)
    limits = settings.limits
    return await serve(
        handle,
        pump=core.pump,
        host=settings.gateway.host,
        port=settings.gateway.port,
        tls=tls,
        reuse_port=settings.gateway.workers > 1,
        balancers=parse_networks(settings.gateway.proxy_protocol_from),
        limits=Limits(
            head_bytes_max=limits.head_bytes_max,
            header_count_max=limits.header_count_max,
            head_seconds_max=limits.head_seconds_max,
            idle_seconds_max=limits.idle_seconds_max,
            body_bytes_per_second_min=limits.body_bytes_per_second_min,
            connections_per_client_max=limits.connections_per_client_max,
            requests_in_flight_max=limits.requests_in_flight_max,
        ),
    )


async def open_management(core: Core, metrics: Metrics, index: int, door: Server) -> Server:
    """Open /livez, /readyz and /metrics of worker ``index``."""

    async def ready() -> dict[str, str]:
        causes = {"hsm": core.watch.cause, "drain": "draining" if door.draining else ""}
        causes["database"] = await cause_of(core.registry.all, "the database")
        metrics.hsm_reachable.set(core.watch.reachable)
        return causes

    def render() -> bytes:
        tell_checkpoint(core.settings.audit.file, metrics)
        tell_exports(core.settings.audit, metrics)
        tell_shadow(core.shadow, metrics)
        return metrics.render()

    port = core.settings.management.port
    return await serve(
        Management(ready, render).handle,
        pump=core.pump,
        host=core.settings.management.host,
        port=port + index if port else 0,
    )


def tell_checkpoint(log: Path, metrics: Metrics) -> None:
    """Set the numbers of the audit log's newest checkpoint: two small files are looked at."""
    with contextlib.suppress(HyokError, OSError):
        head = latest(log).head
        at = (time_of(head) or 0) / 1000
        written = log.stat().st_mtime
        metrics.checkpoint_seconds.set(at)
        metrics.checkpoint_records.set(head.size)
        # A checkpoint covers what was written a moment before it, not what came while it was made.
        waiting = written - at > UNCOVERED_SLACK_SECONDS
        metrics.uncovered_seconds.set(max(0.0, time.time() - at) if waiting else 0.0)


def tell_exports(audit: AuditSettings, metrics: Metrics) -> None:
    """Set how far each receiver of the audit log is behind."""
    for export in audit.exports:
        with contextlib.suppress(HyokError, OSError):
            found = progress(audit.file, export.name, clock_ms())
            failing = found.failing_seconds(clock_ms())
            metrics.export_lag_records.labels(export.name).set(found.lag_records)
            metrics.export_lag_seconds.labels(export.name).set(found.lag_seconds)
            metrics.export_failing_seconds.labels(export.name).set(failing)


def tell_shadow(shadow: ShadowWatch, metrics: Metrics) -> None:
    """Add what the policy in shadow was asked since the last look."""
    metrics.shadow_seconds.set(shadow.age_ms / 1000)
    for verdict, decisions in shadow.take_totals().items():
        metrics.shadow(verdict, decisions)


async def run_worker(settings: Settings, index: int, stop: asyncio.Event) -> None:
    """Serve until ``stop``, then end without losing a request."""
    load_crt()  # not while the first client waits
    core = open_core(settings)
    metrics = Metrics()
    await core.watch.look()
    with contextlib.suppress(HyokError):  # without it every decision is a no, until it is there
        await core.policy.look()
    door = await open_gateway(core, metrics)
    management = await open_management(core, metrics, index, door)
    tasks = [
        asyncio.create_task(core.watch.run()),
        asyncio.create_task(keep_house(core, clock_ms)),
        asyncio.create_task(keep_expiring(core, clock_ms)),
    ]
    log.info("gateway.ready", port=door.port, worker=index)
    try:
        await stop.wait()
        log.info("gateway.draining", worker=index, in_flight=door.in_flight)
        await door.drain(settings.gateway.drain_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await management.close()
        with contextlib.suppress(HyokError):
            await core.access_keys.write_uses()
        await core.close()
    log.info("gateway.ended", worker=index)
