"""The door that Azure Managed HSM calls."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.doors.ekm.door import EkmDoor, Product
from hyok.doors.ekm.faults import refusal
from hyok.openings.opening import Opening
from hyok.sockets import hsm_title
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.trials import Trials
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core


def build(core: Core, _trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers Azure Managed HSM."""
    settings = core.settings.doors.ekm
    vendor, product = hsm_title(core.settings)
    door = EkmDoor(
        settings,
        product=Product(f"hyok {__version__}", vendor, product),
        apps=core.access_keys,
        custody=core.doors,
        reachable=lambda: core.watch.reachable,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
        new_id=lambda: secrets.token_hex(8).upper(),
        share=1 / settings.workers,
    )
    return door.handle


# Where there are pairs, a trial generates one, which keeps the HSM busy for a while.  Azure keeps
# its connections: a handshake costs it part of a quarter of a second.
OPENING = Opening(
    build,
    probe=lambda core: core.doors.probe_wraps,
    health_seconds=600.0,
    trial_seconds=30.0,
    idle_seconds_max=120.0,
    refusal=refusal,
)
