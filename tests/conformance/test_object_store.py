"""Every adapter of the port keeps every promise of `hyok.backends.port`."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - a seeded shuffle of test names, no secret
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.object_stores import STORES, envelope

from hyok.backends.port import Condition, Span, StoredFacts, StoredPart
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hyok.backends.port import ObjectStore, StoreListing

BUCKET = "conformance"
FACTS = StoredFacts(envelope(1))
OTHER = StoredFacts(envelope(2))
MULTIPART = StoredFacts(envelope(3, multipart=True))


@pytest.fixture(params=STORES, ids=lambda maker: maker.__name__)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    async with request.param(tmp_path) as made:
        await made.create_bucket(BUCKET)
        yield made


async def body_of(store: ObjectStore, name: str) -> bytes:
    return (await store.read_whole(BUCKET, name))[1]


def drained(source: object, piece: int) -> bytes:
    whole, room = b"", memoryview(bytearray(piece))
    while count := source.read_into(room):  # type: ignore[attr-defined]
        whole += room[:count]
    return whole


# ── put and read ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 168, 4095, 4096, 4097, 300_000])
async def test_what_goes_in_comes_out(store: ObjectStore, size: int) -> None:
    body = bytes(i * 7 % 251 for i in range(size))
    stored = await store.put_whole(BUCKET, "a", body, FACTS)
    told, read = await store.read_whole(BUCKET, "a")
    assert read == body
    assert (told.name, told.size, told.etag) == ("a", size, stored.etag)
    assert told.facts is not None
    assert told.facts.envelope == FACTS.envelope
    assert await store.head(BUCKET, "a") == told
    assert told.modified_ms > 1_600_000_000_000


async def test_a_body_may_come_in_pieces(store: ObjectStore) -> None:
    sink = await store.put(BUCKET, "a", 10, FACTS)
    for piece in (b"", b"012", b"3456789"):
        sink.write(memoryview(piece))
    stored = await asyncio.to_thread(sink.commit)
    assert stored.size == 10
    assert await body_of(store, "a") == b"0123456789"


@pytest.mark.parametrize("body", [b"", b"record"])
async def test_a_small_object_of_the_gateways_own_has_no_envelope(
    store: ObjectStore, body: bytes
) -> None:
    await store.put_whole(BUCKET, ".hyok/keyring/x", body, StoredFacts())
    stored, read = await store.read_whole(BUCKET, ".hyok/keyring/x")
    assert read == body
    assert stored.facts is not None
    assert stored.facts.envelope == b""


async def test_metadata_in_clear_is_kept_or_refused(store: ObjectStore) -> None:
    facts = StoredFacts(FACTS.envelope, {"content-type": "text/plain"}, {"colour": "blue"})
    if store.features.keeps_metadata:
        await store.put_whole(BUCKET, "a", b"x", facts)
        told = (await store.head(BUCKET, "a")).facts
        assert told is not None
        assert told.clear["content-type"] == "text/plain"
        assert told.user_metadata["colour"] == "blue"
    else:
        with pytest.raises(Malformed):
            await store.put_whole(BUCKET, "a", b"x", facts)
        with pytest.raises(NotFound):
            await store.head(BUCKET, "a")


async def test_every_write_has_an_etag_of_its_own(store: ObjectStore) -> None:
    first = await store.put_whole(BUCKET, "a", b"one", FACTS)
    second = await store.put_whole(BUCKET, "a", b"two", OTHER)
    assert first.etag != second.etag
    assert '"' not in first.etag


@pytest.mark.parametrize(
    ("span", "wanted"),
    [
        (Span(), b"0123456789"),
        (Span(0, 1), b"0"),
        (Span(3, 7), b"3456"),
        (Span(9), b"9"),
        (Span(5, 99), b"56789"),
        (Span(suffix=3), b"789"),
        (Span(suffix=99), b"0123456789"),
    ],
)
async def test_a_span_is_cut_to_the_body(store: ObjectStore, span: Span, wanted: bytes) -> None:
    await store.put_whole(BUCKET, "a", b"0123456789", FACTS)
    stored, read = await store.read_whole(BUCKET, "a", span)
    assert (read, stored.size) == (wanted, 10)
    source = await store.read(BUCKET, "a", span)
    assert source.stored.size == 10
    assert await asyncio.to_thread(drained, source, 2) == wanted
    source.close()
    source.close()


@pytest.mark.parametrize("span", [Span(10), Span(10, 11), Span(99, 100)])
async def test_a_span_outside_is_refused(store: ObjectStore, span: Span) -> None:
    await store.put_whole(BUCKET, "a", b"0123456789", FACTS)
    for call in (store.read_whole, store.read):
        with pytest.raises(Malformed) as caught:
            await call(BUCKET, "a", span)
        assert caught.value.reason == "InvalidRange"


async def test_a_read_of_a_version_that_was_replaced_is_a_conflict(store: ObjectStore) -> None:
    old = await store.put_whole(BUCKET, "a", b"old", FACTS)
    new = await store.put_whole(BUCKET, "a", b"new", OTHER)
    for call in (store.read_whole, store.read):
        with pytest.raises(Conflict) as caught:
            await call(BUCKET, "a", if_match=old.etag)
        assert caught.value.reason == "PreconditionFailed"
    assert (await store.read_whole(BUCKET, "a", if_match=new.etag))[1] == b"new"


async def test_a_read_under_way_never_mixes_two_versions(store: ObjectStore) -> None:
    size = 400_000
    await store.put_whole(BUCKET, "a", b"o" * size, FACTS)
    source = await store.read(BUCKET, "a")
    room = memoryview(bytearray(1000))
    count = await asyncio.to_thread(source.read_into, room)
    await store.put_whole(BUCKET, "a", b"n" * size, OTHER)
    rest = await asyncio.to_thread(drained, source, 1000)
    source.close()
    assert bytes(room[:count]) + rest == b"o" * size
    assert await body_of(store, "a") == b"n" * size


@pytest.mark.parametrize("written", [b"", b"short"])
async def test_a_short_body_never_becomes_an_object(store: ObjectStore, written: bytes) -> None:
    await store.put_whole(BUCKET, "a", b"before", FACTS)
    sink = await store.put(BUCKET, "a", 6, OTHER)
    await asyncio.to_thread(sink.write, memoryview(written))
    with pytest.raises(HyokError):
        await asyncio.to_thread(sink.commit)
    sink.abort()
    assert await body_of(store, "a") == b"before"


async def test_more_than_was_promised_is_refused(store: ObjectStore) -> None:
    await store.put_whole(BUCKET, "a", b"before", FACTS)
    sink = await store.put(BUCKET, "a", 3, OTHER)
    with pytest.raises(HyokError):
        await asyncio.to_thread(sink.write, memoryview(b"four"))
    sink.abort()
    assert await body_of(store, "a") == b"before"


@pytest.mark.parametrize("written", [b"", b"par", b"whole!"])
async def test_abort_leaves_what_was_there(store: ObjectStore, written: bytes) -> None:
    await store.put_whole(BUCKET, "a", b"before", FACTS)
    sink = await store.put(BUCKET, "a", 6, OTHER)
    await asyncio.to_thread(sink.write, memoryview(written))
    sink.abort()
    sink.abort()
    with pytest.raises(HyokError):
        await asyncio.to_thread(sink.commit)
    assert await body_of(store, "a") == b"before"


async def test_abort_after_commit_changes_nothing(store: ObjectStore) -> None:
    sink = await store.put(BUCKET, "a", 3, FACTS)
    await asyncio.to_thread(sink.write, memoryview(b"new"))
    await asyncio.to_thread(sink.commit)
    sink.abort()
    assert await body_of(store, "a") == b"new"


async def test_what_is_not_there_is_told_apart(store: ObjectStore) -> None:
    for call in (store.head, store.read, store.read_whole):
        with pytest.raises(NotFound) as caught:
            await call(BUCKET, "nothing")
        # An answer to HEAD has no body, so a store may be unable to say more.
        assert caught.value.reason == "NoSuchKey"
    with pytest.raises(NotFound) as caught:
        await store.put_whole("no-such-bucket", "a", b"x", FACTS)
    assert caught.value.reason == "NoSuchBucket"
    with pytest.raises(NotFound) as caught:
        await store.list("no-such-bucket")
    assert caught.value.reason == "NoSuchBucket"


async def test_delete_is_quiet_when_there_is_nothing(store: ObjectStore) -> None:
    await store.put_whole(BUCKET, "a", b"x", FACTS)
    await store.delete(BUCKET, "a")
    await store.delete(BUCKET, "a")
    with pytest.raises(NotFound):
        await store.head(BUCKET, "a")


# ── names ────────────────────────────────────────────────────────────────────────────────────

NAMES = [
    "a",
    "a/b",
    "a/",
    "a//b",
    "a/./b",
    "a/../b",
    "case",
    "Case",
    "e\u0301",
    "\u00e9",
    "%2F",
    "a b+c?d#e&f=g",
    "\u65e5\u672c \U0001f512",
    "n" * 1024,
    "back\\slash",
    "~tilde'quote\"",
    "tab\tand\nline",
]


async def test_every_name_of_s3_is_a_name_of_its_own(store: ObjectStore) -> None:
    held = []
    for name in NAMES:
        try:
            store.check_name(name)
        except Refused:
            continue
        await store.put_whole(BUCKET, name, name.encode(), FACTS)
        held.append(name)
    for name in held:
        assert await body_of(store, name) == name.encode()
    listed = await store.list(BUCKET)
    assert [entry.name for entry in listed.objects] == sorted(held, key=str.encode)


@pytest.mark.parametrize("name", ["", "n" * 17_000])
def test_a_name_that_no_store_holds_is_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(Refused) as caught:
        store.check_name(name)
    assert caught.value.reason in {"KeyTooLongError", "InvalidArgument"}


# ── conditions ───────────────────────────────────────────────────────────────────────────────


async def test_absent_holds_only_where_nothing_is(store: ObjectStore) -> None:
    absent = Condition(absent=True)
    await store.put_whole(BUCKET, "a", b"first", FACTS, absent)
    with pytest.raises(Conflict) as caught:
        await store.put_whole(BUCKET, "a", b"second", OTHER, absent)
    assert caught.value.reason in {"PreconditionFailed", "ConditionalRequestConflict"}
    assert await body_of(store, "a") == b"first"
    await store.delete(BUCKET, "a")
    await store.put_whole(BUCKET, "a", b"third", FACTS, absent)


async def test_if_match_holds_only_for_that_version(store: ObjectStore) -> None:
    first = await store.put_whole(BUCKET, "a", b"first", FACTS)
    second = await store.put_whole(BUCKET, "a", b"second", OTHER, Condition(if_match=first.etag))
    with pytest.raises(Conflict):
        await store.put_whole(BUCKET, "a", b"third", FACTS, Condition(if_match=first.etag))
    with pytest.raises((Conflict, NotFound)):
        await store.put_whole(BUCKET, "nothing", b"x", FACTS, Condition(if_match=second.etag))
    assert await body_of(store, "a") == b"second"


async def test_a_condition_is_decided_at_commit(store: ObjectStore) -> None:
    sink = await store.put(BUCKET, "a", 4, FACTS, Condition(absent=True))
    await asyncio.to_thread(sink.write, memoryview(b"late"))
    await store.put_whole(BUCKET, "a", b"early", OTHER)
    with pytest.raises(Conflict):
        await asyncio.to_thread(sink.commit)
    sink.abort()
    assert await body_of(store, "a") == b"early"


async def test_of_many_writers_exactly_one_finds_the_name_free(store: ObjectStore) -> None:
    async def attempt(number: int) -> int | None:
        try:
            await store.put_whole(BUCKET, "a", b"%d" % number, FACTS, Condition(absent=True))
        except Conflict:
            return None
        return number

    won = [n for n in await asyncio.gather(*map(attempt, range(20))) if n is not None]
    assert len(won) == 1
    assert await body_of(store, "a") == b"%d" % won[0]


async def test_of_many_writers_exactly_one_replaces_a_version(store: ObjectStore) -> None:
    first = await store.put_whole(BUCKET, "a", b"first", FACTS)

    async def attempt(number: int) -> bool:
        condition = Condition(if_match=first.etag)
        try:
            await store.put_whole(BUCKET, "a", b"%d" % number, OTHER, condition)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*map(attempt, range(20)))) == 1


async def test_a_write_may_ask_for_any_version_or_for_none_but_one(store: ObjectStore) -> None:
    if not store.features.rare_conditions:
        pytest.skip("this store does not decide them")
    with pytest.raises(Conflict):
        await store.put_whole(BUCKET, "a", b"0", FACTS, Condition(exists=True))
    first = await store.put_whole(BUCKET, "a", b"1", FACTS, Condition(not_match="f" * 32))
    second = await store.put_whole(BUCKET, "a", b"2", FACTS, Condition(exists=True))
    with pytest.raises(Conflict):
        await store.put_whole(BUCKET, "a", b"3", FACTS, Condition(not_match=second.etag))
    assert await body_of(store, "a") == b"2"
    await store.put_whole(BUCKET, "a", b"4", FACTS, Condition(not_match=first.etag))
    assert await body_of(store, "a") == b"4"


# ── facts and copies ─────────────────────────────────────────────────────────────────────────


async def test_new_facts_leave_the_bytes_untouched(store: ObjectStore) -> None:
    old = await store.put_whole(BUCKET, "a", b"body", FACTS)
    new = await store.replace_facts(BUCKET, "a", OTHER, old.etag)
    told, body = await store.read_whole(BUCKET, "a", if_match=new.etag)
    assert body == b"body"
    assert told.facts is not None
    assert told.facts.envelope == OTHER.envelope


async def test_new_facts_for_another_version_are_refused(store: ObjectStore) -> None:
    old = await store.put_whole(BUCKET, "a", b"old", FACTS)
    await store.put_whole(BUCKET, "a", b"new", FACTS)
    with pytest.raises(Conflict):
        await store.replace_facts(BUCKET, "a", OTHER, old.etag)
    with pytest.raises(NotFound):
        await store.replace_facts(BUCKET, "nothing", OTHER, old.etag)
    told = (await store.head(BUCKET, "a")).facts
    assert told is not None
    assert told.envelope == FACTS.envelope


async def test_readers_see_old_or_new_facts_while_they_change(store: ObjectStore) -> None:
    stored = await store.put_whole(BUCKET, "a", b"body", StoredFacts(envelope(100)))
    known = {envelope(100 + mark) for mark in range(30)}
    done = False

    async def look() -> int:
        looks = 0
        while not done or not looks:
            told, body = await store.read_whole(BUCKET, "a")
            assert told.facts is not None
            assert told.facts.envelope in known
            assert body == b"body"
            looks += 1
            await asyncio.sleep(0)  # a store in memory never lets go of the loop itself
        return looks

    readers = [asyncio.ensure_future(look()) for _ in range(3)]
    for mark in range(1, 30):
        facts = StoredFacts(envelope(100 + mark))
        stored = await store.replace_facts(BUCKET, "a", facts, stored.etag)
        await asyncio.sleep(0)
    done = True
    assert all(await asyncio.gather(*readers))
    told = (await store.head(BUCKET, "a")).facts
    assert told is not None
    assert told.envelope == envelope(129)


async def test_a_copy_has_the_bytes_and_facts_of_its_own(store: ObjectStore) -> None:
    source = await store.put_whole(BUCKET, "a", b"body" * 50_000, FACTS)
    copied = await store.copy(BUCKET, "a", BUCKET, "b", OTHER, source.etag)
    told, body = await store.read_whole(BUCKET, "b")
    assert (body, told.etag) == (b"body" * 50_000, copied.etag)
    assert told.facts is not None
    assert told.facts.envelope == OTHER.envelope
    assert (await store.head(BUCKET, "a")).etag == source.etag


async def test_an_object_may_be_copied_onto_itself(store: ObjectStore) -> None:
    source = await store.put_whole(BUCKET, "a", b"body", FACTS)
    await store.copy(BUCKET, "a", BUCKET, "a", OTHER, source.etag)
    told, body = await store.read_whole(BUCKET, "a")
    assert told.facts is not None
    assert (told.facts.envelope, body) == (OTHER.envelope, b"body")


async def test_a_copy_heeds_both_conditions(store: ObjectStore) -> None:
    old = await store.put_whole(BUCKET, "a", b"old", FACTS)
    new = await store.put_whole(BUCKET, "a", b"new", FACTS)
    with pytest.raises(Conflict):
        await store.copy(BUCKET, "a", BUCKET, "b", OTHER, old.etag)
    with pytest.raises(NotFound):
        await store.copy(BUCKET, "nothing", BUCKET, "b", OTHER, old.etag)
    if store.features.conditional_copy:
        await store.put_whole(BUCKET, "b", b"there", FACTS)
        with pytest.raises(Conflict):
            await store.copy(BUCKET, "a", BUCKET, "b", OTHER, new.etag, Condition(absent=True))
        assert await body_of(store, "b") == b"there"


# ── listings ─────────────────────────────────────────────────────────────────────────────────


async def test_a_listing_tells_sizes_and_etags(store: ObjectStore) -> None:
    stored = await store.put_whole(BUCKET, "a", b"12345", FACTS)
    (entry,) = (await store.list(BUCKET)).objects
    assert (entry.name, entry.size, entry.etag) == ("a", 5, stored.etag)


async def test_a_folder_takes_one_place_of_a_page(store: ObjectStore) -> None:
    for name in ("a/1", "a/2", "a0", "b/1", "c"):
        await store.put_whole(BUCKET, name, b"", StoredFacts())
    page = await store.list(BUCKET, delimiter="/", limit=2)
    assert ([e.name for e in page.objects], list(page.prefixes)) == (["a0"], ["a/"])
    page = await store.list(BUCKET, delimiter="/", after=page.next_after, limit=2)
    assert ([e.name for e in page.objects], list(page.prefixes)) == (["c"], ["b/"])
    assert page.next_after == ""
    page = await store.list(BUCKET, "a/", "/")
    assert [e.name for e in page.objects] == ["a/1", "a/2"]


TREE = st.lists(
    st.text(st.sampled_from("ab/-\u00e9\uffff\U0001f512"), min_size=1, max_size=6),
    unique=True,
    max_size=14,
)


def model(
    names: list[str], prefix: str, delimiter: str, after: str, limit: int
) -> tuple[list[str], bool]:
    entries: list[str] = []
    for name in sorted(names, key=str.encode):
        if not name.startswith(prefix) or name.encode() <= after.encode():
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        entry = name[: end + len(delimiter)] if end >= 0 else name
        if entry != after and entry not in entries:
            entries.append(entry)
    return entries[:limit], len(entries) > limit


def shown(page: StoreListing) -> list[str]:
    return sorted([entry.name for entry in page.objects] + list(page.prefixes), key=str.encode)


@given(
    names=TREE,
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "//", "b"]),
    limit=st.integers(1, 5),
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_pages_are_those_of_a_sorted_list(
    store: ObjectStore, names: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    there = {entry.name for entry in (await store.list(BUCKET)).objects}
    for name in there - set(names):
        await store.delete(BUCKET, name)
    for name in set(names) - there:
        await store.put_whole(BUCKET, name, b"", StoredFacts())
    after = ""
    for _ in range(len(names) + 1):
        page = await store.list(BUCKET, prefix, delimiter, after, limit)
        wanted, more = model(names, prefix, delimiter, after, limit)
        assert shown(page) == wanted
        assert bool(page.next_after) is more
        if not more:
            break
        after = page.next_after
    else:
        pytest.fail("the listing never ends")


async def test_a_listing_may_begin_anywhere(store: ObjectStore) -> None:
    for name in ("a", "b/1", "b/2", "c"):
        await store.put_whole(BUCKET, name, b"", StoredFacts())
    assert shown(await store.list(BUCKET, after="a")) == ["b/1", "b/2", "c"]
    assert shown(await store.list(BUCKET, after="b/1")) == ["b/2", "c"]
    assert shown(await store.list(BUCKET, after="bbb")) == ["c"]
    assert shown(await store.list(BUCKET, after="z")) == []


# ── uploads ──────────────────────────────────────────────────────────────────────────────────


async def uploaded(store: ObjectStore, bodies: dict[int, bytes]) -> tuple[str, list[StoredPart]]:
    upload = await store.begin_upload(BUCKET, "m", MULTIPART)
    numbers = list(bodies)
    random.Random(4).shuffle(numbers)
    parts = [
        await store.put_part_whole(BUCKET, "m", upload, number, bodies[number])
        for number in numbers
    ]
    return upload, sorted(parts, key=lambda part: part.number)


def part_body(store: ObjectStore, mark: bytes, *, last: bool = False) -> bytes:
    return mark * (10 if last else max(store.features.part_bytes_min, 10))


async def test_parts_are_joined_in_the_order_of_their_numbers(store: ObjectStore) -> None:
    bodies = {1: part_body(store, b"a"), 4: part_body(store, b"b"), 9999: b"end"}
    upload, parts = await uploaded(store, bodies)
    assert [(p.number, p.size) for p in parts] == [(n, len(b)) for n, b in bodies.items()]
    with pytest.raises(NotFound):
        await store.head(BUCKET, "m")
    assert not (await store.list(BUCKET)).objects
    listed = await store.list_parts(BUCKET, "m", upload)
    assert [(p.number, p.etag, p.size) for p in listed] == [
        (p.number, p.etag, p.size) for p in parts
    ]
    page = await store.list_parts(BUCKET, "m", upload, after=1, limit=1)
    assert [p.number for p in page] == [4]
    stored = await store.complete_upload(BUCKET, "m", upload, parts)
    told, body = await store.read_whole(BUCKET, "m")
    assert body == b"".join(bodies.values())
    assert told.etag == stored.etag
    assert told.facts is not None
    assert told.facts.envelope == MULTIPART.envelope
    with pytest.raises(NotFound):
        await store.list_parts(BUCKET, "m", upload)


async def test_a_part_may_come_in_pieces_and_again(store: ObjectStore) -> None:
    upload = await store.begin_upload(BUCKET, "m", MULTIPART)
    old = await store.put_part_whole(BUCKET, "m", upload, 1, b"old")
    sink = await store.put_part(BUCKET, "m", upload, 1, 6)
    for piece in (b"new", b"est"):
        await asyncio.to_thread(sink.write, memoryview(piece))
    new = await asyncio.to_thread(sink.commit)
    assert new.etag != old.etag
    with pytest.raises(HyokError) as caught:
        await store.complete_upload(BUCKET, "m", upload, [old])
    assert caught.value.reason == "InvalidPart"
    await store.complete_upload(BUCKET, "m", upload, [new])
    assert await body_of(store, "m") == b"newest"


async def test_a_part_that_was_given_up_is_none(store: ObjectStore) -> None:
    upload = await store.begin_upload(BUCKET, "m", MULTIPART)
    sink = await store.put_part(BUCKET, "m", upload, 1, 6)
    await asyncio.to_thread(sink.write, memoryview(b"par"))
    with pytest.raises(HyokError):
        await asyncio.to_thread(sink.commit)
    sink.abort()
    assert list(await store.list_parts(BUCKET, "m", upload)) == []
    await store.abort_upload(BUCKET, "m", upload)


async def test_a_completion_names_parts_that_are_there_in_order(store: ObjectStore) -> None:
    bodies = {1: part_body(store, b"a"), 2: part_body(store, b"b", last=True)}
    upload, parts = await uploaded(store, bodies)
    for wrong, reason in [
        ([parts[1], parts[0]], "InvalidPartOrder"),
        ([parts[0], StoredPart(3, parts[1].etag, 10)], "InvalidPart"),
        ([StoredPart(1, "0" * 32, parts[0].size)], "InvalidPart"),
    ]:
        with pytest.raises(HyokError) as caught:
            await store.complete_upload(BUCKET, "m", upload, wrong)
        assert caught.value.reason == reason
    await store.complete_upload(BUCKET, "m", upload, [parts[0]])
    assert await body_of(store, "m") == bodies[1]


async def test_an_upload_that_was_aborted_is_over(store: ObjectStore) -> None:
    await store.put_whole(BUCKET, "m", b"before", FACTS)
    upload, parts = await uploaded(store, {1: b"x"})
    await store.abort_upload(BUCKET, "m", upload)
    for call in (
        store.put_part_whole(BUCKET, "m", upload, 1, b"x"),
        store.complete_upload(BUCKET, "m", upload, parts),
        store.list_parts(BUCKET, "m", upload),
    ):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "NoSuchUpload"
    assert await body_of(store, "m") == b"before"
    assert list(await store.list_uploads(BUCKET)) == []


async def test_open_uploads_are_listed(store: ObjectStore) -> None:
    ids = {name: await store.begin_upload(BUCKET, name, MULTIPART) for name in ("x/2", "y", "x/1")}
    found = await store.list_uploads(BUCKET)
    assert [(u.name, u.upload_id) for u in found] == sorted(ids.items())
    assert [u.name for u in await store.list_uploads(BUCKET, "x/")] == ["x/1", "x/2"]
    for name, upload in ids.items():
        await store.abort_upload(BUCKET, name, upload)


async def test_of_two_completions_one_wins(store: ObjectStore) -> None:
    upload, parts = await uploaded(store, {1: b"x" * 10})
    done = await asyncio.gather(
        *(store.complete_upload(BUCKET, "m", upload, parts) for _ in range(4)),
        return_exceptions=True,
    )
    # A store may answer the repeated completion with the object that it made before.
    won = [answer for answer in done if not isinstance(answer, BaseException)]
    assert len({stored.etag for stored in won}) == 1
    assert all(isinstance(a, (NotFound, Conflict)) for a in done if a not in won)
    assert await body_of(store, "m") == b"x" * 10


async def test_a_completion_heeds_its_condition(store: ObjectStore) -> None:
    upload, parts = await uploaded(store, {1: b"x"})
    await store.put_whole(BUCKET, "m", b"there", FACTS)
    with pytest.raises(Conflict):
        await store.complete_upload(BUCKET, "m", upload, parts, Condition(absent=True))
    assert await body_of(store, "m") == b"there"
    await store.complete_upload(BUCKET, "m", upload, parts)
    assert await body_of(store, "m") == b"x"


# ── buckets ──────────────────────────────────────────────────────────────────────────────────


async def test_a_bucket_is_removed_only_when_empty(store: ObjectStore) -> None:
    await store.create_bucket(BUCKET)
    await store.put_whole(BUCKET, "a", b"x", FACTS)
    with pytest.raises(Conflict) as caught:
        await store.delete_bucket(BUCKET)
    assert caught.value.reason == "BucketNotEmpty"
    assert await store.has_bucket(BUCKET)
    assert BUCKET in await store.list_buckets()
    await store.delete(BUCKET, "a")
    await store.delete_bucket(BUCKET)
    assert not await store.has_bucket(BUCKET)
    assert BUCKET not in await store.list_buckets()
    await store.create_bucket(BUCKET)
    assert not (await store.list(BUCKET)).objects


async def test_buckets_keep_their_objects_apart(store: ObjectStore) -> None:
    await store.create_bucket("conformance-two")
    await store.put_whole(BUCKET, "a", b"one", FACTS)
    await store.put_whole("conformance-two", "a", b"two", FACTS)
    assert await body_of(store, "a") == b"one"
    assert (await store.read_whole("conformance-two", "a"))[1] == b"two"
    await store.delete("conformance-two", "a")
    assert await body_of(store, "a") == b"one"


async def test_a_sweep_at_any_time_spares_what_lives(store: ObjectStore) -> None:
    await store.put_whole(BUCKET, "a", b"x", FACTS)
    upload = await store.begin_upload(BUCKET, "m", MULTIPART)
    part = await store.put_part_whole(BUCKET, "m", upload, 1, b"part")
    sink = await store.put(BUCKET, "b", 4, FACTS)
    await asyncio.to_thread(sink.write, memoryview(b"bo"))
    assert await store.sweep() == 0
    await asyncio.to_thread(sink.write, memoryview(b"dy"))
    await asyncio.to_thread(sink.commit)
    await store.complete_upload(BUCKET, "m", upload, [part])
    assert [await body_of(store, name) for name in ("a", "b", "m")] == [b"x", b"body", b"part"]
