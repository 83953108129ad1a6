"""One long body as an upload in parts: whole, or nothing of it stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conformance.object_stores import envelope
from tests.fakes.memory_store import MemoryStore

from hyok.backends.port import ALWAYS, Condition, StoredFacts
from hyok.backends.s3_split import SplitSink
from hyok.errors import Conflict, Unavailable

BUCKET, NAME = "b", "lang"
FACTS = StoredFacts(envelope(1))
BODY = bytes(range(250)) * 4


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await made.create_bucket(BUCKET)
    return made


def sink_of(store: MemoryStore, condition: Condition = ALWAYS) -> SplitSink:
    return SplitSink(store, BUCKET, NAME, len(BODY), FACTS, condition, 300)


def send(sink: SplitSink, piece_bytes: int) -> Any:
    for at in range(0, len(BODY), piece_bytes):
        sink.write(memoryview(BODY)[at : at + piece_bytes])
    return sink.commit()


@pytest.mark.parametrize("piece_bytes", [1, 299, 300, 301, 1000])
async def test_any_cut_of_the_writes_gives_the_same_object(
    store: MemoryStore, piece_bytes: int
) -> None:
    stored = await asyncio.to_thread(send, sink_of(store), piece_bytes)
    found, body = await store.read_whole(BUCKET, NAME)
    assert body == BODY
    assert (found.etag, found.facts) == (stored.etag, FACTS)
    assert store.uploads == {}


async def test_the_condition_is_decided_at_the_end(store: MemoryStore) -> None:
    await store.put_whole(BUCKET, NAME, b"eerder", FACTS)
    sink = sink_of(store, Condition(absent=True))
    with pytest.raises(Conflict):
        await asyncio.to_thread(send, sink, 300)
    sink.abort()
    await asyncio.sleep(0.05)
    assert store.uploads == {}
    assert (await store.read_whole(BUCKET, NAME))[1] == b"eerder"


@pytest.mark.parametrize("at", ["begin_upload", "put_part"])
async def test_an_upload_given_up_while_it_begins_leaves_nothing(
    store: MemoryStore, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client goes away while the pump waits for the store."""
    sink = sink_of(store)
    real = getattr(store, at)

    async def given_up(*args: Any) -> Any:
        result = await real(*args)
        sink.abort()
        return result

    monkeypatch.setattr(store, at, given_up)
    with pytest.raises(Unavailable):
        await asyncio.to_thread(send, sink, 300)
    await asyncio.sleep(0.05)
    assert store.uploads == {}
    with pytest.raises(Unavailable):  # and a write that comes late begins no other one
        await asyncio.to_thread(sink.write, memoryview(BODY)[:10])
    await asyncio.sleep(0.05)
    assert store.uploads == {}
