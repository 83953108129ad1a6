"""Versions as the port promises them, on every store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import envelope

from hyok.backends.own_objects import erase, erase_deleted, erase_older, has_versions
from hyok.backends.port import Condition, Deleted, StoredFacts
from hyok.errors import Conflict, HyokError, Malformed, NotFound

if TYPE_CHECKING:
    from tests.conformance.conftest import Place

FACTS = StoredFacts(envelope(1))
OTHER = StoredFacts(envelope(2))
MULTIPART = StoredFacts(envelope(3, multipart=True))
NEVER = "00000000000000000000000000000000"
"""In the form of a version's id, and none."""


async def put(place: Place, name: str, body: bytes, facts: StoredFacts = FACTS) -> str:
    """Write and return the version's id."""
    return (await place.store.put_whole(place.bucket, name, body, facts)).version_id


async def body_of(place: Place, name: str, version_id: str = "") -> bytes:
    return (await place.store.read_whole(place.bucket, name, version_id=version_id))[1]


async def listed(place: Place) -> list[str]:
    return [found.name for found in (await place.store.list(place.bucket)).objects]


def reads(place: Place) -> list[object]:
    return [place.store.head, place.store.read_whole, place.store.read]


# ── the bucket's state ───────────────────────────────────────────────────────────────────────


async def test_versions_are_off_until_switched_on_and_suspended_later(place: Place) -> None:
    store, bucket = place.store, place.bucket
    assert await store.versioning(bucket) == ""
    for status in ("Enabled", "Suspended", "Enabled"):
        await store.set_versioning(bucket, status)
        assert await store.versioning(bucket) == status


async def test_the_versions_of_no_bucket_are_not_found(place: Place) -> None:
    for call in (
        place.store.versioning("no-such-bucket"),
        place.store.set_versioning("no-such-bucket", "Enabled"),
        place.store.list_versions("no-such-bucket"),
    ):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "NoSuchBucket"


async def test_the_store_says_that_it_keeps_versions(place: Place) -> None:
    await put(place, "a", b"x")  # the first write asks a store what it can do
    assert place.store.features.versioning
    assert place.store.features.object_lock
    assert (await place.store.features_of(place.bucket)).tags


# ── a bucket that never had versions ─────────────────────────────────────────────────────────


async def test_without_versions_there_is_no_id_to_tell(place: Place) -> None:
    stored = await place.store.put_whole(place.bucket, "a", b"one", FACTS)
    assert stored.version_id == ""
    assert (await place.store.head(place.bucket, "a")).version_id == ""
    await put(place, "a", b"two")
    assert await body_of(place, "a", "null") == b"two"
    (only,) = await place.versions()
    assert (only.name, only.version_id, only.latest, only.size) == ("a", "null", True, 3)
    assert not only.marker
    deleted = await place.store.delete(place.bucket, "a")
    assert deleted == Deleted()
    assert await place.versions() == []


async def test_an_id_names_nothing_in_a_bucket_that_never_had_versions(place: Place) -> None:
    """Some stores pass over the id there, and read or delete what they have."""
    await put(place, "a", b"kept")
    for call in reads(place):
        with pytest.raises(NotFound) as caught:
            await call(place.bucket, "a", version_id=NEVER)  # type: ignore[operator]
        assert caught.value.reason == "NoSuchVersion"
    with pytest.raises(NotFound):
        await place.store.tags(place.bucket, "a", NEVER)
    with pytest.raises(NotFound):
        await place.store.set_tags(place.bucket, "a", {"k": "v"}, NEVER)
    assert await place.store.delete(place.bucket, "a", version_id=NEVER) == Deleted()
    assert await body_of(place, "a") == b"kept"
    assert await place.store.tags(place.bucket, "a") == {}


async def test_the_null_version_can_be_deleted_by_its_id(place: Place) -> None:
    await put(place, "a", b"x")
    await place.store.delete(place.bucket, "a", version_id="null")
    assert await place.versions() == []
    with pytest.raises(NotFound):
        await place.store.head(place.bucket, "a")


