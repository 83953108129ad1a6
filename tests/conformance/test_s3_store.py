"""S3Store against a real SeaweedFS: what the port promises, through signatures and sockets."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.conformance.conftest import s3_store
from tests.conformance.object_stores import envelope

from hyok.backends.port import Condition, Span, StoredFacts
from hyok.backends.s3 import S3Store, Sizes
from hyok.backends.s3_credentials import CredentialChain
from hyok.backends.s3_trailer import WHOLE_BYTES_MIN
from hyok.errors import Conflict, HyokError, NotFound, Refused, Unavailable
from hyok.http1.client import Pool
from hyok.http1.pump import PumpPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.peers.seaweedfs import SeaweedFS

pytestmark = pytest.mark.integration
BUCKET = "conformance"
FACTS = StoredFacts(envelope(1), {"content-type": "text/x"}, {"a": "b"}, {})


@pytest.fixture
async def store(weed: SeaweedFS) -> AsyncIterator[S3Store]:
    made = s3_store(weed)
    await made.create_bucket(BUCKET)
    yield made
    await made.close()


@pytest.fixture
def pump() -> Iterator[PumpPool]:
    pool = PumpPool(4)
    yield pool
    pool.close()


async def test_an_object_comes_back_with_its_facts(store: S3Store) -> None:
    stored = await store.put_whole(BUCKET, "een/naam é+ %.txt", b"inhoud", FACTS)
    found, body = await store.read_whole(BUCKET, "een/naam é+ %.txt")
    assert body == b"inhoud"
    assert found.facts is not None
    assert found.facts.envelope == FACTS.envelope
    assert found.facts.user_metadata == {"a": "b"}
    assert found.facts.clear["content-type"] == "text/x"
    assert (found.etag, found.size) == (stored.etag, 6)
    assert (await store.head(BUCKET, "een/naam é+ %.txt")).size == 6


async def test_the_store_checks_the_trailing_checksum_of_a_streamed_body(
    store: S3Store, pump: PumpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SeaweedFS takes trailers: what was damaged on the way is refused and leaves nothing."""
    assert not store.features.trailing_checksum  # nobody asked it yet
    body = os.urandom(3_000_001)
    await store.put_whole(BUCKET, "eerst", b"1", FACTS)
    assert store.features.trailing_checksum
    sink = await store.put(BUCKET, "met-proef", len(body), FACTS)

    def send() -> None:
        sink.write(memoryview(body))
        sink.commit()

    await pump.run(send)
    found, kept = await store.read_whole(BUCKET, "met-proef")
    assert kept == body
    assert found.facts is not None
    assert "content-encoding" not in found.facts.clear
    monkeypatch.setattr("hyok.backends.s3_trailer.encode", lambda _raw: "AAAAAA==")
    sink = await store.put(BUCKET, "beschadigd", len(body), FACTS)
    with pytest.raises(HyokError):
        await pump.run(send)
    with pytest.raises(NotFound):
        await store.head(BUCKET, "beschadigd")


