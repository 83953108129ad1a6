"""What a door is to the process that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.doors.port import StreamExchange
    from hyok.doors.trials import Trials
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core

    Handle = Callable[[StreamExchange], Awaitable[None]]
    Probe = Callable[[float], Awaitable[Mapping[str, str]]]


class OpenDoor(Protocol):
    """A door that takes requests, until it is drained; `hyok.http1.server` has one."""

    @property
    def address(self) -> str:
        """Where it listens."""
        ...

    @property
    def draining(self) -> bool: ...

    async def drain(self, seconds: float) -> None:
        """Take nothing new, let what runs end within ``seconds``, then close."""
        ...


@dataclass(frozen=True, slots=True)
class OwnServer:
    """A door that speaks no HTTP of ours: it brings a server, and listens where it will."""

    start: Callable[[], Awaitable[OpenDoor]]


@dataclass(frozen=True, slots=True)
class Opening:
    """How to build one door.

    Attributes:
        build: returns what answers a request over HTTP, or a server of the door's own.
        probe: returns, of a core, what tries each token within some seconds; for each token's
            name an empty text or what is wrong with it.
        health_seconds: between two trials.
        trial_seconds: how long one may take.
        idle_seconds_max: how long a connection may stay quiet; None: as at the S3 door.
        refusal: returns type and body of an answer to what is no request for the door, by its
            status and our word for it; None: as at the S3 door.
    """

    build: Callable[[Core, Trials, Metrics], Handle | OwnServer]
    probe: Callable[[Core], Probe] = lambda core: core.doors.probe
    health_seconds: float = 20.0
    trial_seconds: float = 2.0
    idle_seconds_max: float | None = None
    refusal: Callable[[int, str], tuple[str, bytes]] | None = None
