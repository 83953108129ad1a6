"""Versions, tags and locks of what stood in clear, over a store that keeps versions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.custody.test_custodian import house
from tests.unit.objects.adopted import BACKEND, adopting

from hyok.backends.port import DefaultLock, Lock, StoredFacts
from hyok.errors import Conflict, NotFound, Refused, Tampered
from hyok.objects.examining import examine
from hyok.objects.locking import told_lock
from hyok.objects.object_tags import change_tags
from hyok.objects.version_listing import VersionListings
from hyok.s3.locks import LockAsked
from hyok.s3.versions import VersionEntry

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House
    from tests.unit.objects.adopted import Adopting

    from hyok.vocabulary import Ask

__all__ = ["house"]

NAMES = pytest.mark.parametrize("names", ["clear", "sealed"])


async def versioned(house: House, names: str, mode: str = "read-through") -> Adopting:
    """Return an adopted bucket with an older version of the one object in it."""
    town = await adopting(house, {}, names)
    await town.store.set_versioning(BACKEND, "Enabled")
    await town.store.set_object_lock(BACKEND, DefaultLock())
    for plain in (b"eerste", b"tweede!"):
        await town.store.put_whole(BACKEND, "brief", plain, StoredFacts(tags={"a": "b"}))
    await town.adopt(mode)
    return town


async def ids(town: Adopting) -> list[str]:
    """Return the store's versions under the clear name, the newest first."""
    page = await town.store.list_versions(BACKEND, "brief")
    return [one.version_id for one in page.versions if one.name == "brief"]


def reading(town: Adopting, action: str = "object:get") -> Ask:
    return replace(town.ask("brief", action), classification=None)


async def read(town: Adopting, version_id: str) -> bytes:
    opened = await town.vaults.vault.open(reading(town), None, version_id=version_id)
    try:
        return bytes(opened.whole())
    finally:
        await opened.close()


async def remove(town: Adopting, version_id: str = "") -> None:
    ask = reading(town, "object:delete")
    ask = replace(ask, principal=replace(ask.principal, grants=frozenset({"delete"})))
    await town.vaults.vault.delete(ask, version_id=version_id)


@NAMES
async def test_the_version_that_was_counted_is_read_by_its_id_and_no_older_one(
    house: House, names: str
) -> None:
    town = await versioned(house, names)
    newest, oldest = await ids(town)
    assert await read(town, newest) == b"tweede!"
    facts = (await examine(town.vaults.vault, reading(town), newest)).facts
    assert (facts.size, facts.sealed, facts.version_id) == (7, False, newest)
    with pytest.raises(Refused if names == "clear" else NotFound) as refused:
        await read(town, oldest)
    assert refused.value.code == ("HY-3514" if names == "clear" else "")
    await town.put("brief", b"van ons")
    with pytest.raises(Refused if names == "clear" else NotFound):
        await read(town, newest)  # it was counted once; it is an older version now


@NAMES
async def test_an_older_version_is_removed_alone_and_the_counted_one_with_its_row(
    house: House, names: str
) -> None:
    town = await versioned(house, names)
    newest, oldest = await ids(town)
    await remove(town, oldest)
    assert await town.get("brief") == b"tweede!"
    await remove(town, newest)
    assert newest not in await ids(town)
    assert await town.vaults.inventories.find("archief", "brief") is None
    await town.store.put_whole(BACKEND, "brief", b"tweede!", StoredFacts())
    with pytest.raises(Tampered if names == "clear" else NotFound):
        await town.get("brief")


async def test_an_object_of_a_bucket_without_versions_is_removed_by_the_name_null(
    house: House,
) -> None:
    town = await adopting(house, {"brief": b"in klare taal"})
    await town.adopt("read-through")
    old = town.shelf["brief"]
    await remove(town, "null")
    town.shelf["brief"] = old
    with pytest.raises(Tampered):
        await town.get("brief")


