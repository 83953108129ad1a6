"""How much Python one small request runs: counted, so that no machine and no load changes it.

A little more than today's numbers is allowed.  Who adds to the path of every request sees it here,
and raises a bound with a reason.  `benchmarks/count_path.py` tells where the calls are made.
"""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from tests.unit.custody.test_custodian import ENGINE, House, house
from tests.unit.gateway.sealed_door import sealed_door

from hyok.policy.decision import CachedEngine
from hyok.telemetry import logs

if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from tests.unit.gateway.sealed_door import Sealed

__all__ = ["house"]

KIB = bytes(1024)
COUNTED = 8
BOUNDS = {
    "put": 281,
    "get": 281,
    "head": 223,
    "range": 262,  # of which five see whether it goes on from another
    "direct put": 380,
    "direct get": 382,
}


async def calls_of(sealed: Sealed, line: str, body: bytes, status: int, **more: Any) -> float:
    """Return the calls of one request once everything that is remembered is; fakes not counted."""
    count = 0

    def note(frame: FrameType, event: str, _what: object) -> None:
        nonlocal count
        if event == "call" and "/tests/" not in frame.f_code.co_filename:
            count += 1

    async def gateway_alone(head: Any, taken: bytes, **given: Any) -> Any:
        sys.setprofile(note)
        try:
            return await exchange(head, taken, **given)
        finally:
            sys.setprofile(None)

    exchange = sealed.door.exchange
    for _ in range(4):
        assert (await sealed.send(line, body, payload="UNSIGNED-PAYLOAD", **more)).status == status
    sealed.door.exchange = gateway_alone  # type: ignore[method-assign]
    try:
        for _ in range(COUNTED):
            answer = await sealed.send(line, body, payload="UNSIGNED-PAYLOAD", **more)
            assert answer.status == status
    finally:
        sealed.door.exchange = exchange  # type: ignore[method-assign]
    return count / COUNTED


async def door_of(house: House, monkeypatch: pytest.MonkeyPatch, classification: str) -> Sealed:
    # The line of each request is counted, too; as `configure` would have it written.
    monkeypatch.setattr(logs._direct, "stream", StringIO())
    monkeypatch.setattr(logs._direct, "chain", [logs._render])
    remembering = CachedEngine(ENGINE, clock_ms=lambda: house.now[0], ttl_ms=30_000)
    house.custodian._decisions._engine = remembering
    made = await sealed_door(house, classification=classification)
    assert (await made.send("PUT brief", KIB)).status == 200
    assert (await made.send("PUT lang", bytes(1 << 20))).status == 200
    return made


@pytest.fixture
async def sealed(house: House, monkeypatch: pytest.MonkeyPatch) -> Sealed:
    return await door_of(house, monkeypatch, "intern")


async def test_a_short_put_and_get_stay_short_in_python(sealed: Sealed) -> None:
    assert await calls_of(sealed, "PUT brief", KIB, 200) <= BOUNDS["put"]
    assert await calls_of(sealed, "GET brief", b"", 200) <= BOUNDS["get"]


async def test_a_head_and_a_range_stay_short_in_python(sealed: Sealed) -> None:
    assert await calls_of(sealed, "HEAD brief", b"", 200) <= BOUNDS["head"]
    part = await calls_of(sealed, "GET lang", b"", 206, range="bytes=300000-365535")
    assert part <= BOUNDS["range"]


async def test_mode_direct_adds_little_python_to_a_short_put_and_get(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The key of the names and the object's own come out of the HSM with each request.
    direct = await door_of(house, monkeypatch, "geheim")
    assert await calls_of(direct, "PUT brief", KIB, 200) <= BOUNDS["direct put"]
    assert await calls_of(direct, "GET brief", b"", 200) <= BOUNDS["direct get"]
