"""Lines of the log that are written without the processors are the ones that they would write."""

from __future__ import annotations

import io
import json
import logging
from types import SimpleNamespace

import pytest
import structlog

from hyok.telemetry import logs

FIELDS = {
    "request_id": "0123456789ABCDEF",
    "status": 404,
    "error": 'a "name" \\ with\n a line, \x7f, \u2028 and \u00e9',
    "unsealed": True,
    "duration_ms": 0.25,
}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Return what lines are written to; the settings of other tests stay as they are."""
    lines = io.StringIO()
    monkeypatch.setattr(structlog, "configure", lambda **_settings: None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_settings: None)
    monkeypatch.setattr(logs, "_direct", logs._Direct())
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=lines))
    return lines


def told_by_processors(event: str, **fields: object) -> str:
    line = {**fields, "event": event}
    for processor in logs._direct.chain:
        line = processor(None, "info", line)
    assert isinstance(line, str)
    return line


def without_time(line: str) -> str:
    return json.dumps({**json.loads(line), "timestamp": ""})


def test_a_line_is_the_one_that_the_processors_write(written: io.StringIO) -> None:
    logs.configure("info")
    logs.tell("s3.request", dict(FIELDS))
    told = written.getvalue()
    assert without_time(told) == without_time(told_by_processors("s3.request", **FIELDS))
    assert told.endswith('Z"}\n')
    assert told.count("\n") == 1
    assert list(json.loads(told)) == [*FIELDS, "event", "level", "timestamp"]


def test_nothing_is_written_below_the_level(written: io.StringIO) -> None:
    logs.configure("warning")
    with structlog.testing.capture_logs():
        logs.tell("s3.request", {"status": 200})
    assert written.getvalue() == ""


def test_another_chain_of_processors_gets_the_line(written: io.StringIO) -> None:
    logs.configure("info")
    logs._direct.chain[:] = [lambda *_: ""]
    with structlog.testing.capture_logs() as told:
        logs.tell("s3.request", {"status": 200})
    assert told == [{"status": 200, "event": "s3.request", "log_level": "info"}]
    assert written.getvalue() == ""
