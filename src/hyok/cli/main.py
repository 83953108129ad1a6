"""All commands of `hyok`, put together.  Each is a few lines around the floors below."""

from __future__ import annotations

from hyok.cli.table import TABLE, build
from hyok.cli.telling import run_told

app = build(TABLE)


def main() -> None:
    """Run a command; an expected failure is one line with code, cause, effect and next step."""
    run_told(app, "hyok")