@NAMES
async def test_a_label_among_the_tags_at_the_store_says_who_may_read(
    house: House, names: str
) -> None:
    town = await adopting(house, {}, names)
    label = StoredFacts(tags={"classification": "zeer geheim"})
    await town.store.put_whole(BACKEND, "brief", b"inhoud", label)
    await town.adopt("read-through")
    with pytest.raises(Refused):
        await town.get("brief")


@NAMES
async def test_neither_tags_nor_locks_are_laid_on_plaintext(house: House, names: str) -> None:
    town = await versioned(house, names)
    vault = town.vaults.vault
    for version_id in ("", (await ids(town))[0]):
        with pytest.raises(Refused) as refused:
            await change_tags(vault, reading(town), {"n": "w"}, version_id, lambda _facts: None)
        assert refused.value.code == "HY-3515"
        with pytest.raises(Refused) as refused:
            await vault.set_lock(reading(town), LockAsked(legal_hold=True), version_id)
        assert refused.value.code == "HY-3515"
    stored = await town.store.head(BACKEND, "brief")
    assert (stored.facts or StoredFacts()).lock == Lock()
    assert await town.store.tags(BACKEND, "brief") == {"a": "b"}


@NAMES
async def test_versions_are_listed_with_the_lengths_that_clients_get(
    house: House, names: str
) -> None:
    lookalike = bytes(300)  # could be a sealed object
    town = await adopting(house, {}, names)
    await town.store.set_versioning(BACKEND, "Enabled")
    for plain in (lookalike + b"1", lookalike):
        await town.store.put_whole(BACKEND, "brief", plain, StoredFacts())
    await town.adopt("read-through")
    vaults = town.vaults
    held = vaults.buckets["archief"]
    vaults.buckets["archief"] = replace(held, created_ms=5_000_000_000_000)
    listings = VersionListings(vaults.vault.places, house.custodian, vaults.inventories)
    ask = replace(town.ask("", "bucket:list"), classification=None)
    ask = replace(ask, principal=replace(ask.principal, grants=frozenset({"list"})))
    found = (await listings.page(ask)).entries
    told = [(one.key, one.size) for one in found if isinstance(one, VersionEntry)]
    assert told == [("brief", 300), ("brief", 301)][: 2 if names == "clear" else 1]


@NAMES
async def test_after_sealing_older_versions_are_counted_and_removed_when_an_operator_says_so(
    house: House, names: str
) -> None:
    town = await versioned(house, names, "seal")
    facts = StoredFacts(lock=Lock("GOVERNANCE", 4_000_000_000_000))
    await town.store.put_whole(BACKEND, "slot", b"op slot", facts)
    await town.registry.remove("archief")
    for name in [name for name in town.shelf if name.startswith(".hyok/")]:
        del town.shelf[name]
    await town.adopt("seal")
    ask = replace(town.operator(), bucket=town.vaults.buckets["archief"])
    with pytest.raises(Conflict) as refused:
        await town.plain_versions.erase(ask)
    assert refused.value.code == "HY-3521"

    found = await town.seal()
    assert (found.state, found.failed) == ("done", 0)
    assert found.cause.startswith("3 older versions of 20 bytes still stand in clear")
    assert "1 of them under object lock" in found.cause
    sealed = await town.vaults.vault.head(replace(reading(town, "object:head"), key="slot"))
    assert sealed.lock == told_lock(facts.lock)  # it went along
    ask = replace(town.operator(), bucket=town.vaults.buckets["archief"])
    removed = await town.plain_versions.erase(ask)
    assert (removed.versions, removed.size_bytes, removed.locked) == (2, 13, 1)
    assert await town.get("brief") == b"tweede!"
    left = await town.plain_versions.look(town.vaults.buckets["archief"])
    assert (left.versions, left.locked) == (1, 1)
    if names == "sealed":
        assert await ids(town) == []  # nor a delete marker that tells the name