@pytest.mark.parametrize("size", [WHOLE_BYTES_MIN, (1 << 20) + 321])
async def test_the_store_checks_the_trailing_checksum_of_a_body_held_whole(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """It has to: the body is no longer part of what is signed."""
    await store.put_whole(BUCKET, "eerst", b"1", FACTS)
    assert store.features.trailing_checksum
    body = os.urandom(size)
    upload = await store.begin_upload(BUCKET, "in delen", FACTS)
    stored = await store.put_whole(BUCKET, "heel", body, FACTS)
    part = await store.put_part_whole(BUCKET, "in delen", upload, 1, body)
    await store.complete_upload(BUCKET, "in delen", upload, [part])
    for name in ("heel", "in delen"):
        found, kept = await store.read_whole(BUCKET, name)
        assert (kept, found.size) == (body, size)
        assert found.facts is not None
        assert "content-encoding" not in found.facts.clear
    assert stored.size == size
    monkeypatch.setattr("hyok.backends.s3_trailer.encode", lambda _raw: "AAAAAA==")
    upload = await store.begin_upload(BUCKET, "in delen beschadigd", FACTS)
    with pytest.raises(HyokError):
        await store.put_whole(BUCKET, "beschadigd", body, FACTS)
    with pytest.raises(HyokError):
        await store.put_part_whole(BUCKET, "in delen beschadigd", upload, 1, body)
    await store.abort_upload(BUCKET, "in delen beschadigd", upload)
    with pytest.raises(NotFound):
        await store.head(BUCKET, "beschadigd")


async def test_a_body_whose_encoding_is_told_goes_without_a_trailer(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put_whole(BUCKET, "eerst", b"1", FACTS)
    monkeypatch.setattr("hyok.backends.s3_trailer.encode", lambda _raw: "AAAAAA==")
    facts = replace(FACTS, clear={"content-encoding": "gzip"})
    body = os.urandom(WHOLE_BYTES_MIN)
    await store.put_whole(BUCKET, "gzip", body, facts)
    found, kept = await store.read_whole(BUCKET, "gzip")
    assert kept == body
    assert found.facts is not None
    assert found.facts.clear["content-encoding"] == "gzip"


async def test_a_long_body_streams_both_ways(store: S3Store, pump: PumpPool) -> None:
    body = os.urandom(5_000_001)
    sink = await store.put(BUCKET, "lang", len(body), FACTS)

    def send() -> str:
        for at in range(0, len(body), 262_144):
            sink.write(memoryview(body)[at : at + 262_144])
        return sink.commit().etag

    etag = await pump.run(send)
    source = await store.read(BUCKET, "lang", Span(1000, 4_000_000), if_match=etag)
    assert source.stored.size == len(body)

    def receive() -> bytes:
        room = memoryview(bytearray(262_144))
        whole = bytearray()
        while count := source.read_into(room):
            whole += room[:count]
        source.close()
        return bytes(whole)

    assert await pump.run(receive) == body[1000:4_000_000]


async def test_a_body_broken_off_leaves_nothing(store: S3Store, pump: PumpPool) -> None:
    sink = await store.put(BUCKET, "half", 1_000_000, FACTS)

    def send() -> None:
        sink.write(memoryview(bytes(500_000)))
        sink.abort()

    await pump.run(send)
    await asyncio.sleep(0.2)
    with pytest.raises(NotFound):
        await store.head(BUCKET, "half")


async def test_a_replaced_object_is_not_read_under_its_old_tag(store: S3Store) -> None:
    first = await store.put_whole(BUCKET, "tag", b"1", FACTS)
    await store.put_whole(BUCKET, "tag", b"2", FACTS)
    with pytest.raises(Conflict):
        await store.read_whole(BUCKET, "tag", if_match=first.etag)


async def test_conditions_are_the_stores_or_refused(store: S3Store) -> None:
    absent = Condition(absent=True)
    try:
        await store.put_whole(BUCKET, "once", b"1", FACTS, absent)
    except Refused as refused:
        assert refused.reason == "NotImplemented"
        return
    with pytest.raises(Conflict) as caught:
        await store.put_whole(BUCKET, "once", b"2", FACTS, absent)
    assert caught.value.reason == "PreconditionFailed"
    assert (await store.read_whole(BUCKET, "once"))[1] == b"1"


async def test_seaweedfs_decides_every_condition_but_that_of_a_complete(store: S3Store) -> None:
    """Four Completes with If-None-Match at once: several win, so it is refused (4.48)."""
    found = await store.features_of(BUCKET)
    assert (found.conditional_put, found.conditional_copy) == (True, True)
    assert (found.conditional_delete, found.conditional_complete) == (True, False)
    assert found.rare_conditions
    assert found == store.features
    assert not [f.name for f in (await store.list(BUCKET, ".hyok/probe/")).objects]
    assert not await store.list_uploads(BUCKET, ".hyok/probe/")


async def test_a_delete_with_a_condition_removes_that_version_only(store: S3Store) -> None:
    old = await store.put_whole(BUCKET, "weg", b"1", FACTS)
    new = await store.put_whole(BUCKET, "weg", b"2", FACTS)
    with pytest.raises(Conflict):
        await store.delete(BUCKET, "weg", Condition(if_match=old.etag))
    assert (await store.read_whole(BUCKET, "weg"))[1] == b"2"
    await store.delete(BUCKET, "weg", Condition(if_match=new.etag))
    with pytest.raises(NotFound):
        await store.head(BUCKET, "weg")


async def test_a_write_may_ask_for_any_version_or_for_none_but_one(store: S3Store) -> None:
    """If-Match: * and If-None-Match with an ETag: not Amazon's, and SeaweedFS heeds them."""
    with pytest.raises(Conflict):
        await store.put_whole(BUCKET, "eigen", b"0", FACTS, Condition(exists=True))
    first = await store.put_whole(BUCKET, "eigen", b"1", FACTS, Condition(not_match="f" * 32))
    await store.put_whole(BUCKET, "eigen", b"2", FACTS, Condition(exists=True))
    again = await store.put_whole(BUCKET, "eigen", b"3", FACTS, Condition(not_match=first.etag))
    with pytest.raises(Conflict):
        await store.put_whole(BUCKET, "eigen", b"4", FACTS, Condition(not_match=again.etag))
    with pytest.raises(Refused):  # a DELETE has no such condition at the store
        await store.delete(BUCKET, "eigen", Condition(exists=True))
    assert (await store.read_whole(BUCKET, "eigen"))[1] == b"3"


async def test_a_condition_that_the_store_does_not_decide_is_refused(store: S3Store) -> None:
    upload = await store.begin_upload(BUCKET, "deel", FACTS)
    part = await store.put_part_whole(BUCKET, "deel", upload, 1, b"deel")
    with pytest.raises(Refused) as caught:
        await store.complete_upload(BUCKET, "deel", upload, [part], Condition(absent=True))
    assert caught.value.reason == "NotImplemented"
    await store.abort_upload(BUCKET, "deel", upload)


COPIED = StoredFacts(envelope(2), {"content-type": "text/y"}, {"c": "d"}, {"zaak": "12 + 3"})


@pytest.fixture
async def small_store(weed: SeaweedFS, store: S3Store) -> AsyncIterator[S3Store]:
    """The same store, taken for one that copies and puts 6 MiB at once."""
    del store  # it made the bucket
    made = S3Store(
        pool=Pool(weed.endpoint),
        host=weed.endpoint.removeprefix("http://"),
        credentials=CredentialChain("us-east-1", weed.credentials_file()),
        sizes=Sizes(6 << 20, 5 << 20),
    )
    yield made
    await made.close()


async def test_copies_say_new_facts_and_keep_the_bytes_at_once_and_in_parts(
    small_store: S3Store,
) -> None:
    for size, parts in ((1_000_003, ""), ((17 << 20) + 3, "-4")):
        body = os.urandom(size)
        stored = await small_store.put_whole(BUCKET, "van", body, FACTS)
        made = await small_store.copy(BUCKET, "van", BUCKET, "naar é", COPIED, stored.etag)
        found, kept = await small_store.read_whole(BUCKET, "naar é")
        assert kept == body
        untagged = replace(COPIED, tags={})  # tags are not read back with an object
        assert (found.etag, found.size, found.facts) == (made.etag, size, untagged)
        assert await small_store.tags(BUCKET, "naar é") == COPIED.tags
        assert made.etag.endswith(parts)
        # Onto itself: what was said before and is not said now is gone, but for the tags.
        again = await small_store.replace_facts(BUCKET, "naar é", FACTS, made.etag)
        found, kept = await small_store.read_whole(BUCKET, "naar é")
        assert kept == body
        assert (found.etag, found.facts) == (again.etag, FACTS)
        assert await small_store.tags(BUCKET, "naar é") == COPIED.tags
        assert not await small_store.list_uploads(BUCKET)


async def test_a_long_copy_of_a_version_that_is_gone_leaves_nothing(small_store: S3Store) -> None:
    body = os.urandom((11 << 20) + 1)
    old = await small_store.put_whole(BUCKET, "lang", body, FACTS)
    new = await small_store.put_whole(BUCKET, "lang", body[::-1], FACTS)
    with pytest.raises(Conflict):
        await small_store.copy(BUCKET, "lang", BUCKET, "doel", COPIED, old.etag)
    with pytest.raises(Refused):  # its Complete would decide it, and does not
        await small_store.copy(
            BUCKET, "lang", BUCKET, "doel", COPIED, new.etag, Condition(absent=True)
        )
    with pytest.raises(NotFound):
        await small_store.head(BUCKET, "doel")
    assert not await small_store.list_uploads(BUCKET)


async def test_a_copy_with_a_condition_is_decided_at_its_destination(store: S3Store) -> None:
    source = await store.put_whole(BUCKET, "bron", b"bron", FACTS)
    here = await store.put_whole(BUCKET, "bestemming", b"hier", FACTS)
    for condition in (Condition(absent=True), Condition(if_match=source.etag)):
        with pytest.raises(Conflict):
            await store.copy(BUCKET, "bron", BUCKET, "bestemming", COPIED, source.etag, condition)
    assert (await store.read_whole(BUCKET, "bestemming"))[1] == b"hier"
    right = Condition(if_match=here.etag)
    await store.copy(BUCKET, "bron", BUCKET, "bestemming", COPIED, source.etag, right)
    assert (await store.read_whole(BUCKET, "bestemming"))[1] == b"bron"


async def test_pages_hold_every_name_once_and_in_order(store: S3Store) -> None:
    names = [f"lijst/{a}/{b}" for a in "abc" for b in range(5)] + ["lijst/z"]
    for name in names:
        await store.put_whole(BUCKET, name, b"x", FACTS)
    for delimiter, wanted in (("", sorted(names)), ("/", [f"lijst/{a}/" for a in "abc"])):
        seen: list[str] = []
        after = ""
        while True:
            page = await store.list(BUCKET, "lijst/", delimiter, after, 2)
            seen += page.prefixes if delimiter else [found.name for found in page.objects]
            after = page.next_after
            if not after:
                break
        assert sorted(seen) == wanted
        assert len(seen) == len(set(seen))


async def test_an_upload_in_parts_becomes_one_object(store: S3Store) -> None:
    upload = await store.begin_upload(BUCKET, "delen", FACTS)
    first = await store.put_part_whole(BUCKET, "delen", upload, 1, bytes(5 << 20))
    last = await store.put_part_whole(BUCKET, "delen", upload, 3, b"eind")
    assert [p.number for p in await store.list_parts(BUCKET, "delen", upload)] == [1, 3]
    stored = await store.complete_upload(BUCKET, "delen", upload, [first, last])
    assert stored.size == (5 << 20) + 4
    assert stored.facts is not None
    assert stored.facts.envelope == FACTS.envelope
    with pytest.raises(HyokError):
        await store.put_part_whole(BUCKET, "delen", upload, 4, b"te laat")


async def test_names_that_the_store_cannot_hold_are_refused_and_leave_nothing(
    store: S3Store,
) -> None:
    before = {found.name for found in (await store.list(BUCKET)).objects}
    for name in ("s" * 600, "a/../b", "a\\b", "map/", "a//b", "/voor"):
        try:
            await store.put_whole(BUCKET, name, b"x", FACTS)
        except Refused as refused:
            assert refused.reason in {"KeyTooLongError", "InvalidArgument"}
        else:
            assert (await store.read_whole(BUCKET, name))[1] == b"x"
            await store.delete(BUCKET, name)
    assert {found.name for found in (await store.list(BUCKET)).objects} == before


async def test_wrong_credentials_are_unavailable_and_say_so(
    weed: SeaweedFS, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("[default]\naws_access_key_id = x\naws_secret_access_key = y\n")
    made = S3Store(
        pool=Pool(weed.endpoint),
        host=weed.endpoint.removeprefix("http://"),
        credentials=CredentialChain("us-east-1", wrong),
    )
    with pytest.raises(Unavailable) as caught:
        await made.read_whole(BUCKET, "tag")
    assert caught.value.code == "HY-4002"
    await made.close()


async def test_a_store_that_is_away_is_unavailable() -> None:
    made = S3Store(
        pool=Pool("http://127.0.0.1:9", connect_seconds_max=1),
        host="127.0.0.1:9",
        credentials=CredentialChain("us-east-1", None),
    )
    with pytest.raises(Unavailable):
        await made.head(BUCKET, "x")
    await made.close()
