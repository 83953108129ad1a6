"""The door that encrypts payloads for any SaaS."""

from __future__ import annotations

import time
from os import urandom
from typing import TYPE_CHECKING

from hyok.doors.bearers import Bearers
from hyok.doors.payloads.description import render_description
from hyok.doors.payloads.door import PayloadDoor
from hyok.doors.payloads.files import Files
from hyok.doors.payloads.operations import Operations
from hyok.identity.guesses import FailureLimit
from hyok.objects.sealed_files import SealedFiles
from hyok.openings.opening import Opening
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.trials import Trials
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core


def build(core: Core, _trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers callers."""
    settings = core.settings.doors.payloads
    door = PayloadDoor(
        operations=Operations(
            core.doors,
            beside=core.pump,
            entropy=urandom,
            values_max=settings.document_values_max,
            bytes_max=settings.document_bytes_max,
            equality_index=settings.equality_index,
            bsn_tokens={one.key: one.elfproef == "passes" for one in settings.bsn_tokens},
        ),
        files=Files(
            SealedFiles(
                custodian=core.vault.custodian,
                classifications=core.vault.classifications,
                rooms=core.vault.rooms,
                entropy=urandom,
            ),
            buckets=core.registry,
            classifications=core.vault.classifications,
            clock_ms=clock_ms,
        ),
        bearers=Bearers(core.door_tokens, core.sessions),
        failures=FailureLimit(settings.failures_per_minute_max, time.monotonic),
        reachable=lambda: core.watch.reachable,
        openapi=render_description(),
        deadline_seconds=settings.deadline_ms / 1000,
        in_flight_max=settings.requests_in_flight_max,
        files_in_flight_max=settings.files_in_flight_max,
        per_second=settings.values_per_second_max / settings.workers,
        document_bytes_max=settings.document_bytes_max,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
    )
    return door.handle


OPENING = Opening(build)
