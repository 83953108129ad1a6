"""`hyok serve gateway` and `hyok serve officer`: the services, without any demo part.

What a child process or one service alone needs is loaded there: a supervisor that loads it all
takes two seconds longer to start its children.
"""

from __future__ import annotations

import signal
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from hyok import settings as settings_file
from hyok.cli.options import ConfigOption, load
from hyok.cli.supervisor import Supervisor, forbid_core_dumps

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
    from hyok.cli.session import services  # noqa: PLC0415 - see above
    from hyok.cli.workers import serve_officers  # noqa: PLC0415 - see above

    settings, path = load(config)
    forbid_core_dumps()
    with services(settings, path):
        serve_officers(settings)


@app.command(hidden=True)
def officer_worker(config: Annotated[Path, typer.Option("--config")]) -> None:
    """The officers' door; `serve gateway` starts it."""
    from hyok.cli.workers import serve_officers  # noqa: PLC0415 - see above

    forbid_core_dumps()
    serve_officers(settings_file.load(config))


@app.command(hidden=True)
def door_worker(
    config: Annotated[Path, typer.Option("--config")],
    index: Annotated[int, typer.Option("--index")] = 0,
    door: Annotated[str, typer.Option("--door")] = "xks",
) -> None:
    """One worker of the doors for clouds and SaaS; `serve gateway` starts them."""
    from hyok.cli.workers import serve_doors  # noqa: PLC0415 - see above

    serve_doors(config, index, door)


@app.command(hidden=True)
def worker(
    config: Annotated[Path, typer.Option("--config")],
    index: Annotated[int, typer.Option("--index")] = 0,
) -> None:
    """One worker process; `serve gateway` starts them."""
    from hyok.cli.workers import serve_worker  # noqa: PLC0415 - see above

    serve_worker(config, index)
