"""A probe gets its answer in time, also when what it asks about does not give one."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hyok.errors import Unavailable
from hyok.gateway import management
from hyok.gateway.management import Management, cause_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Asked:
    """One request, and what came back."""

    def __init__(self, path: bytes, method: str = "GET") -> None:
        self.head = SimpleNamespace(target=path, method=method)
        self.status = 0
        self.body = b""

    async def respond(self, status: int, _headers: Any, body: bytes = b"") -> None:
        self.status, self.body = status, body


async def ready_with(question: Callable[[], Awaitable[object]]) -> tuple[int, dict[str, str]]:
    async def ready() -> dict[str, str]:
        return {"drain": "", "database": await cause_of(question, "the database")}

    asked = Asked(b"/readyz?verbose")
    await Management(ready, lambda: b"").handle(asked)  # type: ignore[arg-type]
    return asked.status, json.loads(asked.body)


async def away() -> None:
    raise Unavailable("The database does not answer.", reason="ServiceUnavailable", code="HY-3101")


async def well() -> list[str]:
    return ["dossiers"]


async def test_what_hangs_is_not_ready_and_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "ANSWER_SECONDS_MAX", 0.01)
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(5):
        status, told = await ready_with(hangs)
    assert (status, told["drain"]) == (503, "ok")
    assert told["database"] == "the database does not answer within 0.01 s"
    assert ended.is_set(), "nothing waits on for an answer that nobody reads"


async def test_what_fails_is_not_ready_and_what_answers_is() -> None:
    status, told = await ready_with(away)
    assert (status, "does not answer" in told["database"]) == (503, True)
    assert await ready_with(well) == (200, {"drain": "ok", "database": "ok"})


def test_a_probe_s_own_patience_is_longer_than_ours() -> None:
    assert management.ANSWER_SECONDS_MAX < 2
