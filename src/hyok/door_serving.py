"""A worker of one of the doors for clouds and SaaS, until it stops."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

import structlog

from hyok.chores import POLICY_SECONDS, USES_SECONDS, run_chores
from hyok.doors.listener import ListenerSettings
from hyok.doors.trials import Trials
from hyok.errors import HyokError
from hyok.gateway.management import Management, cause_of
from hyok.http1.limits import Limits
from hyok.http1.server import serve, xml_refusal
from hyok.http1.tls import TlsSettings
from hyok.openings.each import OPENINGS
from hyok.openings.opening import OwnServer
from hyok.telemetry.metrics import Metrics
from hyok.wiring import open_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.chores import Chore
    from hyok.doors.listener import ServedSettings
    from hyok.http1.server import Server
    from hyok.openings.opening import Handle, OpenDoor, Opening
    from hyok.settings import Settings
    from hyok.wiring import Core

log = structlog.get_logger("hyok.doors")


async def _open(
    core: Core, settings: ServedSettings, built: Handle | OwnServer, opening: Opening
) -> OpenDoor:
    if isinstance(built, OwnServer):
        return await built.start()
    assert isinstance(settings, ListenerSettings)
    return await _listen(core, settings, built, opening)


async def _listen(
    core: Core, settings: ListenerSettings, handle: Handle, opening: Opening
) -> Server:
    limits = core.settings.limits
    return await serve(
        handle,
        pump=core.pump,
        host=settings.host,
        port=settings.port,
        tls=_tls_of(settings),
        reuse_port=settings.workers > 1,
        refusal=opening.refusal or xml_refusal,
        limits=Limits(
            head_seconds_max=limits.head_seconds_max,
            idle_seconds_max=opening.idle_seconds_max or limits.idle_seconds_max,
            connections_per_client_max=limits.connections_per_client_max,
            requests_in_flight_max=2 * settings.requests_in_flight_max,
        ),
    )


def _tls_of(settings: ListenerSettings) -> TlsSettings | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsSettings(
        settings.tls_certificate,
        settings.tls_key,
        settings.authority,
        settings.names,
        settings.only_tls_1_3,
    )


async def _open_management(
    core: Core, trials: Trials, metrics: Metrics, index: int, door: OpenDoor
) -> Server:
    """Open /livez, /readyz and /metrics, on the ports after those of the gateway's workers."""

    async def ready() -> dict[str, str]:
        causes = {
            "hsm": core.watch.cause,
            "drain": "draining" if door.draining else "",
            "doors": trials.ill,
        }
        causes["database"] = await cause_of(core.doors.catalog.all, "the database")
        return causes

    def render() -> bytes:
        metrics.hsm_reachable.set(core.watch.reachable)
        metrics.door_tokens_failing.set(sum(map(bool, trials.seen.values())))
        return metrics.render()

    settings = core.settings
    port = settings.management.port
    return await serve(
        Management(ready, render).handle,
        pump=core.pump,
        host=settings.management.host,
        port=port + settings.gateway.workers + index if port else 0,
    )


def _place(settings: Settings, which: str, index: int) -> int:
    """Return the place of a worker among the management ports of all doors."""
    doors = settings.doors.each
    before = list(doors)[: list(doors).index(which)]
    return index + sum(doors[name].workers for name in before if doors[name].enabled)


async def run_doors(settings: Settings, index: int, stop: asyncio.Event, which: str) -> None:
    """Serve one door until ``stop``, then end without losing a request."""
    core = open_core(settings)
    metrics = Metrics()
    listener, opening = settings.doors.each[which], OPENINGS[which]
    trials = Trials(opening.probe(core), monotonic=time.monotonic)
    await core.watch.look()
    with contextlib.suppress(HyokError):  # without it every decision is a no, until it is there
        await core.policy.look()
    look = partial(trials.look, opening.trial_seconds)
    with contextlib.suppress(HyokError):
        await look()
    built = opening.build(core, trials, metrics)
    door = await _open(core, listener, built, opening)
    place = _place(settings, which, index)
    management = await _open_management(core, trials, metrics, place, door)
    chores: Sequence[Chore] = (
        (POLICY_SECONDS, core.policy.look),
        (USES_SECONDS, core.access_keys.write_uses),
    )
    tasks = [
        asyncio.create_task(core.watch.run()),
        asyncio.create_task(run_chores(core, chores)),
        # A token that hangs takes its time; nothing else waits for it.
        asyncio.create_task(run_chores(core, [(opening.health_seconds, look)])),
    ]
    log.info("door.ready", door=which, address=door.address, worker=index)
    try:
        await stop.wait()
        await door.drain(listener.drain_seconds)
    finally:
        for task in tasks:
            task.cancel()
        await management.close()
        with contextlib.suppress(HyokError):
            await core.access_keys.write_uses()
        await core.close()
    log.info("door.ended", door=which, worker=index)
