"""What commands print: tables and marks for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line for people, as it stands."""
    out.print(text, markup=False)


def mark(word: str, text: str) -> None:
    """Print one checked line: ok, warn or FAIL, and what was seen."""
    colour = {"ok": "green", "warn": "yellow", "FAIL": "red"}[word]
    out.print(f"[{colour}]{word:>4}[/]  ", end="")
    out.print(text, markup=False)


def show(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows as a table, or as JSON; ``empty`` says what to do when there are none."""
    if as_json:
        sys.stdout.write(json.dumps(list(rows), indent=2, default=str) + "\n")
        return
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    out.print(table)


def show_whole(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """Print rows as `show` does, but cut nothing off where the screen is narrow."""
    if as_json or not rows:
        show(rows, as_json=as_json, empty=empty)
        return
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        say("  ".join(cells).rstrip())


def moment(at_ms: int) -> str:
    """Return a time for people, UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))
