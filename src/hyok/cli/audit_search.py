"""`hyok audit search`: records of the audit log by time, actor, object and outcome."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from hyok.audit.follow import LogFollower, last_place
from hyok.audit.search import Wanted, search
from hyok.cli.options import ConfigOption, JsonOption, load
from hyok.cli.progress import reading
from hyok.cli.screen import moment, say, show_whole
from hyok.cli.times import parse_moment
from hyok.telemetry.lines import Span

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hyok.audit.follow import Place

LIMIT = 100
LOOK_SECONDS = 0.5
SHOWN_CHARS = 12
"""Of an object's opaque id: enough to tell two apart on a screen; --json has all of it."""


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command("search")(search_log)


def search_log(
    since: Annotated[str, typer.Option("--since", help="'2026-11-28 14:05' (UTC), or 90m.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same.")] = "",
    actor: Annotated[
        str, typer.Option("--actor", "--app", help="Who: an app, an officer, a system part.")
    ] = "",
    bucket: Annotated[str, typer.Option("--bucket", help="A bucket's id.")] = "",
    object_id: Annotated[str, typer.Option("--object", help="An object's opaque id.")] = "",
    action: Annotated[str, typer.Option("--action", help="object:get, key:*, …")] = "",
    outcome: Annotated[
        str, typer.Option("--outcome", help="pending, allowed, denied, done, failed.")
    ] = "",
    classification: Annotated[str, typer.Option("--classification", help="vertrouwelijk, …")] = "",
    request: Annotated[str, typer.Option("--request", help="A request id.")] = "",
    trace: Annotated[str, typer.Option("--trace", help="A W3C trace id.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")
    ] = LIMIT,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records that have all of these values, oldest first.

    * and ? in a value stand for other characters. With --follow, --json prints one record a line.
    """
    settings, _ = load(config)
    log = settings.audit.file
    now_ms = time.time_ns() // 1_000_000
    span = Span(
        parse_moment("--since", since, now_ms) if since else 0,
        parse_moment("--until", until, now_ms) if until else 1 << 62,
    )
    place = last_place(log) if follow else None
    wanted = Wanted(
        actor=actor,
        action=action,
        outcome=outcome,
        bucket_id=bucket,
        object_id=object_id.lower(),
        classification=classification,
        request_id=request.strip().upper(),
        trace_id=trace.lower(),
        before_seq=place.seq + 1 if place is not None else 1 << 62,
    )
    with reading("searching the log") as tell:
        found = search(log, wanted, span, limit, tell)
    if place is None:
        rows = found if as_json else [row(record) for record in found]
        show_whole(rows, as_json=as_json, empty="No record has all of these values.")
        if len(found) == limit and not as_json:
            say(f"These are the newest {limit}; --limit or --until shows more.")
        return
    for record in found:
        _print(record, as_json=as_json)
    _follow(log, place, wanted, as_json=as_json)


def _follow(log: Path, place: Place, wanted: Wanted, *, as_json: bool) -> None:
    """Print what comes until somebody presses Ctrl-C."""
    wanted = replace(wanted, before_seq=1 << 62)
    follower = LogFollower(log)
    try:
        while True:
            entries = follower.read(place, 1000)
            for entry in entries:
                if wanted.fits(entry.fields):
                    _print(entry.fields, as_json=as_json)
                place = entry.place
            if not entries:
                sys.stdout.flush()
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return
    finally:
        follower.close()


def _print(record: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    else:
        say("  ".join(str(value) for value in row(record).values() if value != ""))


def row(record: Mapping[str, object]) -> dict[str, object]:
    """Return a record for a table on screen."""
    at = record.get("at_ms")
    error = str(record.get("error", ""))
    return {
        "seq": record.get("seq", ""),
        "at (UTC)": moment(at) if isinstance(at, int) else "",
        "actor": record.get("actor", ""),
        "action": record.get("action", ""),
        "outcome": f"{record.get('outcome', '')} {error}".strip(),
        "bucket": record.get("bucket_id", ""),
        "object": str(record.get("object_id", ""))[:SHOWN_CHARS],
        "classification": record.get("classification", ""),
        "request": record.get("request_id", ""),
    }
