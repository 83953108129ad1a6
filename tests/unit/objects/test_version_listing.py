"""Listings of versions: each once, by clear key and newest first, clear names and sealed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from tests.fakes.memory_store import MemoryStore
from tests.unit.objects.test_listing import BUCKET, NAMES, Custodian, Places

from hyok.backends.port import StoredFacts
from hyok.envelope.layout import LAYOUT
from hyok.envelope.names import NameKey
from hyok.errors import Malformed
from hyok.objects import listing
from hyok.objects.listing import Listings
from hyok.objects.version_listing import START, Place, VersionListings
from hyok.s3.versions import MarkerEntry, VersionEntry
from hyok.vocabulary import Ask, Bucket, Principal

KEYS = [f"map{n % 3}/{'onder/' * (n % 2)}stuk-{n:02d}" for n in range(20)] + ["los", "z/", "a b"]
Found = list[tuple[str, str]]


class ClearPlaces(Places):
    async def name_key(self, _bucket: Bucket) -> NameKey:
        return cast("NameKey", None)


def ask(at_ms: int = 0, bucket_id: str = "b") -> Ask:
    bucket = replace(BUCKET, bucket_id=bucket_id)
    return Ask(Principal("a", "t"), "bucket:list", bucket, "", "", "", at_ms)


class Here:
    """A bucket with three versions of each key, a delete marker over every third."""

    def __init__(self, *, sealed: bool) -> None:
        self.store = MemoryStore()
        self.sealed = sealed
        self.wanted: dict[str, list[str]] = {}
        places = (Places if sealed else ClearPlaces)(self.store)
        self.listings = VersionListings(
            cast("Any", places), cast("Any", Custodian()), cast("Any", None)
        )

    def name(self, key: str) -> str:
        return NAMES.seal(key) if self.sealed else key

    async def put(self, key: str) -> None:
        body = bytes(LAYOUT.object_sealed_size(len(key)))
        made = await self.store.put_whole("b", self.name(key), body, StoredFacts())
        self.wanted.setdefault(key, []).insert(0, made.version_id)

    async def fill(self) -> None:
        await self.store.create_bucket("b")
        await self.store.set_versioning("b", "Enabled")
        for _ in "123":
            for key in KEYS:
                await self.put(key)
        for key in KEYS[::3]:
            made = await self.store.delete("b", self.name(key))
            self.wanted[key].insert(0, made.version_id)
        await self.store.put_whole("b", ".hyok/bucket", b"x", StoredFacts())
        if self.sealed:
            await self.store.put_whole("b", "van-een-ander", b"x", StoredFacts())

    def expected(self, prefix: str, delimiter: str) -> tuple[Found, set[str]]:
        rows: Found = []
        rolled = set()
        for key in sorted(self.wanted, key=str.encode):
            if not key.startswith(prefix):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                rolled.add(key[: cut + 1])
            else:
                rows += [(key, version) for version in self.wanted[key]]
        return rows, rolled


@pytest.fixture(params=[False, True], ids=["clear", "sealed"])
async def here(request: pytest.FixtureRequest) -> Here:
    made = Here(sealed=request.param)
    await made.fill()
    return made


async def pages(
    here: Here, prefix: str, delimiter: str, size: int, *, forget: bool = False
) -> tuple[Found, list[str], list[VersionEntry | MarkerEntry]]:
    rows: Found = []
    rolled: list[str] = []
    entries: list[VersionEntry | MarkerEntry] = []
    after = START
    for _ in range(500):
        page = await here.listings.page(
            ask(), prefix=prefix, delimiter=delimiter, after=after, limit=size
        )
        assert len(page.entries) + len(page.prefixes) <= size
        rows += [(entry.key, entry.version_id) for entry in page.entries]
        rolled += page.prefixes
        entries += page.entries
        if page.after is None:
            return rows, rolled, entries
        after = page.after
        if forget:  # another worker serves the next page
            here.listings._kept.clear()
    raise AssertionError("the listing does not end")


@pytest.mark.parametrize("forget", [False, True], ids=["kept", "forgotten"])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "map1/", "map", "map1/onder/stuk-0", "niets"])
@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_the_pages_hold_every_version_once_and_in_order(
    here: Here, size: int, prefix: str, delimiter: str, forget: bool
) -> None:
    rows, rolled, _ = await pages(here, prefix, delimiter, size, forget=forget)
    wanted, prefixes = here.expected(prefix, delimiter)
    assert rows == wanted
    assert (set(rolled), len(rolled)) == (prefixes, len(prefixes))


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("delimiter", ["", "/"])
async def test_beyond_the_limit_of_sorting_every_version_comes_in_the_stores_order(
    monkeypatch: pytest.MonkeyPatch, size: int, delimiter: str
) -> None:
    monkeypatch.setattr(listing, "SORTED_ENTRIES_MAX", 0)
    here = Here(sealed=True)
    await here.fill()
    rows, rolled, _ = await pages(here, "", delimiter, size)
    wanted, prefixes = here.expected("", delimiter)
    assert sorted(rows) == sorted(wanted)
    assert (set(rolled), len(rolled)) == (prefixes, len(prefixes))
    with pytest.raises(Malformed):
        await here.listings.page(ask(), delimiter="x")


async def test_sizes_are_the_plaintexts_and_a_marker_has_none(here: Here) -> None:
    _, _, entries = await pages(here, "", "", 1000)
    for entry in entries:
        latest = entry.version_id == here.wanted[entry.key][0]
        assert entry.latest is latest
        if isinstance(entry, VersionEntry):
            assert entry.size == len(entry.key)
        else:
            assert entry.key in KEYS[::3]


async def test_a_version_removed_between_two_pages_takes_no_other_with_it() -> None:
    here = Here(sealed=True)
    await here.fill()
    key = "los"
    newest, older, oldest = here.wanted[key][-3:]
    await here.store.delete("b", here.name(key), version_id=older)
    page = await here.listings.page(ask(), prefix=key, after=Place(key, older))
    assert {entry.version_id for entry in page.entries} >= {newest, oldest}


async def test_a_kept_listing_shows_nothing_to_another_bucket_or_prefix() -> None:
    here = Here(sealed=True)
    await here.fill()
    page = await here.listings.page(ask(), prefix="map1/", limit=2)
    assert page.after is not None
    for key in KEYS:
        for found in here.wanted[key]:
            await here.store.delete("b", here.name(key), version_id=found)
    again = await here.listings.page(ask(), prefix="map1/", after=page.after)
    assert again.entries, "the page goes on as it began"
    for other, prefix in ((ask(), "map"), (ask(bucket_id="c"), "map1/")):
        found = await here.listings.page(other, prefix=prefix, after=page.after)
        assert not found.entries
    late = ask(listing.KEPT_SECONDS_MAX * 1000 + 1)
    assert not (await here.listings.page(late, prefix="map1/", after=page.after)).entries


async def test_the_reserved_prefix_is_in_no_listing(here: Here) -> None:
    for prefix in (".hyok/", ".hy", ".hyok/bucket"):
        page = await here.listings.page(ask(), prefix=prefix)
        assert (list(page.entries), list(page.prefixes)) == ([], [])


@pytest.mark.parametrize(
    ("keys", "delimiter", "shown"),
    [
        (["a.b", "c"], ".", ["a."]),
        (["a.b", ".profiel"], ".", [".", "a."]),
        ([".hyokje/x", "c"], "o", [".hyo"]),
        (["map/a"], "/", ["map/"]),
    ],
)
async def test_a_delimiter_inside_of_the_reserved_prefix_shows_nothing_of_it(
    keys: list[str], delimiter: str, shown: list[str]
) -> None:
    """The store rolls `.hyok/bucket` up into `.`, in which there may be nothing of the client."""
    here = Here(sealed=False)
    await here.store.create_bucket("b")
    await here.store.set_versioning("b", "Enabled")
    await here.store.put_whole("b", ".hyok/bucket", b"x", StoredFacts())
    for key in keys:
        await here.put(key)
    versions = await here.listings.page(ask(), delimiter=delimiter)
    assert list(versions.prefixes) == shown
    places = cast("Any", ClearPlaces(here.store))
    listings = Listings(places, cast("Any", Custodian()), bytes, cast("Any", None))
    objects = await listings.page(ask(), delimiter=delimiter)
    assert list(objects.prefixes) == shown
