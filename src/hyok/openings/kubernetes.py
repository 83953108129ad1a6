"""The door that the API servers of Kubernetes call."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from hyok.openings.opening import Opening, OwnServer
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from hyok.doors.kubernetes.server import SocketServer
    from hyok.doors.trials import Trials
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core


def build(core: Core, trials: Trials, metrics: Metrics) -> OwnServer:
    """Return what answers API servers, over a socket of its own."""
    # The processes of the other doors need nothing of gRPC.
    from hyok.doors.kubernetes.door import KubernetesDoor  # noqa: PLC0415
    from hyok.doors.kubernetes.place import Place  # noqa: PLC0415
    from hyok.doors.kubernetes.server import SocketServer  # noqa: PLC0415

    settings = core.settings.doors.kubernetes
    door = KubernetesDoor(
        settings,
        apps=core.access_keys,
        custody=core.doors,
        ill=lambda: trials.ill,
        reachable=lambda: core.watch.reachable,
        clock_ms=clock_ms,
        monotonic=time.monotonic,
        meter=metrics,
        new_id=lambda: secrets.token_hex(16),
    )

    async def start() -> SocketServer:
        place = Place(settings.socket, settings.group)
        server = SocketServer(place, door.answer, settings.requests_in_flight_max)
        try:
            await server.start()
        except BaseException:
            place.leave()
            raise
        return server

    return OwnServer(start)


OPENING = Opening(build)