# ── a bucket with versions ───────────────────────────────────────────────────────────────────


async def test_every_write_makes_a_version_of_its_own(versioned: Place) -> None:
    place = versioned
    ids = [await put(place, "a", b"%d" % number) for number in range(3)]
    assert len(set(ids)) == 3
    assert "null" not in ids
    for number, version_id in enumerate(ids):
        assert await body_of(place, "a", version_id) == b"%d" % number
        stored = await place.store.head(place.bucket, "a", version_id)
        assert stored.version_id == version_id
        assert stored.facts is not None
        assert stored.facts.envelope == FACTS.envelope
        source = await place.store.read(place.bucket, "a", version_id=version_id)
        assert source.stored.version_id == version_id
        source.close()
    newest = await place.store.head(place.bucket, "a")
    assert (newest.version_id, newest.size) == (ids[-1], 1)
    assert await body_of(place, "a") == b"2"
    assert await listed(place) == ["a"]


async def test_versions_are_listed_by_name_and_newest_first(versioned: Place) -> None:
    place = versioned
    b_old = await put(place, "b", b"old")
    a = await put(place, "a", b"x")
    b_new = await put(place, "b", b"newer")
    marker = (await place.store.delete(place.bucket, "a")).version_id
    found = await place.versions()
    assert [(v.name, v.version_id, v.latest, v.marker, v.size) for v in found] == [
        ("a", marker, True, True, 0),
        ("a", a, False, False, 1),
        ("b", b_new, True, False, 5),
        ("b", b_old, False, False, 3),
    ]
    stored = await place.store.head(place.bucket, "b", b_old)
    assert (found[3].etag, found[3].modified_ms // 1000) == (
        stored.etag,
        stored.modified_ms // 1000,
    )
    assert found[0].etag == ""
    assert found[0].modified_ms > 1_600_000_000_000


async def test_a_delete_lays_a_marker_and_keeps_the_bytes(versioned: Place) -> None:
    place = versioned
    kept = await put(place, "a", b"kept")
    deleted = await place.store.delete(place.bucket, "a")
    assert deleted.marker
    assert deleted.version_id not in {"", "null", kept}
    assert await listed(place) == []
    assert await body_of(place, "a", kept) == b"kept"
    for call in reads(place):
        with pytest.raises(NotFound) as caught:
            await call(place.bucket, "a")  # type: ignore[operator]
        assert caught.value.reason == "NoSuchKey"
        # Not every store says that it was deleted; none says it wrongly.
        said = {"delete-marker": "true", "version-id": deleted.version_id}
        assert caught.value.facts in ({}, said)


async def test_a_marker_has_nothing_to_read(versioned: Place) -> None:
    place = versioned
    await put(place, "a", b"x")
    marker = (await place.store.delete(place.bucket, "a")).version_id
    for call in reads(place):
        with pytest.raises((Malformed, NotFound)) as caught:
            await call(place.bucket, "a", version_id=marker)  # type: ignore[operator]
        if isinstance(caught.value, Malformed):  # a store that tells it apart
            assert caught.value.reason == "MethodNotAllowed"
            assert caught.value.facts == {"delete-marker": "true", "version-id": marker}
    with pytest.raises((Malformed, NotFound)):
        await place.store.tags(place.bucket, "a", marker)
    with pytest.raises((Malformed, NotFound)):
        await place.store.set_tags(place.bucket, "a", {"k": "v"}, marker)


async def test_without_its_marker_the_object_is_there_again(versioned: Place) -> None:
    place = versioned
    kept = await put(place, "a", b"kept")
    marker = (await place.store.delete(place.bucket, "a")).version_id
    deleted = await place.store.delete(place.bucket, "a", version_id=marker)
    assert deleted == Deleted(marker, marker=True)
    assert await body_of(place, "a") == b"kept"
    assert await listed(place) == ["a"]
    (only,) = await place.versions()
    assert (only.version_id, only.latest) == (kept, True)


