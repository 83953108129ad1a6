"""What every command takes: the settings file and `--json`; and how times are shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyok import settings as settings_file
from hyok.cli.screen import moment
from hyok.errors import Malformed

if TYPE_CHECKING:
    from hyok.settings import Settings

__all__ = ["ConfigOption", "JsonOption", "find_config", "load", "moment"]

DEV_CONFIG = Path(".hyok/hyok.toml")
SYSTEM_CONFIG = Path("/etc/hyok/hyok.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; else $HYOK_CONFIG, ./.hyok or /etc/hyok."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def find_config(config: Path | None) -> Path:
    """Return the settings file: the one given, the environment's, a development one, the system's.

    Raises:
        Malformed: there is none (code HY-1002).
    """
    named = config or (Path(os.environ["HYOK_CONFIG"]) if "HYOK_CONFIG" in os.environ else None)
    if named is not None:
        return named
    for candidate in (DEV_CONFIG, SYSTEM_CONFIG):
        if candidate.exists():
            return candidate.resolve()
    raise Malformed(
        "no settings file was found",
        code="HY-1002",
        next_step="start with `hyok dev`, or name one with --config",
    )


def load(config: Path | None) -> tuple[Settings, Path]:
    """Return the settings and where they stand."""
    path = find_config(config)
    return settings_file.load(path), path
