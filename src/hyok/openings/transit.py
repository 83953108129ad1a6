"""The door that clients of Vault's Transit engine call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.doors.bearers import Bearers
from hyok.doors.transit.door import TransitDoor
from hyok.doors.transit.login import Logins
from hyok.doors.transit.operations import Operations
from hyok.identity.guesses import FailureLimit
from hyok.openings.opening import Opening
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.trials import Trials
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core


def build(core: Core, _trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers clients of Transit."""
    settings = core.settings.doors.transit
    door = TransitDoor(
        operations=Operations(core.doors, settings.mount),
        bearers=Bearers(core.door_tokens, core.sessions),
        logins=Logins(core.identities, core.journal, clock_ms),
        failures=FailureLimit(settings.failures_per_minute_max, time.monotonic),
        reachable=lambda: core.watch.reachable,
        mount=settings.mount,
        version=__version__,
        deadline_seconds=settings.deadline_ms / 1000,
        in_flight_max=settings.requests_in_flight_max,
        per_second=settings.requests_per_second_max / settings.workers,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
    )
    return door.handle


OPENING = Opening(build)
