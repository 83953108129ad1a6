"""Clients that wait for long work are kept awake with white space, and told how it ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.gateway.door import Answer, Door

from hyok.errors import Conflict

COPY = {"x_amz_copy_source": "bucket/bron"}


@pytest.fixture
async def door() -> Door:
    made = Door(patience_seconds=0.02)
    await made.send("PUT /bucket/bron", b"data")
    return made


def slow(monkeypatch: pytest.MonkeyPatch, seconds: float, then: Exception | None = None) -> None:
    """Let copies take their time, and perhaps fail."""
    from hyok.gateway.handlers import objects

    copy = objects.copy_object

    async def later(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(seconds)
        if then is not None:
            raise then
        return await copy(*arguments, **named)

    monkeypatch.setattr(objects, "copy_object", later)


async def test_work_that_is_done_soon_is_answered_with_all_its_headers(door: Door) -> None:
    answer = await door.send("PUT /bucket/doel", **COPY)
    assert answer.status == 200
    assert "x-amz-server-side-encryption" in answer.headers
    assert b"  " not in answer.body


async def test_who_waits_gets_white_space_and_then_the_document(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = await door.send("PUT /bucket/doel", **COPY)
    slow(monkeypatch, 0.1)
    answer = await door.send("PUT /bucket/doel", **COPY)
    assert (answer.status, answer.finished) == (200, True)
    front, spaces, rest = parts(answer)
    assert front == b'<?xml version="1.0" encoding="UTF-8"?>\n'
    assert 2 <= len(spaces) <= 6
    assert front + rest == quick.body


async def test_who_waits_is_told_of_a_failure_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.1, Conflict("replaced", reason="ConditionalRequestConflict"))
    answer = await door.send("PUT /bucket/doel", **COPY)
    assert (answer.status, answer.finished) == (200, True)
    assert parts(answer)[2].startswith(b"<Error><Code>ConditionalRequestConflict</Code>")
    assert door.meter.seen[-1] == ("CopyObject", 409)  # our own numbers say what came of it


async def test_a_failure_that_comes_soon_has_its_own_status(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(monkeypatch, 0.0, Conflict("replaced", reason="ConditionalRequestConflict"))
    answer = await door.send("PUT /bucket/doel", **COPY)
    assert (answer.status, answer.code) == (409, "ConditionalRequestConflict")


async def test_the_joining_of_parts_may_take_its_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = door.multipart.complete

    async def later(*arguments: Any, **named: Any) -> Any:
        await asyncio.sleep(0.1)
        return await complete(*arguments, **named)

    monkeypatch.setattr(door.multipart, "complete", later)
    await door.send("POST /bucket/doel", query=[("uploads", "")])
    document = (
        b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part>"
        b"</CompleteMultipartUpload>"
    )
    answer = await door.send("POST /bucket/doel", document, query=[("uploadId", "up0")])
    assert (answer.status, answer.finished) == (200, True)
    assert parts(answer)[2].startswith(b"<CompleteMultipartUploadResult")


def parts(answer: Answer) -> tuple[bytes, bytes, bytes]:
    """Return the declaration, the white space behind it, and the document."""
    front, line, rest = answer.body.partition(b"\n")
    document = rest.lstrip(b" ")
    return front + line, rest[: len(rest) - len(document)], document
