"""The door that Office calls."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from hyok.doors.dke.door import DkeDoor
from hyok.doors.dke.sources import key_source
from hyok.doors.dke.tokens import ALGORITHMS, Directory, TokenJudge
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.openings.opening import Opening
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.dke.config import DkeSettings
    from hyok.doors.trials import Trials
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core

KEYS_PAUSE_SECONDS = 60.0
"""Between two fetches of a directory's keys, however many unknown key ids come."""


def build_tokens(settings: DkeSettings) -> TokenJudge:
    """Return what judges tokens of the directories in the settings."""
    times = KeyTimes(
        refresh=settings.keys_refresh_seconds,
        age_max=settings.keys_age_seconds_max,
        pause=KEYS_PAUSE_SECONDS,
    )
    directories: dict[str, Directory] = {}
    for tenant in settings.tenants:
        # One memory for both versions: the directory signs them with the same keys.
        keys = IssuerKeys(tenant.issuers[0], ALGORITHMS, key_source(tenant), times)
        directories |= {issuer: Directory(tenant.id, keys) for issuer in tenant.issuers}
    return TokenJudge(
        directories,
        audiences=settings.audiences,
        skew_seconds=settings.clock_skew_seconds,
        clock_ms=clock_ms,
    )


def build(core: Core, _trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers Office."""
    settings = core.settings.doors.dke
    door = DkeDoor(
        settings,
        tokens=build_tokens(settings),
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


# A trial of a pair generates one, which keeps the HSM busy for a while.
OPENING = Opening(
    build, probe=lambda core: core.doors.probe_pairs, health_seconds=600.0, trial_seconds=30.0
)
