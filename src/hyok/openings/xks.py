"""The door that AWS KMS calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.doors.xks.door import XksDoor
from hyok.doors.xks.health import Health
from hyok.openings.opening import Opening
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.trials import Trials
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core


def build(core: Core, trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers AWS KMS."""
    settings, hsm = core.settings.doors.xks, core.settings.hsm
    model = hsm.profile if hsm.kind == "pkcs11" else "software keys"
    door = XksDoor(
        stores=settings.stores,
        credentials=core.access_keys,
        custody=core.doors,
        health=Health(trials, model=model, proxy=f"hyok {__version__}", fleet=settings.workers),
        reachable=lambda: core.watch.reachable,
        deadline_seconds=settings.deadline_ms / 1000,
        in_flight_max=settings.requests_in_flight_max,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
        share=1 / settings.workers,
    )
    return door.handle


# KMS keeps its connections, and a handshake costs it part of a quarter of a second.
OPENING = Opening(build, idle_seconds_max=120.0)
