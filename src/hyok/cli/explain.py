"""`hyok explain`: what happened to a request, from the audit log and the gateway's own log."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyok.audit.search import NEAR_MS, find
from hyok.cli.options import ConfigOption, JsonOption, load, moment
from hyok.cli.progress import reading
from hyok.cli.screen import say, show
from hyok.cli.times import parse_ago, parse_time
from hyok.errors import Malformed, NotFound
from hyok.telemetry.lines import Span, files_of, find_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.settings import Settings

AROUND_MS = 3_600_000
MARGIN_MS = 60_000
SHOWN = (
    "actor",
    "tenant",
    "origin",
    "bucket_id",
    "classification",
    "object_id",
    "kek_id",
    "scope",
    "reasons",
    "error",
    "size_bytes",
)
_ID = re.compile(r"[0-9A-F]{16}").fullmatch
_LOGGED_AT = re.compile(rb'"timestamp": ?"([0-9T:.+-]{19,40}Z?)"').search


def register(root: typer.Typer) -> None:
    """Add the command."""
    root.command()(explain)


def explain(
    request_id: Annotated[str, typer.Argument(help="From the answer's x-amz-request-id header.")],
    at: Annotated[
        str, typer.Option("--at", help="When it was, UTC, '2026-11-28 14:05': an hour around it.")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="How far back to look: 90m, 12h, 30d.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what happened to a request: who asked, what was decided by which rule, which key.

    The logs are read from their end, rotated ones after them; --at and --since spare reading the
    rest of a long log.
    """
    wanted = request_id.strip().upper()
    if not _ID(wanted):
        raise Malformed(
            f"{request_id!r} is no request id: 16 hexadecimal digits",
            next_step="the id stands in the answer's x-amz-request-id header",
        )
    now_ms = time.time_ns() // 1_000_000
    span = span_of(at, since, now_ms)
    settings, _ = load(config)
    with reading("searching the logs") as tell:
        logged = _logged(settings, wanted, span, tell)
        records = find(settings.audit.file, wanted, _narrowed(span, logged), tell)
    if not records and not logged:
        where = "in that time" if at or since else "in the logs that are there"
        raise NotFound(
            f"request {wanted} is not on record {where}",
            next_step="look at the id in the answer's x-amz-request-id header"
            + (", or leave --at and --since out" if at or since else ""),
        )
    if as_json:
        show([*records, *logged], as_json=True, empty="")
        return
    for record in records:
        _tell_record(record)
    for line in logged:
        if "status" in line:
            say(f"answered {line['status']} in {line.get('duration_ms')} ms")
        else:
            say(f"logged {line.get('event')}: {line.get('error', '')}")


def span_of(at: str, since: str, now_ms: int) -> Span:
    """Return the time that the options name.

    Raises:
        Malformed: an option is not understood, or both are given.
    """
    if at and since:
        raise Malformed("--at and --since exclude each other")
    if at:
        at_ms = parse_time("--at", at)
        return Span(at_ms - AROUND_MS, at_ms + AROUND_MS, NEAR_MS)
    if since:
        return Span(now_ms - parse_ago("--since", since), near_ms=NEAR_MS)
    return Span(near_ms=NEAR_MS)


def _logged(settings: Settings, wanted: str, span: Span, tell: Any) -> list[dict[str, Any]]:
    """Return what the gateway's own log says; nothing where it goes to standard error."""
    if settings.log.file is None:
        return []
    files = files_of(settings.log.file)
    lines = find_lines(files, f'"{wanted}"'.encode(), logged_at, span, tell)
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def _narrowed(span: Span, logged: Sequence[Mapping[str, Any]]) -> Span:
    """Return when the request can have left records, as its line in the gateway's log says."""
    for line in logged:
        ended = logged_at(json.dumps(line).encode())
        duration = line.get("duration_ms")
        if ended is not None and isinstance(duration, int | float):
            return Span(ended - int(duration) - MARGIN_MS, ended + MARGIN_MS)
    return span


def logged_at(line: bytes) -> int | None:
    """Return the time of a line of the gateway's log, unix milliseconds."""
    found = _LOGGED_AT(line)
    if not found:
        return None
    try:
        return int(datetime.fromisoformat(found[1].decode()).timestamp() * 1000)
    except ValueError:
        return None


def _tell_record(record: Mapping[str, object]) -> None:
    at = record.get("at_ms")
    when = moment(at) if isinstance(at, int) else ""
    say(f"{when}  {record.get('phase')}  {record.get('action')}  {record.get('outcome')}")
    for name in SHOWN:
        if name in record:
            value = record[name]
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            say(f"    {name}: {text}")
