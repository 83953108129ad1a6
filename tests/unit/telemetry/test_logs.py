"""Lines of the log that are written without the processors are the ones that they would write."""

from __future__ import annotations

import asyncio
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


class Written(io.StringIO):
    """Keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def writes(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return every write of its own, with the settings of `configure`."""
    kept = Written()
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=kept))
    logs.configure("info")
    return kept.writes


async def test_lines_of_one_turn_of_the_loop_are_one_write(writes: list[str]) -> None:
    for number in range(5):
        logs.tell("s3.request", {"status": 200 + number})
    assert writes == []
    await asyncio.sleep(0)
    assert len(writes) == 1
    assert [json.loads(line)["status"] for line in writes[0].splitlines()] == [*range(200, 205)]
    logs.tell("s3.request", {"status": 404})
    await asyncio.sleep(0)
    assert len(writes) == 2


async def test_no_write_is_longer_than_a_pipe_takes_whole(writes: list[str]) -> None:
    for number in range(64):
        logs.tell("s3.request", {"status": number, "reason": "r" * 300})
    await asyncio.sleep(0)
    assert all(len(text) <= logs.WRITE_BYTES_MAX and text.endswith("\n") for text in writes)
    lines = "".join(writes).splitlines()
    assert [json.loads(line)["status"] for line in lines] == [*range(64)]


def test_lines_of_a_loop_that_ended_are_written_with_the_next(writes: list[str]) -> None:
    ended = asyncio.new_event_loop()
    ended.call_soon(logs.tell, "s3.request", {"status": 200})
    ended.call_soon(ended.stop)  # before the end of the line's turn
    ended.run_forever()
    ended.close()
    assert writes == []

    async def another() -> None:
        logs.tell("s3.request", {"status": 201})
        await asyncio.sleep(0)
        lines = "".join(writes).splitlines()
        assert [json.loads(line)["status"] for line in lines] == [200, 201]

    asyncio.run(another())


async def test_a_line_by_the_processors_stands_behind_those_gathered_before_it(
    writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.tell("s3.request", {"status": 200})
    kept = logs._direct.stream
    assert kept is not None
    in_order = logs._InOrder(kept)
    in_order.write("a warning\n")
    in_order.flush()
    assert [text.count("status") for text in writes] == [1, 0]
