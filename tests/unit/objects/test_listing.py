"""Listings of sealed buckets: whole and sorted to a limit, whole in the store's order beyond it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.fakes.memory_store import MemoryStore

from hyok.backends.port import StoredFacts
from hyok.envelope.layout import LAYOUT
from hyok.envelope.names import NameKey
from hyok.errors import NotFound
from hyok.objects import listing
from hyok.objects.listing import Listings
from hyok.vocabulary import Ask, Bucket, ClassificationName, Principal

if TYPE_CHECKING:
    from collections.abc import Sequence

BUCKET = Bucket("b", "t", "s", "b", ClassificationName("geheim"), "sealed")
NAMES = NameKey(bytes(range(32)), "b")
KEYS = [f"map{n % 3}/{'onder/' * (n % 2)}stuk-{n:03d}" for n in range(57)] + ["los", "a//b", "z/"]


class Places:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def store(self, _bucket: Bucket) -> MemoryStore:
        return self._store

    async def name_key(self, _bucket: Bucket) -> NameKey:
        return NAMES


class Custodian:
    async def decide(self, _ask: Ask) -> None: ...

    async def conclude(self, _ask: Ask, _outcome: str) -> None: ...


def ask(at_ms: int = 0) -> Ask:
    return Ask(Principal("a", "t"), "bucket:list", BUCKET, "", "", "", at_ms)


async def listings(keys: Sequence[str] = KEYS) -> Listings:
    store = MemoryStore()
    await store.create_bucket("b")
    for key in sorted(keys, key=NAMES.seal, reverse=True):
        body = bytes(LAYOUT.object_sealed_size(len(key)))
        await store.put_whole("b", NAMES.seal(key), body, StoredFacts())
    await store.put_whole("b", ".hyok/bucket", b"x", StoredFacts())
    await store.put_whole("b", "van-een-ander", b"x", StoredFacts())
    return Listings(cast("Any", Places(store)), cast("Any", Custodian()), bytes, cast("Any", None))


def expected(prefix: str, delimiter: str) -> tuple[set[str], set[str]]:
    plain, rolled = set(), set()
    for key in KEYS:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            (rolled if cut >= 0 else plain).add(key if cut < 0 else key[: cut + 1])
    return plain, rolled


@pytest.mark.parametrize("limit_of_sorting", [100_000, 0], ids=["sorted", "store order"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "map1/", "map", "map1/onder/stuk-0", "niets"])
@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_the_pages_of_a_listing_hold_every_key_once(
    monkeypatch: pytest.MonkeyPatch,
    limit_of_sorting: int,
    version: int,
    delimiter: str,
    prefix: str,
    size: int,
) -> None:
    monkeypatch.setattr(listing, "SORTED_ENTRIES_MAX", limit_of_sorting)
    lists = await listings()
    keys: list[str] = []
    prefixes: list[str] = []
    token = after = ""
    for _ in range(200):
        page = await lists.page(
            ask(), prefix=prefix, delimiter=delimiter, after=after, token=token, limit=size
        )
        assert all(entry.size == len(entry.key) for entry in page.entries)
        keys += [entry.key for entry in page.entries]
        prefixes += page.prefixes
        if not page.next_token:
            break
        assert page.next_key in KEYS or page.next_key.endswith("/")
        token, after = (page.next_token, "") if version == 2 else ("", page.next_key)
    else:
        pytest.fail("the listing does not end")
    assert len(keys) == len(set(keys))
    assert len(prefixes) == len(set(prefixes))
    assert (set(keys), set(prefixes)) == expected(prefix, delimiter)
    if limit_of_sorting:
        assert keys == sorted(keys, key=str.encode)


async def test_a_token_shows_nothing_of_another_prefix_or_bucket() -> None:
    """The kept pages of one listing are no way round the decision about another."""
    lists = await listings()
    first = await lists.page(ask(), prefix="map1/", limit=2)
    assert first.next_token
    other = await lists.page(ask(), prefix="map2/", token=first.next_token, limit=1000)
    assert all(entry.key.startswith("map2/") for entry in other.entries)
    elsewhere = Ask(
        Principal("a", "t"),
        "bucket:list",
        Bucket("c", "t", "s", "c", ClassificationName("geheim"), "sealed"),
        "",
        "",
        "",
        0,
    )
    with pytest.raises(NotFound):  # it is gathered anew, from that bucket
        await lists.page(elsewhere, prefix="map1/", token=first.next_token, limit=1000)


class Inventories:
    """Everything that stands in clear was counted as it is."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def find_many(self, _bucket: str, names: set[str]) -> dict[str, Any]:
        found = {one.name: one for one in (await self._store.list("b")).objects}
        return {
            name: SimpleNamespace(etag=found[name].etag, size=found[name].size, replaced=False)
            for name in names
        }


async def test_what_stands_sealed_and_in_clear_is_shown_once_and_as_sealed() -> None:
    store = MemoryStore()
    await store.create_bucket("b")
    body = bytes(LAYOUT.object_sealed_size(5))
    await store.put_whole("b", NAMES.seal("map/a"), body, StoredFacts())
    for name in ("map/a", "map/b", "elders"):
        await store.put_whole("b", name, b"in clear", StoredFacts())
    places, inventories = cast("Any", Places(store)), cast("Any", Inventories(store))
    lists = Listings(places, cast("Any", Custodian()), bytes, inventories)
    adopted = replace(ask(), bucket=replace(BUCKET, adoption="read-through"))
    page = await lists.page(adopted, prefix="map/")
    assert [(entry.key, entry.size) for entry in page.entries] == [("map/a", 5), ("map/b", 8)]