async def test_a_delete_of_nothing_lays_a_marker_as_well(versioned: Place) -> None:
    place = versioned
    first = await place.store.delete(place.bucket, "a")
    second = await place.store.delete(place.bucket, "a")
    assert first.marker
    assert second.marker
    assert [v.version_id for v in await place.versions()] == [
        second.version_id,
        first.version_id,
    ]


async def test_a_version_that_is_deleted_is_gone_for_good(versioned: Place) -> None:
    place = versioned
    ids = [await put(place, "a", b"%d" % number) for number in range(3)]
    deleted = await place.store.delete(place.bucket, "a", version_id=ids[1])
    assert deleted == Deleted(ids[1])
    with pytest.raises(NotFound) as caught:
        await place.store.read_whole(place.bucket, "a", version_id=ids[1])
    assert caught.value.reason == "NoSuchVersion"
    assert await place.bodies("a") == [b"2", b"0"]
    await place.store.delete(place.bucket, "a", version_id=ids[2])
    assert await body_of(place, "a") == b"0"
    assert [(v.version_id, v.latest) for v in await place.versions()] == [(ids[0], True)]
    await place.store.delete(place.bucket, "a", version_id=ids[0])
    assert await place.versions() == []
    with pytest.raises(NotFound) as caught:
        await place.store.head(place.bucket, "a")
    assert caught.value.facts == {}


async def test_what_was_deleted_below_a_marker_does_not_come_back(versioned: Place) -> None:
    place = versioned
    old = await put(place, "a", b"old")
    lower = (await place.store.delete(place.bucket, "a")).version_id
    new = await put(place, "a", b"new")
    await place.store.delete(place.bucket, "a", version_id=new)
    assert await listed(place) == []
    assert [(v.version_id, v.latest) for v in await place.versions()] == [
        (lower, True),
        (old, False),
    ]


async def test_a_version_that_is_not_there_is_deleted_quietly(versioned: Place) -> None:
    place = versioned
    kept = await put(place, "a", b"x")
    gone = await put(place, "a", b"y")
    await place.store.delete(place.bucket, "a", version_id=gone)
    await place.store.delete(place.bucket, "a", version_id=gone)
    assert [v.version_id for v in await place.versions()] == [kept]


@pytest.mark.parametrize("version_id", [NEVER, "no id at all", "null", "../x", "é"])
async def test_a_version_that_never_was_is_not_found(versioned: Place, version_id: str) -> None:
    place = versioned
    await put(place, "a", b"x")
    for call in reads(place):
        with pytest.raises((NotFound, Malformed)) as caught:
            await call(place.bucket, "a", version_id=version_id)  # type: ignore[operator]
        assert caught.value.reason in {"NoSuchVersion", "InvalidArgument"}
    assert await body_of(place, "a") == b"x"


async def test_a_version_belongs_to_its_name(versioned: Place) -> None:
    place = versioned
    of_a = await put(place, "a", b"a")
    await put(place, "b", b"b")
    with pytest.raises(NotFound):
        await body_of(place, "b", of_a)
    await place.store.delete(place.bucket, "b", version_id=of_a)
    assert await body_of(place, "b") == b"b"
    assert await body_of(place, "a", of_a) == b"a"


async def test_a_read_of_a_version_heeds_its_condition(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"old", FACTS)
    new = await place.store.put_whole(place.bucket, "a", b"newer", OTHER)
    _, body = await place.store.read_whole(
        place.bucket, "a", if_match=old.etag, version_id=old.version_id
    )
    assert body == b"old"
    with pytest.raises(Conflict):
        await place.store.read_whole(
            place.bucket, "a", if_match=new.etag, version_id=old.version_id
        )


