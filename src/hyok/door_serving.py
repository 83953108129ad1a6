"""A worker of the doors for clouds and SaaS: AWS's external key store proxy, until it stops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from hyok import __version__
from hyok.chores import POLICY_SECONDS, USES_SECONDS, run_chores
from hyok.doors.xks.door import XksDoor
from hyok.doors.xks.health import Health
from hyok.errors import HyokError
from hyok.gateway.management import Management
from hyok.http1.limits import Limits
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings
from hyok.telemetry.metrics import Metrics
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.chores import Chore
    from hyok.http1.server import Server
    from hyok.settings import Settings
    from hyok.wiring import Core

log = structlog.get_logger("hyok.doors")

HEALTH_SECONDS = 20.0
IDLE_SECONDS_MAX = 120.0
"""KMS keeps its connections, and a handshake costs it part of a quarter of a second."""


def build_health(core: Core) -> Health:
    """Return what tells KMS how the HSM is."""
    settings = core.settings
    family = settings.hsm.profile if settings.hsm.kind == "pkcs11" else "software keys"
    return Health(
        core.doors.probe,
        model=family,
        proxy=f"hyok {__version__}",
        fleet=settings.doors.xks.workers,
        monotonic=time.monotonic,
    )


async def open_xks(core: Core, health: Health, metrics: Metrics) -> Server:
    """Open the door that AWS KMS calls."""
    settings, limits = core.settings.doors.xks, core.settings.limits
    door = XksDoor(
        stores=settings.stores,
        credentials=core.access_keys,
        custody=core.doors,
        health=health,
        reachable=lambda: core.watch.reachable,
        deadline_seconds=settings.deadline_ms / 1000,
        in_flight_max=settings.requests_in_flight_max,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
        share=1 / settings.workers,
    )
    tls = None
    if settings.tls_certificate is not None and settings.tls_key is not None:
        tls = TlsSettings(
            settings.tls_certificate,
            settings.tls_key,
            settings.client_ca,
            frozenset(settings.client_names),
        )
    return await serve(
        door.handle,
        pump=core.pump,
        host=settings.host,
        port=settings.port,
        tls=tls,
        reuse_port=settings.workers > 1,
        limits=Limits(
            head_seconds_max=limits.head_seconds_max,
            idle_seconds_max=IDLE_SECONDS_MAX,
            connections_per_client_max=limits.connections_per_client_max,
            requests_in_flight_max=2 * settings.requests_in_flight_max,
        ),
    )


async def _open_management(
    core: Core, health: Health, metrics: Metrics, index: int, door: Server
) -> Server:
    """Open /livez, /readyz and /metrics, on the ports after those of the gateway's workers."""

    async def ready() -> dict[str, str]:
        failing = {name: said for name, said in health.seen.items() if said}
        causes = {
            "hsm": core.watch.cause,
            "drain": "draining" if door.draining else "",
            "doors": "; ".join(failing.values()) if len(failing) == len(health.seen) else "",
        }
        try:
            await core.doors.catalog.all()
            causes["database"] = ""
        except HyokError as error:
            causes["database"] = str(error)
        return causes

    def render() -> bytes:
        metrics.hsm_reachable.set(core.watch.reachable)
        metrics.door_tokens_failing.set(sum(map(bool, health.seen.values())))
        return metrics.render()

    settings = core.settings
    port = settings.management.port
    return await serve(
        Management(ready, render).handle,
        pump=core.pump,
        host=settings.management.host,
        port=port + settings.gateway.workers + index if port else 0,
    )


async def run_doors(settings: Settings, index: int, stop: asyncio.Event) -> None:
    """Serve until ``stop``, then end without losing a request."""
    core = open_core(settings)
    metrics = Metrics()
    health = build_health(core)
    await core.watch.look()
    with contextlib.suppress(HyokError):  # without it every decision is a no, until it is there
        await core.policy.look()
    with contextlib.suppress(HyokError):
        await health.look()
    door = await open_xks(core, health, metrics)
    management = await _open_management(core, health, metrics, index, door)
    chores: Sequence[Chore] = (
        (POLICY_SECONDS, core.policy.look),
        (USES_SECONDS, core.access_keys.write_uses),
    )
    tasks = [
        asyncio.create_task(core.watch.run()),
        asyncio.create_task(run_chores(core, chores)),
        # A token that hangs takes its time; nothing else waits for it.
        asyncio.create_task(run_chores(core, [(HEALTH_SECONDS, health.look)])),
    ]
    log.info("xks.ready", port=door.port, worker=index)
    try:
        await stop.wait()
        await door.drain(settings.doors.xks.drain_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await management.close()
        with contextlib.suppress(HyokError):
            await core.access_keys.write_uses()
        await core.close()
    log.info("xks.ended", worker=index)
