"""Hooks tell what happened; one that fails, hangs or is missing blocks nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from hyok.officer import texts
from hyok.officer.config import OfficerSettings
from hyok.officer.hooks import Event, Hooks
from hyok.officer.texts import said

if TYPE_CHECKING:
    from pathlib import Path

EVENT = Event("proposed", 1, "P1", "object:export", "geheim", "anna", ("anna", "bram"), {"nl": "é"})


async def test_a_command_gets_the_event_on_its_standard_input(tmp_path: Path) -> None:
    code = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(sys.stdin.read())"
    hooks = Hooks(OfficerSettings(hook_command=(sys.executable, "-c", code), hook_seconds_max=30))
    hooks.tell(EVENT)
    await hooks.close()
    told = json.loads((tmp_path / "told").read_text())
    assert (told["event"], told["proposal"], told["text"]) == ("proposed", "P1", {"nl": "é"})
    assert told["recipients"] == ["anna", "bram"]


async def test_a_webhook_gets_the_same_document() -> None:
    got: list[bytes] = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Inbox) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        hooks = Hooks(OfficerSettings(hook_url=f"http://127.0.0.1:{server.server_port}/"))
        hooks.tell(EVENT)
        await hooks.close()
        thread.join()
    assert json.loads(got[0])["proposal"] == "P1"


@pytest.mark.parametrize(
    "settings",
    [
        {"hook_command": ("/nowhere/hook",)},
        {"hook_command": (sys.executable, "-c", "raise SystemExit(3)"), "hook_seconds_max": 30},
        {"hook_command": ("sleep", "60"), "hook_seconds_max": 0.3},
        {"hook_url": "http://127.0.0.1:9/"},
    ],
    ids=["missing", "failing", "hanging", "closed"],
)
async def test_a_hook_that_fails_is_a_line_in_the_log(settings: dict[str, object]) -> None:
    hooks = Hooks(OfficerSettings.model_validate(settings))
    with capture_logs() as lines:
        began = time.monotonic()
        hooks.tell(EVENT)
        assert time.monotonic() - began < 0.2, "telling does not wait"
        await hooks.close()
    assert [line["event"] for line in lines] == ["officer.hook_failed"]


async def test_more_events_than_can_wait_are_dropped_with_a_line() -> None:
    hooks = Hooks(OfficerSettings(hook_command=("sleep", "60"), hook_seconds_max=0.5))
    with capture_logs() as lines:
        for _ in range(66):
            hooks.tell(EVENT)
        dropped = [line for line in lines if line["cause"] == "too many are waiting"]
        assert len(dropped) == 2
        await hooks.close()


@pytest.mark.parametrize("url", ["http://hook.example/", "ftp://hook.example/", "https:///x"])
def test_events_leave_this_host_over_tls_alone(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        OfficerSettings(hook_url=url)


def test_every_text_is_there_in_both_languages() -> None:
    for event in texts._TEXTS:
        told = said(event, person="anna", act="object:export", proposal="P1")
        assert set(told) == {"nl", "en"}
        assert told["nl"] != told["en"]
        assert all("P1" in text for text in told.values())


async def test_nothing_is_set_off_where_no_hook_is_named() -> None:
    hooks = Hooks(OfficerSettings())
    hooks.tell(EVENT)
    await asyncio.wait_for(hooks.close(), 0.1)