async def test_absent_holds_where_a_marker_lies(versioned: Place) -> None:
    place = versioned
    old = await put(place, "a", b"old")
    with pytest.raises(Conflict):
        await place.store.put_whole(place.bucket, "a", b"x", FACTS, Condition(absent=True))
    await place.store.delete(place.bucket, "a")
    await place.store.put_whole(place.bucket, "a", b"new", FACTS, Condition(absent=True))
    assert await place.bodies("a") == [b"new", None, b"old"]
    assert await body_of(place, "a", old) == b"old"


async def test_if_match_means_the_newest_version(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"old", FACTS)
    new = await place.store.put_whole(place.bucket, "a", b"newer", FACTS)
    with pytest.raises(Conflict):
        await place.store.put_whole(place.bucket, "a", b"x", FACTS, Condition(old.etag))
    await place.store.put_whole(place.bucket, "a", b"newest", FACTS, Condition(new.etag))
    await place.store.delete(place.bucket, "a")
    with pytest.raises((Conflict, NotFound)):
        await place.store.put_whole(place.bucket, "a", b"x", FACTS, Condition(new.etag))
    assert await place.bodies("a") == [None, b"newest", b"newer", b"old"]


async def test_a_delete_heeds_its_condition(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"old", FACTS)
    new = await place.store.put_whole(place.bucket, "a", b"newer", FACTS)
    with pytest.raises(Conflict):
        await place.store.delete(place.bucket, "a", Condition(old.etag))
    assert await place.bodies("a") == [b"newer", b"old"]
    assert (await place.store.delete(place.bucket, "a", Condition(new.etag))).marker
    assert await place.bodies("a") == [None, b"newer", b"old"]


async def test_of_many_writers_every_one_has_a_version(versioned: Place) -> None:
    place = versioned
    ids = await asyncio.gather(*(put(place, "a", b"%d" % n) for n in range(12)))
    assert len(set(ids)) == 12
    found = await place.versions()
    assert {v.version_id for v in found} == set(ids)
    assert [v.latest for v in found] == [True] + [False] * 11
    assert await body_of(place, "a") == b"%d" % ids.index(found[0].version_id)


async def test_an_upload_makes_a_version_when_it_is_completed(versioned: Place) -> None:
    place = versioned
    old = await put(place, "m", b"old")
    upload = await place.store.begin_upload(place.bucket, "m", MULTIPART)
    part = await place.store.put_part_whole(place.bucket, "m", upload, 1, b"joined")
    assert [v.version_id for v in await place.versions()] == [old]
    stored = await place.store.complete_upload(place.bucket, "m", upload, [part])
    assert await place.bodies("m") == [b"joined", b"old"]
    assert (await place.versions())[0].version_id == stored.version_id
    assert (await place.store.head(place.bucket, "m")).etag == stored.etag


async def test_new_facts_make_a_version_and_leave_the_old_one_as_it_was(
    versioned: Place,
) -> None:
    """format.md, section 9: in a versioned bucket a rewrap makes a new version."""
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"body", FACTS)
    await place.store.set_tags(place.bucket, "a", {"zaak": "1"})
    new = await place.store.replace_facts(place.bucket, "a", OTHER, old.etag)
    assert new.version_id != old.version_id
    assert await place.bodies("a") == [b"body", b"body"]
    for version_id, facts in ((old.version_id, FACTS), (new.version_id, OTHER)):
        told = (await place.store.head(place.bucket, "a", version_id)).facts
        assert told is not None
        assert told.envelope == facts.envelope
        assert await place.store.tags(place.bucket, "a", version_id) == {"zaak": "1"}


