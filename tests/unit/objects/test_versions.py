"""Versions, tags that change and locks, through the vault, on stores of both families."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from tests.conformance.object_stores import STORES
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_store_copy import LARGE, PART
from tests.unit.objects.vaults import Body, Vaults, vaults_over

from hyok.backends.port import DefaultLock
from hyok.database.tables import upload_asides
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Tampered, Unavailable
from hyok.objects.copying import copy_object
from hyok.objects.facts import ObjectFacts, PutFacts
from hyok.objects.object_tags import change_tags
from hyok.s3.locks import LockAsked, Mode, Retention
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from sqlalchemy import Connection
    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import Span, Stored
    from hyok.vocabulary import Ask

__all__ = ["house"]

SMALL = b"klein"
FIRST, THEN = {"soort": "brief"}, {"soort": "besluit", "jaar": "2026"}


@pytest.fixture(params=STORES, ids=lambda maker: maker.__name__)
async def vaults(
    house: House, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Vaults]:
    async with request.param(tmp_path) as store:
        made = await vaults_over(house, store)
        await store.set_versioning("dossiers", "Enabled")
        yield made


def reading(ask: Ask, action: str = "object:head") -> Ask:
    return replace(ask, action=action, classification=None)


async def facts_of(vaults: Vaults, ask: Ask, version_id: str = "") -> ObjectFacts:
    return await vaults.vault.head(reading(ask), tags=True, version_id=version_id)


async def body_of(vaults: Vaults, ask: Ask, version_id: str = "") -> bytes:
    opened = await vaults.vault.open(reading(ask, "object:get"), None, version_id=version_id)
    try:
        return bytes(opened.whole())
    finally:
        await opened.close()


async def change(
    vaults: Vaults, ask: Ask, tags: Mapping[str, str], version_id: str = ""
) -> ObjectFacts:
    asked = reading(ask, "object:put")
    return await change_tags(vaults.vault, asked, tags, version_id, lambda _facts: None)


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=["small", "large"])
async def test_every_version_opens_by_its_id(vaults: Vaults, plain: bytes) -> None:
    ask = vaults.ask()
    await vaults.put(ask, plain)
    first = (await facts_of(vaults, ask)).version_id
    await vaults.put(ask, b"nieuw")
    assert await body_of(vaults, ask) == b"nieuw"
    assert await body_of(vaults, ask, first) == plain
    assert (await facts_of(vaults, ask, first)).version_id == first
    with pytest.raises(NotFound) as caught:
        await body_of(vaults, ask, "bestaat-niet")
    assert caught.value.reason == "NoSuchVersion"


async def test_an_upload_in_parts_opens_by_its_id_when_others_lie_over_it(vaults: Vaults) -> None:
    ask = vaults.ask()
    await vaults.upload(ask, PART, PART, b"rest")
    first = (await facts_of(vaults, ask)).version_id
    await vaults.put(ask, b"nieuw")
    assert await body_of(vaults, ask, first) == PART + PART + b"rest"


async def test_a_deleted_object_says_so_and_its_versions_stay(vaults: Vaults) -> None:
    ask = vaults.ask()
    await vaults.put(ask, SMALL)
    first = (await facts_of(vaults, ask)).version_id
    deleting = reading(ask, "object:delete")
    deleting = replace(deleting, principal=replace(ask.principal, grants=frozenset({"delete"})))
    done = await vaults.vault.delete(deleting)
    assert done.marker
    with pytest.raises(NotFound) as gone:
        await body_of(vaults, ask)
    assert gone.value.facts == {"delete-marker": "true", "version-id": done.version_id}
    with pytest.raises(Malformed) as marker:
        await body_of(vaults, ask, done.version_id)
    assert marker.value.reason == "MethodNotAllowed"
    assert await body_of(vaults, ask, first) == SMALL
    await vaults.vault.delete(deleting, version_id=done.version_id)
    assert await body_of(vaults, ask) == SMALL


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=["small", "large"])
async def test_an_older_version_is_copied_to_the_front(vaults: Vaults, plain: bytes) -> None:
    ask = vaults.ask()
    await vaults.put(ask, plain, PutFacts(tags=FIRST))
    first = (await facts_of(vaults, ask)).version_id
    await change(vaults, ask, THEN)
    await vaults.put(ask, b"nieuw")
    result, _ = await copy_object(
        vaults.vault,
        source=reading(ask, "object:get"),
        target=ask,
        size=len(plain),
        check=lambda _facts: None,
        facts=lambda found: PutFacts(tags=found.tags),
        version_id=first,
    )
    assert await body_of(vaults, ask) == plain
    now = await facts_of(vaults, ask)
    assert (now.version_id, now.tags) == (result.version_id, THEN)
    assert result.version_id != first


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=["small", "large"])
async def test_tags_change_alone(vaults: Vaults, plain: bytes) -> None:
    ask = vaults.ask()
    await vaults.put(ask, plain, PutFacts(tags=FIRST))
    before = await facts_of(vaults, ask)
    await change(vaults, ask, THEN)
    after = await facts_of(vaults, ask)
    assert (before.tags, after.tags, after.tag_count) == (FIRST, THEN, 2)
    assert replace(after, tags=FIRST, tag_count=1) == before
    assert await body_of(vaults, ask) == plain
    for tags in ({}, FIRST, THEN):
        await change(vaults, ask, tags)
        assert (await facts_of(vaults, ask)).tags == tags
    # Without the tags being asked for their number is right all the same.
    assert (await vaults.vault.head(reading(ask))).tag_count == 2


async def test_tags_of_an_older_version_change_alone(vaults: Vaults) -> None:
    ask = vaults.ask()
    await vaults.put(ask, SMALL, PutFacts(tags=FIRST))
    first = (await facts_of(vaults, ask)).version_id
    await vaults.put(ask, b"nieuw", PutFacts(tags=FIRST))
    await change(vaults, ask, THEN, first)
    assert (await facts_of(vaults, ask, first)).tags == THEN
    assert (await facts_of(vaults, ask)).tags == FIRST


async def sealing(house: House) -> tuple[Vaults, MemoryStore, Ask]:
    """Return an object with sealed tags that changed, at a store without versions."""
    store = MemoryStore(keeps_metadata=False)
    vaults = await vaults_over(house, store)
    ask = vaults.ask()
    await vaults.put(ask, SMALL, PutFacts(tags=FIRST))
    await change(vaults, ask, THEN)
    return vaults, store, ask


async def test_the_store_sees_no_sealed_tag(house: House) -> None:
    _, store, _ = await sealing(house)
    kept = await store.tags("dossiers", "sleutel")
    assert set(kept) == {"hyok-1"}
    assert not any(word in kept["hyok-1"] for word in ("soort", "besluit", "jaar"))


async def test_a_store_that_changes_or_swaps_sealed_tags_is_caught(house: House) -> None:
    vaults, store, ask = await sealing(house)
    kept = (await store.tags("dossiers", "sleutel"))["hyok-1"]
    other = vaults.ask("ander")
    await vaults.put(other, SMALL)
    await change(vaults, other, {"van": "een ander"})
    of_another = await store.tags("dossiers", "ander")
    for tags in ({"hyok-1": kept[:-4] + "AAAA"}, {"hyok-2": kept}, of_another):
        await store.set_tags("dossiers", "sleutel", tags)
        with pytest.raises(Tampered):
            await facts_of(vaults, ask)
    await store.set_tags("dossiers", "sleutel", {"kosten": "zorg"})
    assert (await facts_of(vaults, ask)).tags == FIRST, "tags of the supplier's own mean nothing"


async def test_tags_that_are_too_long_change_nothing(house: House) -> None:
    vaults, _, ask = await sealing(house)
    with pytest.raises(Malformed) as caught:
        await change(vaults, ask, {f"k{n}": "w" * 250 for n in range(10)})
    assert caught.value.reason == "MetadataTooLarge"
    assert (await facts_of(vaults, ask)).tags == THEN


async def test_a_store_that_cannot_change_tags_alone_is_not_asked_to(house: House) -> None:
    vaults, store, ask = await sealing(house)
    store.features = replace(store.features, tags=False)
    with pytest.raises(Refused) as caught:
        await change(vaults, ask, FIRST)
    assert caught.value.reason == "NotImplemented"
    assert (await facts_of(vaults, ask)).tags == THEN


async def test_tags_do_not_come_to_lie_over_an_object_written_meanwhile(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults, store, ask = await sealing(house)
    set_tags = store.set_tags

    async def late(bucket: str, name: str, tags: Mapping[str, str], version_id: str = "") -> str:
        monkeypatch.undo()
        await vaults.put(ask, b"nieuw", PutFacts(tags={"is": "nieuw"}))
        return await set_tags(bucket, name, tags, version_id)

    monkeypatch.setattr(store, "set_tags", late)
    with pytest.raises(Conflict):
        await change(vaults, ask, FIRST | {"x": "y"})
    assert (await facts_of(vaults, ask)).tags == {"is": "nieuw"}
    assert await body_of(vaults, ask) == b"nieuw"


async def test_a_reader_between_a_new_object_and_its_tags_is_told_to_try_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults, store, ask = await sealing(house)
    tags = store.tags

    async def late(bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        monkeypatch.undo()
        await vaults.put(ask, b"nieuw")
        await change(vaults, ask, {"is": "nieuw"})
        return await tags(bucket, name, version_id)

    monkeypatch.setattr(store, "tags", late)
    with pytest.raises(Unavailable):
        await facts_of(vaults, ask)
    assert (await facts_of(vaults, ask)).tags == {"is": "nieuw"}


async def test_every_read_of_one_version_names_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    vaults = await vaults_over(house, store)
    await store.set_versioning("dossiers", "Enabled")
    ask = vaults.ask()
    await vaults.upload(ask, PART, PART)
    first = (await facts_of(vaults, ask)).version_id
    asked: list[str] = []
    read_whole = store.read_whole

    async def noted(
        bucket: str, name: str, span: Span = None, if_match: str = "", version_id: str = ""  # type: ignore[assignment]
    ) -> tuple[Stored, bytes]:  # fmt: skip
        if not name.startswith(".hyok/"):
            asked.append(version_id)
        if len(asked) == 1:
            await vaults.put(ask, b"tussendoor")
            asked[1:] = []
            return await read_whole(bucket, name, span, if_match, first)
        return await read_whole(bucket, name, span, if_match, version_id)

    monkeypatch.setattr(store, "read_whole", noted)
    assert await body_of(vaults, ask) == PART + PART
    assert set(asked[1:]) == {first}


async def test_a_lock_is_written_read_back_and_kept(house: House) -> None:
    store = MemoryStore()
    vaults = await vaults_over(house, store)
    await store.create_bucket("slot", object_lock=True)
    vaults.buckets["dossiers"] = replace(vaults.buckets["dossiers"], backend_name="slot")
    ask = vaults.ask()
    until_ms = 4_000_000_000_000
    lock = LockAsked(Retention(Mode.COMPLIANCE, until_ms), legal_hold=True)
    await vaults.put(ask, SMALL, PutFacts(lock=lock))
    facts = await facts_of(vaults, ask)
    assert facts.lock == lock
    deleting = reading(ask, "object:delete")
    deleting = replace(deleting, principal=replace(ask.principal, grants=frozenset({"delete"})))
    with pytest.raises(Refused):
        await vaults.vault.delete(deleting, version_id=facts.version_id, bypass_governance=True)
    assert await body_of(vaults, ask) == SMALL


@pytest.mark.parametrize(
    "rest", [b"rest", b"r" * (WHOLE_BODY_BYTES_MAX + 1)], ids=["small", "long"]
)
async def test_a_short_part_is_not_held_aside_where_it_would_be_locked(
    house: House, rest: bytes
) -> None:
    store = MemoryStore()
    vaults = await vaults_over(house, store)
    await store.create_bucket("slot", object_lock=True)
    await store.set_object_lock("slot", DefaultLock("COMPLIANCE", days=1))
    vaults.buckets["dossiers"] = replace(vaults.buckets["dossiers"], backend_name="slot")
    ask = vaults.ask()
    await vaults.upload(ask, PART, rest)
    assert await body_of(vaults, ask) == PART + rest
    names = {found.name for found in (await store.list_versions("slot")).versions}
    assert not any(name.startswith(".hyok/aside/") for name in names)

    begun = await vaults.multipart.create(ask, PutFacts())
    for plain in (b"eerst", rest):  # the second attempt takes the place of the first
        _, _ = await vaults.multipart.upload_part(ask, begun.upload_id, 1, Body(plain))
    assert await held_aside(house) == 1
    await vaults.multipart.abort(ask, begun.upload_id)
    assert await held_aside(house) == 0


async def held_aside(house: House) -> int:
    def act(connection: Connection) -> int:
        return len(connection.execute(select(upload_asides)).all())

    return await house.database.read(act)


async def test_a_lock_needs_a_bucket_with_object_lock(vaults: Vaults) -> None:
    lock = LockAsked(legal_hold=True)
    for plain in (SMALL, b"x" * (WHOLE_BODY_BYTES_MAX + 1)):
        with pytest.raises(Malformed) as caught:
            await vaults.put(vaults.ask(), plain, PutFacts(lock=lock))
        assert caught.value.reason == "InvalidRequest"
    with pytest.raises(HyokError):
        await vaults.upload(vaults.ask(), PART, facts=PutFacts(lock=lock))
    with pytest.raises(NotFound):
        await body_of(vaults, vaults.ask())
