"""`hyok serve gateway` and `hyok serve officer`: the services, without any demo part."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop

from hyok import settings as settings_file
from hyok.cli.allocator import keep_freed_memory
from hyok.cli.options import ConfigOption, load
from hyok.cli.session import services
from hyok.cli.supervisor import Supervisor, forbid_core_dumps
from hyok.serving import run_worker
from hyok.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.settings import Settings

app = typer.Typer(help="Run a service in the foreground.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.add_typer(app, name="serve")


@app.command()
def gateway(config: ConfigOption = None) -> None:
    """Serve the S3 door until SIGTERM, then drain."""
    settings, path = load(config)
    forbid_core_dumps()
    supervisor = Supervisor(settings, path)
    signal.signal(signal.SIGTERM, supervisor.stop)
    supervisor.start_services()
    supervisor.run()


@app.command()
def officer(config: ConfigOption = None) -> None:
    """Serve the officers' door alone, until SIGTERM, beside a gateway on this host or without one.

    `hyok serve gateway` serves it as well where `[officers.api]` is enabled.
    """
    settings, path = load(config)
    forbid_core_dumps()
    with services(settings, path):
        configure(settings.log.level, settings.log.file)
        _serve_officers(settings)


@app.command(hidden=True)
def officer_worker(config: Annotated[Path, typer.Option("--config")]) -> None:
    """The officers' door; `serve gateway` starts it."""
    forbid_core_dumps()
    settings = settings_file.load(config)
    configure(settings.log.level, settings.log.file)
    _serve_officers(settings)


def _serve_officers(settings: Settings) -> None:
    # A second of imports that a gateway's worker does not need.
    from hyok.officer_door import run_officer_door  # noqa: PLC0415

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run_officer_door(settings, stop)

    uvloop.run(main())


@app.command(hidden=True)
def door_worker(
    config: Annotated[Path, typer.Option("--config")],
    index: Annotated[int, typer.Option("--index")] = 0,
) -> None:
    """One worker of the doors for clouds and SaaS; `serve gateway` starts them."""
    from hyok.door_serving import run_doors  # noqa: PLC0415 - a gateway's worker needs none of it

    forbid_core_dumps()
    settings = settings_file.load(config)
    configure(settings.log.level, settings.log.file)
    _serve(lambda stop: run_doors(settings, index, stop))


def _serve(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a worker's loop until the supervisor ends it."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        # Ctrl-C reaches the whole group; the supervisor says when.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        await run(stop)

    uvloop.run(main())


@app.command(hidden=True)
def worker(
    config: Annotated[Path, typer.Option("--config")],
    index: Annotated[int, typer.Option("--index")] = 0,
) -> None:
    """One worker process; `serve gateway` starts them."""
    forbid_core_dumps()
    keep_freed_memory()
    settings = settings_file.load(config)
    configure(settings.log.level, settings.log.file)
    _serve(lambda stop: run_worker(settings, index, stop))
