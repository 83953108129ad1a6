"""Which calls to a store are made again after which failure: one table of the whole port."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.conformance.object_stores import envelope
from tests.fakes.memory_store import MemoryStore

from hyok.backends.port import (
    Condition,
    DefaultLock,
    Lock,
    ObjectStore,
    Span,
    StoredFacts,
    StoredPart,
)
from hyok.backends.resilient import ResilientStore
from hyok.backends.retries import Retries, RetryRules
from hyok.errors import Conflict, HyokError, Unavailable

LOST = Unavailable("the answer was lost", code="HY-4001")
BUSY = Unavailable("busy", reason="SlowDown", untouched=True)
LASTING = Unavailable("refused", lasting=True)
FACTS = StoredFacts(envelope(1))
ABSENT = Condition(absent=True)
BUCKET = "b"


class Scripted:
    """A store whose next calls fail: before the store acts, or after, with the answer lost."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.before: list[HyokError] = []
        self.after: list[HyokError] = []
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(real):
            return real

        async def call(*args: Any, **named: Any) -> Any:
            self.calls.append(name)
            if self.before:
                raise self.before.pop(0)
            result = await real(*args, **named)
            if self.after:
                raise self.after.pop(0)
            return result

        return call


async def no_wait(_seconds: float) -> None:
    return


class Stage:
    def __init__(self) -> None:
        self.scripted = Scripted(MemoryStore())
        rules = RetryRules(attempts_max=3)
        self.store = ResilientStore(self.scripted, Retries(rules, sleep=no_wait))  # type: ignore[arg-type]
        self.etag = ""
        self.locked = ""
        self.upload = ""
        self.part = StoredPart(0, "", 0)

    async def set_up(self) -> None:
        inner = self.scripted.inner
        await inner.create_bucket(BUCKET)
        await inner.create_bucket("empty")
        await inner.create_bucket("locked", object_lock=True)
        self.locked = (await inner.put_whole("locked", "o", b"1", FACTS)).version_id
        self.etag = (await inner.put_whole(BUCKET, "o", b"body", FACTS)).etag
        self.upload = await inner.begin_upload(BUCKET, "u", FACTS)
        self.part = await inner.put_part_whole(BUCKET, "u", self.upload, 1, b"part")


@pytest.fixture
async def stage() -> Stage:
    made = Stage()
    await made.set_up()
    return made


Call = Callable[[Stage], Awaitable[object]]

REPEATED: dict[str, Call] = {
    "features_of": lambda s: s.store.features_of(BUCKET),
    "changes_tags": lambda s: s.store.changes_tags(BUCKET),
    "put_whole": lambda s: s.store.put_whole(BUCKET, "n", b"1", FACTS),
    "put": lambda s: s.store.put(BUCKET, "n", 1, FACTS),
    "put, condition": lambda s: s.store.put(BUCKET, "n", 1, FACTS, ABSENT),
    "head": lambda s: s.store.head(BUCKET, "o"),
    "read_whole": lambda s: s.store.read_whole(BUCKET, "o"),
    "read": lambda s: s.store.read(BUCKET, "o"),
    "delete": lambda s: s.store.delete(BUCKET, "o"),
    "list": lambda s: s.store.list(BUCKET),
    "copy": lambda s: s.store.copy(BUCKET, "o", BUCKET, "n", FACTS, s.etag),
    "begin_upload": lambda s: s.store.begin_upload(BUCKET, "n", FACTS),
    "put_part_whole": lambda s: s.store.put_part_whole(BUCKET, "u", s.upload, 2, b"2"),
    "put_part": lambda s: s.store.put_part(BUCKET, "u", s.upload, 2, 1),
    "list_parts": lambda s: s.store.list_parts(BUCKET, "u", s.upload),
    "abort_upload": lambda s: s.store.abort_upload(BUCKET, "u", s.upload),
    "list_uploads": lambda s: s.store.list_uploads(BUCKET),
    "create_bucket": lambda s: s.store.create_bucket("c"),
    "delete_bucket": lambda s: s.store.delete_bucket("empty"),
    "delete, version": lambda s: s.store.delete("locked", "o", version_id=s.locked),
    "list_versions": lambda s: s.store.list_versions(BUCKET),
    "versioning": lambda s: s.store.versioning(BUCKET),
    "set_versioning": lambda s: s.store.set_versioning(BUCKET, "Enabled"),
    "tags": lambda s: s.store.tags(BUCKET, "o"),
    "set_tags": lambda s: s.store.set_tags("locked", "o", {"a": "b"}, s.locked),
    "object_lock": lambda s: s.store.object_lock("locked"),
    "set_object_lock": lambda s: s.store.set_object_lock("locked", DefaultLock()),
    "set_lock": lambda s: s.store.set_lock("locked", "o", Lock(hold=True), s.locked),
    "has_bucket": lambda s: s.store.has_bucket(BUCKET),
    "list_buckets": lambda s: s.store.list_buckets(),
}
ONCE: dict[str, Call] = {
    "put_whole, condition": lambda s: s.store.put_whole(BUCKET, "n", b"1", FACTS, ABSENT),
    "delete, condition": lambda s: s.store.delete(BUCKET, "o", Condition(if_match=s.etag)),
    "set_tags, newest": lambda s: s.store.set_tags(BUCKET, "o", {"a": "b"}),
    "set_lock, newest": lambda s: s.store.set_lock("locked", "o", Lock(hold=True)),
    "replace_facts": lambda s: s.store.replace_facts(BUCKET, "o", FACTS, s.etag),
    "copy, condition": lambda s: s.store.copy(BUCKET, "o", BUCKET, "n", FACTS, s.etag, ABSENT),
    "copy onto itself": lambda s: s.store.copy(BUCKET, "o", BUCKET, "o", FACTS, s.etag),
    "complete_upload": lambda s: s.store.complete_upload(BUCKET, "u", s.upload, [s.part]),
}
PASSED_ON = {"sweep", "close"}


