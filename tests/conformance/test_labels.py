"""Tags and object lock as the port promises them, on every store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.conformance.object_stores import envelope

from hyok.backends.own_objects import erase, erase_older
from hyok.backends.port import Condition, DefaultLock, Lock, StoredFacts
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused

if TYPE_CHECKING:
    from tests.conformance.conftest import Place

FACTS = StoredFacts(envelope(1))
OTHER = StoredFacts(envelope(2))
TAGS = {"zaak": "Z-1", "naam met spatie": "één + twee = a@b.nl:/-_", "leeg": ""}
DAY_MS = 86_400_000
ENDS = {"InvalidRequest", "InvalidArgument"}


def facts(lock: Lock = Lock(), **tags: str) -> StoredFacts:  # noqa: B008 - a frozen value
    return StoredFacts(FACTS.envelope, tags=tags, lock=lock)


def whole(at_ms: int) -> int:
    """To the second, as locks are kept."""
    return at_ms // 1000 * 1000


# ── tags ─────────────────────────────────────────────────────────────────────────────────────


async def test_tags_are_written_with_the_object(place: Place) -> None:
    store, bucket = place.store, place.bucket
    await store.put_whole(bucket, "a", b"x", StoredFacts(FACTS.envelope, tags=TAGS))
    assert await store.tags(bucket, "a") == TAGS
    stored = await store.head(bucket, "a")
    assert stored.tag_count == 3
    assert stored.facts is not None
    assert stored.facts.tags == {}
    await store.put_whole(bucket, "a", b"x", FACTS)
    assert await store.tags(bucket, "a") == {}
    assert (await store.head(bucket, "a")).tag_count == 0


async def test_new_tags_leave_everything_else_alone(place: Place) -> None:
    store, bucket = place.store, place.bucket
    await store.put_whole(bucket, "a", b"body", FACTS)
    before = await store.head(bucket, "a")
    await place.wait(1.1)  # a time of change would show
    for tags in (TAGS, {"one": "more"}, {}):
        assert await store.set_tags(bucket, "a", tags) == ""
        assert await store.tags(bucket, "a") == tags
        after, body = await store.read_whole(bucket, "a", if_match=before.etag)
        assert body == b"body"
        assert after.tag_count == len(tags)
        assert (after.etag, after.modified_ms, after.size) == (
            before.etag,
            before.modified_ms,
            before.size,
        )
        assert after.facts is not None
        assert after.facts.envelope == FACTS.envelope


async def test_tags_belong_to_one_version(versioned: Place) -> None:
    store, bucket = versioned.store, versioned.bucket
    old = (await store.put_whole(bucket, "a", b"old", facts(k="old"))).version_id
    new = (await store.put_whole(bucket, "a", b"new", facts(k="new"))).version_id
    assert await store.set_tags(bucket, "a", {"k": "changed"}, old) == old
    assert await store.tags(bucket, "a", old) == {"k": "changed"}
    assert await store.tags(bucket, "a") == {"k": "new"}
    assert await store.set_tags(bucket, "a", {"k": "newest"}) == new
    assert await store.tags(bucket, "a", new) == {"k": "newest"}
    assert await store.tags(bucket, "a", old) == {"k": "changed"}
    assert [v.version_id for v in await versioned.versions("a")] == [new, old]
    await store.delete(bucket, "a", version_id=new)
    assert await store.tags(bucket, "a") == {"k": "changed"}


async def test_what_is_not_there_has_no_tags(versioned: Place) -> None:
    store, bucket = versioned.store, versioned.bucket
    for call in (store.tags(bucket, "a"), store.set_tags(bucket, "a", TAGS)):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "NoSuchKey"
    await store.put_whole(bucket, "a", b"x", FACTS)
    gone = (await store.put_whole(bucket, "a", b"y", FACTS)).version_id
    await store.delete(bucket, "a", version_id=gone)
    for call in (store.tags(bucket, "a", gone), store.set_tags(bucket, "a", TAGS, gone)):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "NoSuchVersion"
    await store.delete(bucket, "a")
    for call in (store.tags(bucket, "a"), store.set_tags(bucket, "a", TAGS)):
        with pytest.raises(NotFound):
            await call
    for call in (store.tags("no-such-bucket", "a"), store.set_tags("no-such-bucket", "a", {})):
        with pytest.raises(NotFound) as caught:
            await call
        assert caught.value.reason == "NoSuchBucket"


async def test_an_upload_keeps_its_tags(place: Place) -> None:
    store, bucket = place.store, place.bucket
    upload = await store.begin_upload(bucket, "m", StoredFacts(FACTS.envelope, tags=TAGS))
    part = await store.put_part_whole(bucket, "m", upload, 1, b"x")
    stored = await store.complete_upload(bucket, "m", upload, [part])
    assert await store.tags(bucket, "m") == TAGS
    assert stored.tag_count == 3


async def test_a_copy_has_the_tags_of_its_facts_alone(place: Place) -> None:
    store, bucket = place.store, place.bucket
    stored = await store.put_whole(bucket, "a", b"x", facts(k="source"))
    await store.copy(bucket, "a", bucket, "b", facts(k="target"), stored.etag)
    await store.copy(bucket, "a", bucket, "c", FACTS, stored.etag)
    assert await store.tags(bucket, "b") == {"k": "target"}
    assert await store.tags(bucket, "c") == {}
    assert await store.tags(bucket, "a") == {"k": "source"}


async def test_new_facts_keep_the_tags_unless_they_bring_some(place: Place) -> None:
    store, bucket = place.store, place.bucket
    stored = await store.put_whole(bucket, "a", b"x", facts(k="v"))
    stored = await store.replace_facts(bucket, "a", OTHER, stored.etag)
    assert await store.tags(bucket, "a") == {"k": "v"}
    assert (await store.head(bucket, "a")).tag_count == 1
    await store.replace_facts(bucket, "a", facts(k="w", other="x"), stored.etag)
    assert await store.tags(bucket, "a") == {"k": "w", "other": "x"}


async def test_a_removed_object_takes_its_tags_along(place: Place) -> None:
    store, bucket = place.store, place.bucket
    await store.put_whole(bucket, "a", b"x", facts(k="v"))
    await store.delete(bucket, "a")
    await store.put_whole(bucket, "a", b"x", FACTS)
    assert await store.tags(bucket, "a") == {}


# ── object lock of a bucket ──────────────────────────────────────────────────────────────────


async def test_a_bucket_without_object_lock_says_so(place: Place) -> None:
    store, bucket = place.store, place.bucket
    assert await store.object_lock(bucket) is None
    with pytest.raises(Conflict) as caught:
        await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=1))
    assert caught.value.reason == "InvalidBucketState"
    await store.set_versioning(bucket, "Enabled")
    await store.set_versioning(bucket, "Suspended")
    with pytest.raises(Conflict) as caught:
        await store.set_object_lock(bucket, DefaultLock())
    assert caught.value.reason == "InvalidBucketState"
    assert await store.object_lock(bucket) is None
    for call in (
        store.object_lock("no-such-bucket"),
        store.set_object_lock("no-such-bucket", DefaultLock()),
    ):
        with pytest.raises(NotFound) as missing:
            await call
        assert missing.value.reason == "NoSuchBucket"


async def test_nothing_can_be_locked_without_object_lock(versioned: Place) -> None:
    store, bucket = versioned.store, versioned.bucket
    until = versioned.now_ms + DAY_MS
    await store.put_whole(bucket, "a", b"x", FACTS)
    for lock in (Lock("GOVERNANCE", until), Lock(hold=True)):
        with pytest.raises(Malformed) as caught:
            await store.set_lock(bucket, "a", lock)
        assert caught.value.reason == "InvalidRequest"
        with pytest.raises(Malformed) as caught:
            await store.put_whole(bucket, "b", b"x", facts(lock))
        assert caught.value.reason == "InvalidRequest"
        with pytest.raises(NotFound):
            await store.head(bucket, "b")


async def test_a_bucket_made_with_object_lock_keeps_versions(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    assert await store.object_lock(bucket) == DefaultLock()
    assert await store.versioning(bucket) == "Enabled"
    with pytest.raises(Conflict) as caught:
        await store.set_versioning(bucket, "Suspended")
    assert caught.value.reason == "InvalidBucketState"
    assert await store.versioning(bucket) == "Enabled"
    await store.create_bucket(bucket, object_lock=True)  # ours already: quiet
    for default in (
        DefaultLock("GOVERNANCE", days=3),
        DefaultLock("COMPLIANCE", years=2),
        DefaultLock(),
    ):
        await store.set_object_lock(bucket, default)
        assert await store.object_lock(bucket) == default


async def test_object_lock_can_be_switched_on_where_versions_are(versioned: Place) -> None:
    store, bucket = versioned.store, versioned.bucket
    await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=1))
    assert await store.object_lock(bucket) == DefaultLock("GOVERNANCE", days=1)
    with pytest.raises(Conflict):
        await store.set_versioning(bucket, "Suspended")


@pytest.mark.parametrize(
    "default",
    [
        DefaultLock("GOVERNANCE"),
        DefaultLock("GOVERNANCE", days=1, years=1),
        DefaultLock("GOVERNANCE", days=-1),
        DefaultLock("FOREVER", days=1),
        DefaultLock("", days=1),
    ],
)
async def test_a_default_that_says_nothing_sound_is_refused(
    locked: Place, default: DefaultLock
) -> None:
    with pytest.raises(Malformed):
        await locked.store.set_object_lock(locked.bucket, default)
    assert await locked.store.object_lock(locked.bucket) == DefaultLock()


# ── object lock of a version ─────────────────────────────────────────────────────────────────


async def lock_of(place: Place, name: str, version_id: str = "") -> Lock:
    told = (await place.store.head(place.bucket, name, version_id)).facts
    assert told is not None
    return told.lock


async def check_protected(place: Place, name: str, version_id: str, *, bypass: bool) -> None:
    with pytest.raises(Refused) as caught:
        await place.store.delete(
            place.bucket, name, version_id=version_id, bypass_governance=bypass
        )
    assert caught.value.reason == "AccessDenied"
    await place.store.head(place.bucket, name, version_id)


async def test_a_lock_is_written_with_the_object_and_read_back(locked: Place) -> None:
    until = whole(locked.now_ms + DAY_MS)
    asked = Lock("GOVERNANCE", until, hold=True)
    stored = await locked.store.put_whole(locked.bucket, "a", b"x", facts(asked))
    assert await lock_of(locked, "a") == asked
    assert await lock_of(locked, "a", stored.version_id) == asked
    await locked.store.put_whole(locked.bucket, "b", b"x", facts(Lock("COMPLIANCE", until)))
    found = await lock_of(locked, "b")
    assert (found.mode, found.until_ms) == ("COMPLIANCE", until)
    assert not found.hold  # some stores say OFF where nobody said anything
    await locked.store.put_whole(locked.bucket, "c", b"x", FACTS)
    assert (await lock_of(locked, "c")).mode == ""
    _, body = await locked.store.read_whole(locked.bucket, "a")
    assert body == b"x"


async def test_a_lock_is_kept_to_the_second_and_never_shorter(locked: Place) -> None:
    until = whole(locked.now_ms + DAY_MS) + 1
    await locked.store.put_whole(locked.bucket, "a", b"x", facts(Lock("GOVERNANCE", until)))
    assert (await lock_of(locked, "a")).until_ms == whole(until) + 1000


@pytest.mark.parametrize("lock", [Lock("GOVERNANCE", 1_600_000_000_000), Lock("FOREVER", 1 << 42)])
async def test_a_lock_that_says_nothing_sound_is_refused(locked: Place, lock: Lock) -> None:
    store, bucket = locked.store, locked.bucket
    await store.put_whole(bucket, "a", b"x", FACTS)
    for call in (
        store.put_whole(bucket, "b", b"x", facts(lock)),
        store.begin_upload(bucket, "b", facts(lock)),
        store.set_lock(bucket, "a", lock),
    ):
        with pytest.raises(Malformed) as caught:
            await call
        assert caught.value.reason in ENDS | {"MalformedXML"}
    with pytest.raises(NotFound):
        await store.head(bucket, "b")
    assert (await lock_of(locked, "a")).mode == ""


async def test_a_governance_retention_yields_to_a_bypass_alone(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("GOVERNANCE", locked.now_ms + DAY_MS)
    version_id = (await store.put_whole(bucket, "a", b"x", facts(lock))).version_id
    await check_protected(locked, "a", version_id, bypass=False)
    await store.delete(bucket, "a", version_id=version_id, bypass_governance=True)
    with pytest.raises(NotFound):
        await store.head(bucket, "a", version_id)


async def test_a_compliance_retention_yields_to_nobody_until_it_ends(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("COMPLIANCE", whole(locked.now_ms) + 3000)
    version_id = (await store.put_whole(bucket, "a", b"x", facts(lock))).version_id
    for bypass in (False, True):
        await check_protected(locked, "a", version_id, bypass=bypass)
    await locked.wait(3.1)
    await store.delete(bucket, "a", version_id=version_id)
    with pytest.raises(NotFound):
        await store.head(bucket, "a", version_id)


async def test_a_legal_hold_yields_to_nobody_until_it_is_lifted(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    version_id = (await store.put_whole(bucket, "a", b"x", facts(Lock(hold=True)))).version_id
    for bypass in (False, True):
        await check_protected(locked, "a", version_id, bypass=bypass)
    await store.set_lock(bucket, "a", Lock(hold=False), version_id)
    assert (await lock_of(locked, "a")).hold is False
    await store.delete(bucket, "a", version_id=version_id)
    with pytest.raises(NotFound):
        await store.head(bucket, "a", version_id)


async def test_a_marker_may_lie_over_a_locked_version(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("GOVERNANCE", locked.now_ms + DAY_MS, hold=True)
    version_id = (await store.put_whole(bucket, "a", b"kept", facts(lock))).version_id
    marker = await store.delete(bucket, "a")
    assert marker.marker
    await store.put_whole(bucket, "a", b"newer", FACTS)
    assert await locked.bodies("a") == [b"newer", None, b"kept"]
    await store.delete(bucket, "a", version_id=marker.version_id)
    assert await locked.bodies("a") == [b"newer", b"kept"]
    await check_protected(locked, "a", version_id, bypass=True)


async def test_new_facts_leave_a_locked_version_as_it_is(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("GOVERNANCE", whole(locked.now_ms + DAY_MS))
    old = await store.put_whole(bucket, "a", b"x", facts(lock, k="v"))
    new = await store.replace_facts(bucket, "a", StoredFacts(OTHER.envelope, lock=lock), old.etag)
    assert new.version_id != old.version_id
    for version_id, wanted in ((old.version_id, FACTS), (new.version_id, OTHER)):
        told = (await store.head(bucket, "a", version_id)).facts
        assert told is not None
        assert told.envelope == wanted.envelope
        assert (told.lock.mode, told.lock.until_ms) == (lock.mode, lock.until_ms)
        await check_protected(locked, "a", version_id, bypass=False)


async def test_tags_of_a_locked_version_may_change(locked: Place) -> None:
    """S3 locks bytes and metadata; tags are beside them."""
    lock = Lock("GOVERNANCE", locked.now_ms + DAY_MS)
    await locked.store.put_whole(locked.bucket, "a", b"x", facts(lock, k="v"))
    await locked.store.set_tags(locked.bucket, "a", {"k": "w"})
    assert await locked.store.tags(locked.bucket, "a") == {"k": "w"}


async def test_a_copy_is_locked_by_its_own_facts(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("GOVERNANCE", whole(locked.now_ms + DAY_MS))
    stored = await store.put_whole(bucket, "a", b"x", facts(lock))
    await store.copy(bucket, "a", bucket, "b", FACTS, stored.etag, version_id=stored.version_id)
    await store.copy(bucket, "a", bucket, "c", facts(lock), stored.etag)
    # SeaweedFS gives the copy its source's lock where it is given none.
    assert (await lock_of(locked, "b")).mode == ("" if locked.clock else lock.mode)
    assert (await lock_of(locked, "c")).until_ms == lock.until_ms


async def test_an_upload_keeps_its_lock(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    lock = Lock("GOVERNANCE", whole(locked.now_ms + DAY_MS), hold=True)
    upload = await store.begin_upload(bucket, "m", facts(lock))
    part = await store.put_part_whole(bucket, "m", upload, 1, b"x")
    stored = await store.complete_upload(bucket, "m", upload, [part])
    assert await lock_of(locked, "m") == lock
    await check_protected(locked, "m", stored.version_id, bypass=True)


# ── changes of a lock ────────────────────────────────────────────────────────────────────────


async def test_what_a_change_does_not_say_stays(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    until = whole(locked.now_ms + DAY_MS)
    version_id = (await store.put_whole(bucket, "a", b"x", FACTS)).version_id
    await store.set_lock(bucket, "a", Lock(hold=True))
    await store.set_lock(bucket, "a", Lock("GOVERNANCE", until), version_id)
    assert await lock_of(locked, "a") == Lock("GOVERNANCE", until, hold=True)
    await store.set_lock(bucket, "a", Lock(hold=False))
    assert await lock_of(locked, "a") == Lock("GOVERNANCE", until, hold=False)
    await store.set_lock(bucket, "a", Lock("GOVERNANCE", until + DAY_MS, hold=True))
    assert await lock_of(locked, "a") == Lock("GOVERNANCE", until + DAY_MS, hold=True)
    assert [v.version_id for v in await locked.versions("a")] == [version_id]


async def test_a_retention_may_grow_and_not_shrink(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    until = whole(locked.now_ms + DAY_MS)
    await store.put_whole(bucket, "a", b"x", facts(Lock("GOVERNANCE", until)))
    for weaker in (Lock("GOVERNANCE", until - 60_000), Lock("COMPLIANCE", until)):
        with pytest.raises(Refused) as caught:
            await store.set_lock(bucket, "a", weaker)
        assert caught.value.reason == "AccessDenied"
        assert (await lock_of(locked, "a")).until_ms == until
    await store.set_lock(bucket, "a", Lock("GOVERNANCE", until + 60_000))
    await store.set_lock(bucket, "a", Lock("GOVERNANCE", until - 60_000), bypass_governance=True)
    assert (await lock_of(locked, "a")).until_ms == until - 60_000


async def test_a_compliance_retention_never_shrinks(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    until = whole(locked.now_ms) + 4000
    version_id = (
        await store.put_whole(bucket, "a", b"x", facts(Lock("COMPLIANCE", until)))
    ).version_id
    for weaker in (Lock("COMPLIANCE", until - 1000), Lock("GOVERNANCE", until + 1000)):
        with pytest.raises(Refused) as caught:
            await store.set_lock(bucket, "a", weaker, version_id, bypass_governance=True)
        assert caught.value.reason == "AccessDenied"
    assert await lock_of(locked, "a", version_id) in (
        Lock("COMPLIANCE", until),
        Lock("COMPLIANCE", until, hold=False),
    )
    await store.set_lock(bucket, "a", Lock("COMPLIANCE", until + 1000), version_id)
    assert (await lock_of(locked, "a")).until_ms == until + 1000


async def test_only_a_version_that_is_there_can_be_locked(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    hold = Lock(hold=True)
    with pytest.raises(NotFound) as caught:
        await store.set_lock(bucket, "a", hold)
    assert caught.value.reason == "NoSuchKey"
    gone = (await store.put_whole(bucket, "a", b"x", FACTS)).version_id
    await store.delete(bucket, "a", version_id=gone)
    with pytest.raises(NotFound) as caught:
        await store.set_lock(bucket, "a", hold, gone)
    assert caught.value.reason == "NoSuchVersion"
    await store.put_whole(bucket, "a", b"x", FACTS)
    marker = (await store.delete(bucket, "a")).version_id
    for version_id in ("", marker):
        with pytest.raises((NotFound, Malformed)):
            await store.set_lock(bucket, "a", hold, version_id)


# ── a default retention ──────────────────────────────────────────────────────────────────────


async def test_a_default_retention_locks_what_is_written_after_it(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    before = (await store.put_whole(bucket, "before", b"x", FACTS)).version_id
    await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=2))
    written = locked.now_ms
    put = (await store.put_whole(bucket, "put", b"x", FACTS)).version_id
    own = Lock("GOVERNANCE", whole(written + DAY_MS), hold=True)
    await store.put_whole(bucket, "own", b"x", facts(own))
    upload = await store.begin_upload(bucket, "joined", FACTS)
    part = await store.put_part_whole(bucket, "joined", upload, 1, b"x")
    await store.complete_upload(bucket, "joined", upload, [part])
    for name in ("put", "joined"):
        found = await lock_of(locked, name)
        assert found.mode == "GOVERNANCE"
        assert abs(found.until_ms - written - 2 * DAY_MS) < 60_000
    assert await lock_of(locked, "own") == own
    assert (await lock_of(locked, "before")).mode == ""
    await check_protected(locked, "put", put, bypass=False)
    await store.delete(bucket, "before", version_id=before)


async def test_a_default_in_years_counts_years(locked: Place) -> None:
    await locked.store.set_object_lock(locked.bucket, DefaultLock("GOVERNANCE", years=2))
    written = locked.now_ms
    await locked.store.put_whole(locked.bucket, "a", b"x", FACTS)
    found = await lock_of(locked, "a")
    assert 729 * DAY_MS < found.until_ms - written < 732 * DAY_MS


async def test_nothing_is_tried_out_where_it_would_stay_locked(locked: Place) -> None:
    """The first write to a bucket tries the store out, except where a default locks all."""
    store, bucket = locked.store, locked.bucket
    await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=1))
    await store.put_whole(bucket, "a", b"x", FACTS)
    assert [v.name for v in await locked.versions()] == ["a"]


async def test_what_was_shown_elsewhere_holds_where_nothing_can_be_tried(locked: Place) -> None:
    """A store that decides conditions in one bucket decides them in a locked one."""
    store, bucket = locked.store, locked.bucket
    await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=1))
    once = Condition(absent=True)
    if locked.clock is None:
        with pytest.raises(Refused) as caught:
            await store.put_whole(bucket, "a", b"x", FACTS, once)
        assert caught.value.reason == "NotImplemented"
    await store.put_whole(locked.buckets[0], "elsewhere", b"x", FACTS, once)
    await store.put_whole(bucket, "a", b"x", FACTS, once)
    with pytest.raises(Conflict):
        await store.put_whole(bucket, "a", b"y", FACTS, once)


async def test_an_own_object_that_is_locked_is_not_called_erased(locked: Place) -> None:
    store, bucket = locked.store, locked.bucket
    await store.set_object_lock(bucket, DefaultLock("GOVERNANCE", days=1))
    for body in (b"1", b"2"):
        await store.put_whole(bucket, ".hyok/x", body, StoredFacts())
    for call in (erase(store, bucket, ".hyok/x"), erase_older(store, bucket, ".hyok/x")):
        with pytest.raises(HyokError) as caught:
            await call
        assert isinstance(caught.value, Refused)
        assert caught.value.reason == "AccessDenied"
    assert await locked.bodies(".hyok/x") == [b"2", b"1"]
