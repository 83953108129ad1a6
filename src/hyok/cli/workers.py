"""The processes that `hyok serve` keeps: workers of each door, and the officers' door."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import uvloop

from hyok import settings as settings_file
from hyok.cli.allocator import collect_rarely, keep_freed_memory
from hyok.cli.supervisor import forbid_core_dumps
from hyok.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from hyok.settings import Settings


def serve_worker(config: Path, index: int) -> None:
    """Serve the S3 door until SIGTERM, then drain."""
    from hyok.serving import run_worker  # noqa: PLC0415 - the other processes need none of it

    forbid_core_dumps()
    keep_freed_memory()
    settings = settings_file.load(config)
    configure(settings.log.level, settings.log.file)
    collect_rarely()
    _until_ended(lambda stop: run_worker(settings, index, stop))


def serve_doors(config: Path, index: int, which: str) -> None:
    """Serve the doors for clouds and SaaS until SIGTERM, then drain."""
    from hyok.door_serving import run_doors  # noqa: PLC0415 - the other processes need none of it

    forbid_core_dumps()
    settings = settings_file.load(config)
    configure(settings.log.level, settings.log.file)
    _until_ended(lambda stop: run_doors(settings, index, stop, which))


def serve_officers(settings: Settings) -> None:
    """Serve the officers' door until SIGTERM or Ctrl-C."""
    from hyok.officer_door import run_officer_door  # noqa: PLC0415 - the others need none of it

    configure(settings.log.level, settings.log.file)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run_officer_door(settings, stop)

    uvloop.run(main())


def _until_ended(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a worker's loop until the supervisor ends it."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        # Ctrl-C reaches the whole group; the supervisor says when.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        await run(stop)

    uvloop.run(main())
