"""`hyok backup` and `hyok restore`: the database, which holds the only shreddable records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyok.cli.options import ConfigOption, load
from hyok.cli.screen import say
from hyok.cli.session import is_running
from hyok.database.copy import copy_to, file_of, put_back
from hyok.errors import Conflict
from hyok.wiring import clock_ms

FileArgument = Annotated[Path, typer.Argument(help="The backup's file.")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command()(backup)
    root.command()(restore)


def backup(file: FileArgument, config: ConfigOption = None) -> None:
    """Copy the database, also while the gateway runs.  Keys in it stay wrapped by the HSM."""
    settings, _ = load(config)
    source = file_of(settings.database.url)
    size = copy_to(source, file.absolute())
    source.with_name(source.name + ".backup-made").write_text(str(clock_ms()))
    say(f"{file}: {size} bytes.  Keep it where destroyed records can be removed from it as well.")


def restore(
    file: FileArgument,
    force: Annotated[bool, typer.Option("--force", help="Replace the database.")] = False,
    config: ConfigOption = None,
) -> None:
    """Put a backup back; the gateway must be stopped."""
    settings, _ = load(config)
    if is_running(settings):
        raise Conflict(
            "the gateway runs on this database",
            effect="Nothing was changed.",
            next_step="stop it first",
        )
    put_back(file.absolute(), file_of(settings.database.url), force=force)
    say(f"the database is that of {file}")
