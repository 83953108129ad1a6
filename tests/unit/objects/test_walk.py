"""Walking versions: each key once and whole, whatever the length of the store's pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.vaults import vaults_over

from hyok.backends.port import StoredFacts
from hyok.objects.walk import walk_keys, walk_versions

if TYPE_CHECKING:
    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import VersionListing

__all__ = ["house"]

BUCKET = "dossiers"


class ShortPages(MemoryStore):
    """A store that tells a few versions at a time."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length

    async def list_versions(self, *asked: Any, **more: Any) -> VersionListing:
        return await super().list_versions(*asked, **more, limit=self._length)


async def filled(length: int) -> ShortPages:
    store = ShortPages(length)
    await store.create_bucket(BUCKET)
    await store.set_versioning(BUCKET, "Enabled")
    for key, count in (("a", 1), ("b", 5), ("c", 2), (".hyok/x", 2), ("d", 3)):
        for n in range(count):
            await store.put_whole(BUCKET, key, f"{n}".encode(), StoredFacts())
    await store.delete(BUCKET, "d")
    return store


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 100])
async def test_every_key_comes_once_with_all_of_its_versions(length: int) -> None:
    store = await filled(length)
    found = [(key, versions) async for key, versions in walk_versions(store, BUCKET, None)]
    assert [(key, len(versions)) for key, versions in found] == [
        ("a", 1),
        ("b", 5),
        ("c", 2),
        ("d", 4),
    ]
    assert [v.marker for v in found[3][1]] == [True, False, False, False]
    assert all(versions[0].latest for _, versions in found)
    later = [key async for key, _ in walk_versions(store, BUCKET, None, after="b")]
    assert later == ["c", "d"]
    assert [key async for key, _ in walk_versions(store, BUCKET, None, prefix="c")] == ["c"]


async def test_without_versions_each_object_is_the_only_one(house: House) -> None:
    vaults = await vaults_over(house, classification="onbekend")
    for key in ("map/a", "map/b", "x"):
        await vaults.put(vaults.ask(key), b"1")
    await vaults.store.put_whole(BUCKET, "van een ander", b"1", StoredFacts())
    name_key = await vaults.vault.places.name_key(vaults.buckets[BUCKET])
    found = [
        (key, versions) async for key, versions in walk_keys(vaults.store, BUCKET, name_key, "map/")
    ]
    assert {key for key, _ in found} - {None} == {"map/a", "map/b"}
    assert [(len(v), v[0].version_id, v[0].latest) for _, v in found] == [(1, "", True)] * len(
        found
    )
