"""`hyok audit export`: who gets the records of the audit log, and how far they have come."""

from __future__ import annotations

import time

import typer

from hyok.audit.cursor import progress
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.screen import moment, show_whole

app = typer.Typer(help="Receivers of the audit log, such as a SIEM.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `status` a command of its own while it is the only one."""


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show for each receiver how many records it has, how many wait, and the last error."""
    settings, _ = load(config)
    now_ms = time.time_ns() // 1_000_000
    rows: list[dict[str, object]] = []
    for export in settings.audit.exports:
        found = progress(settings.audit.file, export.name, now_ms)
        state = found.status
        word = "stopped" if state.stopped else "failing" if state.failing_since_ms else "ok"
        row: dict[str, object] = {
            "name": export.name,
            "format": export.format,
            "to": export.to,
            "state": word,
            "sent": found.place.seq,
            "waiting": found.lag_records,
        }
        if as_json:
            row |= {
                "lag_seconds": found.lag_seconds,
                "sent_ms": state.sent_ms,
                "failing_since_ms": state.failing_since_ms,
            }
        else:
            row["acknowledged"] = moment(state.sent_ms) if state.sent_ms else "never"
        rows.append(row | {"error": state.error})
    show_whole(
        rows, as_json=as_json, empty="No [[audit.exports]] in the settings: nobody gets the log."
    )