async def test_a_version_can_be_copied(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(
        place.bucket, "a", b"old", StoredFacts(FACTS.envelope, tags={"k": "v"})
    )
    await put(place, "a", b"newer")
    copied = await place.store.copy(
        place.bucket, "a", place.bucket, "b", OTHER, old.etag, version_id=old.version_id
    )
    told, body = await place.store.read_whole(place.bucket, "b")
    assert body == b"old"
    assert told.version_id == copied.version_id
    assert told.facts is not None
    assert told.facts.envelope == OTHER.envelope
    assert await place.store.tags(place.bucket, "b") == {}  # all facts are the new ones
    with pytest.raises((Conflict, NotFound)):
        await place.store.copy(place.bucket, "a", place.bucket, "c", OTHER, old.etag)
    with pytest.raises(HyokError):
        await place.store.head(place.bucket, "c")
    with pytest.raises(NotFound):
        await place.store.copy(
            place.bucket, "a", place.bucket, "c", OTHER, old.etag, version_id=NEVER
        )


async def test_an_older_version_is_restored_by_a_copy_onto_itself(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"old", FACTS)
    await put(place, "a", b"newer")
    await place.store.copy(
        place.bucket, "a", place.bucket, "a", FACTS, old.etag, version_id=old.version_id
    )
    assert await place.bodies("a") == [b"old", b"newer", b"old"]


async def test_a_bucket_with_a_version_or_marker_is_not_empty(versioned: Place) -> None:
    place = versioned
    version = await put(place, "a", b"x")
    marker = (await place.store.delete(place.bucket, "a")).version_id
    for version_id in (version, marker):
        with pytest.raises(Conflict) as caught:
            await place.store.delete_bucket(place.bucket)
        assert caught.value.reason == "BucketNotEmpty"
        await place.store.delete(place.bucket, "a", version_id=version_id)
    await place.store.delete_bucket(place.bucket)
    assert not await place.store.has_bucket(place.bucket)


# ── suspended, and the null version ──────────────────────────────────────────────────────────


async def check_bodies(place: Place, wanted: list[bytes]) -> None:
    """SeaweedFS lists the `null` version last among those of one second; the newest stays first."""
    found = await place.bodies("a")
    assert found[0] == wanted[0]
    if place.clock is not None:
        assert found == wanted
    assert sorted(body or b"" for body in found) == sorted(wanted)


async def test_what_was_there_before_versions_is_the_null_version(place: Place) -> None:
    await put(place, "a", b"before")
    await put(place, "b", b"untouched")
    await place.store.set_versioning(place.bucket, "Enabled")
    assert (await place.store.head(place.bucket, "b")).version_id == "null"
    new = await put(place, "a", b"after")
    assert [(v.name, v.version_id, v.latest) for v in await place.versions()] == [
        ("a", new, True),
        ("a", "null", False),
        ("b", "null", True),
    ]
    assert await body_of(place, "a", "null") == b"before"
    assert (await place.store.head(place.bucket, "a", "null")).version_id == "null"
    await place.store.delete(place.bucket, "a", version_id="null")
    await check_bodies(place, [b"after"])


async def test_while_suspended_writes_replace_the_null_version_alone(versioned: Place) -> None:
    place = versioned
    kept = await put(place, "a", b"kept")
    await place.store.set_versioning(place.bucket, "Suspended")
    for body in (b"one", b"two"):
        stored = await place.store.put_whole(place.bucket, "a", body, FACTS)
        assert stored.version_id in {"null", ""}  # not every store says it in this answer
        assert (await place.store.head(place.bucket, "a")).version_id == "null"
        await check_bodies(place, [body, b"kept"])
    assert await body_of(place, "a", kept) == b"kept"
    await place.store.set_versioning(place.bucket, "Enabled")
    await put(place, "a", b"three")
    await check_bodies(place, [b"three", b"two", b"kept"])
    assert await body_of(place, "a", "null") == b"two"
    await place.store.set_versioning(place.bucket, "Suspended")
    await put(place, "a", b"four")
    await check_bodies(place, [b"four", b"three", b"kept"])


async def test_while_suspended_a_delete_takes_the_null_version_and_lays_a_null_marker(
    versioned: Place,
) -> None:
    place = versioned
    kept = await put(place, "a", b"kept")
    await place.store.set_versioning(place.bucket, "Suspended")
    await put(place, "a", b"gone")
    for _ in range(2):
        deleted = await place.store.delete(place.bucket, "a")
        assert deleted == Deleted("null", marker=True)
        assert [(v.version_id, v.marker, v.latest) for v in await place.versions()] == [
            ("null", True, True),
            (kept, False, False),
        ]
    assert await listed(place) == []
    await put(place, "a", b"again")
    await check_bodies(place, [b"again", b"kept"])
    await place.store.delete(place.bucket, "a", version_id="null")
    assert await body_of(place, "a") == b"kept"


async def test_while_suspended_new_facts_replace_the_null_version(versioned: Place) -> None:
    place = versioned
    old = await place.store.put_whole(place.bucket, "a", b"body", FACTS)
    await place.store.set_versioning(place.bucket, "Suspended")
    await place.store.replace_facts(place.bucket, "a", OTHER, old.etag)
    now = await place.store.head(place.bucket, "a")
    assert now.version_id == "null"
    await place.store.replace_facts(place.bucket, "a", FACTS, now.etag)
    await check_bodies(place, [b"body", b"body"])
    told = (await place.store.head(place.bucket, "a", old.version_id)).facts
    assert told is not None
    assert told.envelope == FACTS.envelope


# ── pages ────────────────────────────────────────────────────────────────────────────────────


async def pages(
    place: Place, limit: int, prefix: str = "", delimiter: str = ""
) -> list[tuple[str, str]]:
    """Every entry of all pages; a common prefix has no version.

    Folders that the store keeps after their last object are passed over.
    """
    seen: list[tuple[str, str]] = []
    after = after_version = ""
    while True:
        page = await place.store.list_versions(
            place.bucket, prefix, delimiter, after, after_version, limit
        )
        found = [(v.name, v.version_id) for v in page.versions] + [(p, "") for p in page.prefixes]
        assert 0 < len(found) <= limit
        seen += [entry for entry in found if entry[0] != ".hyok/"]
        after, after_version = page.next_name, page.next_version
        if not after:
            return seen


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_hold_every_version_once(versioned: Place, limit: int) -> None:
    place = versioned
    wanted: list[tuple[str, str]] = []
    for name in ("a", "b b+c", "c/d", "z/é/x", "z/é/y"):
        ids = [
            await put(place, name, b"1"),
            (await place.store.delete(place.bucket, name)).version_id,
        ]
        ids.append(await put(place, name, b"2"))
        wanted += [(name, version_id) for version_id in reversed(ids)]
    wanted.sort(key=lambda entry: entry[0].encode())
    assert await pages(place, limit) == wanted
    below = [entry for entry in wanted if entry[0].startswith("z/é/")]
    assert await pages(place, limit, "z/é/") == below
    rolled = await pages(place, limit, delimiter="/")
    alone = [entry for entry in wanted if "/" not in entry[0]]
    assert sorted(rolled) == sorted([*alone, ("c/", ""), ("z/", "")])
    assert await pages(place, limit, "z/", "/") == [("z/é/", "")]


async def test_a_page_goes_on_behind_a_name_or_a_version(versioned: Place) -> None:
    place = versioned
    ids = [await put(place, "a", b"%d" % n) for n in range(3)]
    b = await put(place, "b", b"x")
    page = await place.store.list_versions(place.bucket, after="a")
    assert [(v.name, v.version_id, v.latest) for v in page.versions] == [("b", b, True)]
    page = await place.store.list_versions(place.bucket, after="a", after_version=ids[1])
    assert [(v.name, v.version_id, v.latest) for v in page.versions] == [
        ("a", ids[0], False),
        ("b", b, True),
    ]
    with pytest.raises(Malformed) as caught:
        await place.store.list_versions(place.bucket, after_version=ids[1])
    assert caught.value.reason == "InvalidArgument"


async def test_a_page_goes_on_behind_the_null_version(place: Place) -> None:
    await put(place, "a", b"before")
    await place.store.set_versioning(place.bucket, "Enabled")
    a = await put(place, "a", b"after")
    b = await put(place, "b", b"x")
    assert await pages(place, 1) == [("a", a), ("a", "null"), ("b", b)]
    page = await place.store.list_versions(place.bucket, after="a", after_version="null")
    assert [(v.name, v.version_id) for v in page.versions] == [("b", b)]


async def test_no_page_has_no_entries(versioned: Place) -> None:
    await put(versioned, "a", b"x")
    page = await versioned.store.list_versions(versioned.bucket, "nothing/")
    assert list(page.versions) == []
    assert list(page.prefixes) == []
    assert page.next_name == ""


# ── the gateway's own objects ────────────────────────────────────────────────────────────────


async def test_an_own_object_is_erased_with_every_version(versioned: Place) -> None:
    place = versioned
    for body in (b"1", b"2"):
        await put(place, ".hyok/x", body, StoredFacts())
    await place.store.delete(place.bucket, ".hyok/x")
    await put(place, ".hyok/x", b"3", StoredFacts())
    neighbour = await put(place, ".hyok/x2", b"stays", StoredFacts())
    await erase(place.store, place.bucket, ".hyok/x", ".hyok/nothing")
    found = [v for v in await place.versions() if not v.name.startswith(".hyok/probe/")]
    assert [v.version_id for v in found] == [neighbour]


async def test_an_own_object_is_erased_where_there_are_no_versions(place: Place) -> None:
    await put(place, ".hyok/x", b"1", StoredFacts())
    await erase_older(place.store, place.bucket, ".hyok/x")
    assert await body_of(place, ".hyok/x") == b"1"
    await erase(place.store, place.bucket, ".hyok/x", ".hyok/nothing")
    assert await place.versions() == []


async def test_only_the_newest_version_of_an_own_object_stays(versioned: Place) -> None:
    place = versioned
    for body in (b"1", b"2", b"3"):
        await put(place, ".hyok/x", body, StoredFacts())
    await erase_older(place.store, place.bucket, ".hyok/x")
    assert await place.bodies(".hyok/x") == [b"3"]


async def test_what_lies_under_a_marker_can_be_erased(versioned: Place) -> None:
    place = versioned
    for name in (".hyok/probe/x", ".hyok/probe/y", "a"):
        await put(place, name, b"1", StoredFacts())
    await place.store.delete(place.bucket, ".hyok/probe/x")
    await place.store.delete(place.bucket, "a")
    await erase_deleted(place.store, place.bucket, ".hyok/probe/")
    assert [(v.name, v.marker) for v in await place.versions()] == [
        (".hyok/probe/y", False),
        ("a", True),
        ("a", False),
    ]


async def test_what_was_tried_out_leaves_no_version(versioned: Place) -> None:
    """The first write to a bucket tries the store out; a delete alone would leave versions."""
    await put(versioned, "a", b"x")
    assert await versioned.versions(".hyok/") == []


async def test_versions_under_a_marker_are_found_and_own_objects_are_not_counted(
    versioned: Place,
) -> None:
    store, bucket = versioned.store, versioned.bucket
    await store.put_whole(bucket, ".hyok/x", b"1", StoredFacts())
    assert not await has_versions(store, bucket, beside=".hyok/")
    await store.put_whole(bucket, "map/a", b"1", StoredFacts())
    await store.delete(bucket, "map/a")
    assert await has_versions(store, bucket, beside=".hyok/")


async def test_a_bucket_that_never_had_versions_has_none(place: Place) -> None:
    await place.store.put_whole(place.bucket, "a", b"1", StoredFacts())
    assert not await has_versions(place.store, place.bucket, beside=".hyok/")
