"""How a command ends: an expected failure is told in one line, and everything else is our fault."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hyok.errors import HyokError
from hyok.telemetry.logs import configure

if TYPE_CHECKING:
    import typer


def run_told(app: typer.Typer, name: str) -> None:
    """Run a command; an expected failure is one line with code, cause, effect and next step."""
    configure("warning")  # to standard error: what a command prints may be read by programs
    try:
        app(prog_name=name)
    except HyokError as error:
        sys.stderr.write(error.explain() + "\n")
        sys.exit(1)
    except OSError as error:
        # A path that somebody gave: our own files are looked after where they are used.
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.stderr.write(f"{said} Next: look at the path and at who may use it\n")
        sys.exit(1)
