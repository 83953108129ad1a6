"""What a page of a listing shows: plaintext sizes, clear keys, and their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hyok.backends.port import Listed, ListedObjects, StoreListing
from hyok.envelope.layout import LAYOUT
from hyok.envelope.names import NameKey
from hyok.objects.object_rows import Sorted, entries_of, last_key, opened, without_reserved
from hyok.s3.answers import Entries, Entry

NAMES = NameKey(bytes(range(32)), "b")
MD5 = "0123456789abcdef" * 2


def listed(*names: str, size: int = 300) -> ListedObjects:
    return ListedObjects.of(Listed(name, MD5, size, 7) for name in names)


def test_our_own_prefix_is_left_out_and_nothing_else() -> None:
    names = [".hyok/bucket", ".hyokje", "a\n.hyok/b", "map/.hyok/x", "z"]
    assert list(without_reserved(listed(*names)).names) == names[1:]
    assert list(without_reserved(listed("a", "b")).names) == ["a", "b"]


def test_sizes_are_the_plaintexts_but_of_what_stands_in_clear_or_is_not_ours() -> None:
    sizes = {"leeg": 256, "klein": LAYOUT.object_sealed_size(5), "lang": 300_000, "van ander": 3}
    objects = ListedObjects.of(Listed(name, "e-2", size, 7) for name, size in sizes.items())
    long = LAYOUT.object_plain_size(300_000)
    found = entries_of(objects.names, objects)
    assert list(found.sizes) == [0, 5, long, 3]
    assert list(entries_of(objects.names, objects, {"klein"}).sizes) == [0, sizes["klein"], long, 3]
    assert list(found) == [
        Entry(name, size, "e-2", 7) for name, size in zip(sizes, found.sizes, strict=True)
    ]
    assert list(entries_of(["a"], listed("a")).etags) == [f"{MD5}-h"]


def test_a_page_shows_what_opens_below_the_prefix() -> None:
    keys = ["map/a", "map/b", "mop", "map/c/"]
    names = [*map(NAMES.seal, keys[:3]), ".hyok/bucket", "van-een-ander"]
    page = StoreListing(
        ListedObjects.of(Listed(name, MD5, 256 + at, at) for at, name in enumerate(names)),
        [NAMES.seal(keys[3]), ".hyok/", "nog-een/"],
    )
    found = opened(page, NAMES, "map/")
    assert list(found.entries) == [
        Entry("map/a", 0, f"{MD5}-h", 0),
        Entry("map/b", 1, f"{MD5}-h", 1),
    ]
    assert (list(found.prefixes), found.count) == (["map/c/"], 4)
    assert last_key(page, NAMES) == max(keys, key=NAMES.seal)
    assert last_key(StoreListing(listed("van-een-ander"), []), NAMES) == ""


keys = st.lists(st.text("ab/é\U0001f4c1", min_size=1, max_size=5), unique=True, max_size=12)


@given(keys, st.sampled_from(["", "/", "b"]), st.sampled_from(["", "a"]), st.integers(1, 4))
def test_the_parts_of_a_listing_are_all_of_it_in_order(
    found: list[str], delimiter: str, prefix: str, limit: int
) -> None:
    found = [key for key in found if key.startswith(prefix)]
    shown = set()
    for key in found:
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        shown.add((key[: cut + 1], True) if cut >= 0 else (key, False))
    expected = sorted(shown, key=lambda row: row[0].encode())
    rows = Entries.of(Entry(key, len(key), key, 0) for key in found)
    listing = Sorted.of(rows, [], prefix, delimiter)
    told: list[tuple[str, bool]] = []
    after, more = "", True
    while more:
        part = listing.part(after, limit)
        assert all(entry.size == len(entry.key) for entry in part.entries)
        page = [
            *((entry.key, False) for entry in part.entries),
            *((p, True) for p in part.prefixes),
        ]
        page.sort(key=lambda row: row[0].encode())
        assert len(page) == limit or not part.more
        told += page
        assert len(told) <= len(expected)
        after, more = part.last, part.more
        assert not more or after == page[-1][0]
    assert told == expected


def test_a_common_prefix_of_the_store_is_rolled_up_with_the_keys() -> None:
    rows = Entries.of([Entry("a/b", 1, "e", 0), Entry("c", 1, "e", 0)])
    listing = Sorted.of(rows, ["a/", "b/"], "", "/")
    assert (list(listing.entries.keys), list(listing.prefixes)) == (["c"], ["a/", "b/"])