def test_the_table_has_every_method_of_the_port() -> None:
    port = {name for name, found in vars(ObjectStore).items() if inspect.iscoroutinefunction(found)}
    told = {name.partition(",")[0].partition(" ")[0] for name in REPEATED | ONCE}
    assert told | PASSED_ON == port


@pytest.mark.parametrize("error", [LOST, BUSY], ids=["lost", "busy"])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("call", REPEATED)
async def test_what_is_safe_is_made_again(
    stage: Stage, call: str, side: str, error: HyokError
) -> None:
    getattr(stage.scripted, side).append(error)
    await REPEATED[call](stage)
    assert len(stage.scripted.calls) == 2


@pytest.mark.parametrize("call", ONCE)
async def test_what_may_have_been_done_is_never_made_again(stage: Stage, call: str) -> None:
    stage.scripted.after.append(LOST)
    with pytest.raises(Unavailable, match="lost"):
        await ONCE[call](stage)
    assert len(stage.scripted.calls) == 1


@pytest.mark.parametrize("call", ONCE)
async def test_what_the_store_says_it_did_not_do_is_made_again(stage: Stage, call: str) -> None:
    stage.scripted.before.append(BUSY)
    await ONCE[call](stage)
    assert len(stage.scripted.calls) == 2


@pytest.mark.parametrize("call", REPEATED | ONCE)
async def test_an_error_that_would_come_again_is_told_at_once(stage: Stage, call: str) -> None:
    stage.scripted.before.append(LASTING)
    with pytest.raises(Unavailable, match="refused"):
        await (REPEATED | ONCE)[call](stage)
    assert len(stage.scripted.calls) == 1


async def test_a_conflict_is_the_answer(stage: Stage) -> None:
    with pytest.raises(Conflict):
        await stage.store.put_whole(BUCKET, "o", b"1", FACTS, ABSENT)
    assert len(stage.scripted.calls) == 1


class Broken:
    """A source that fails after so many bytes."""

    def __init__(self, inner: Any, good: int) -> None:
        self.stored = inner.stored
        self.inner = inner
        self.good = good
        self.closed = False

    def read_into(self, buffer: memoryview) -> int:
        if self.good <= 0:
            raise LOST
        count: int = self.inner.read_into(buffer[: self.good])
        self.good -= count
        return count

    def close(self) -> None:
        self.closed = True
        self.inner.close()


def _read(source: Any) -> bytes:
    room = memoryview(bytearray(64))
    whole = bytearray()
    while count := source.read_into(room):
        whole += room[:count]
    source.close()
    return bytes(whole)


async def _broken_then(stage: Stage, good: int, between: Callable[[], Awaitable[object]]) -> bytes:
    real = stage.scripted.inner.read
    sources: list[Broken] = []

    async def read(*args: Any) -> Any:
        source = await real(*args)
        if sources:
            return source
        sources.append(Broken(source, good))
        return sources[0]

    stage.scripted.inner.read = read  # type: ignore[method-assign]
    source = await stage.store.read(BUCKET, "o", Span(1, 3))
    await between()
    return await asyncio.to_thread(_read, source)


async def _nothing() -> None:
    return


async def test_a_read_that_breaks_before_its_first_byte_is_opened_again(stage: Stage) -> None:
    assert await _broken_then(stage, 0, _nothing) == b"od"
    assert stage.scripted.calls == ["read", "read"]


async def test_a_read_that_breaks_later_is_not(stage: Stage) -> None:
    with pytest.raises(Unavailable, match="lost"):
        await _broken_then(stage, 1, _nothing)
    assert stage.scripted.calls == ["read"]


async def test_a_read_opened_again_is_never_of_another_version(stage: Stage) -> None:
    with pytest.raises(Unavailable, match="lost"):
        await _broken_then(
            stage, 0, lambda: stage.scripted.inner.put_whole(BUCKET, "o", b"BODY", FACTS)
        )
