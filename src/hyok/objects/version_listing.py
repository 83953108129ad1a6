"""Listings of versions and delete markers, with plaintext names and sizes.

By key, and newest first within a key.  Clear names: the store's own pages, rewritten.  Sealed
names: everything below the prefix is gathered, opened and sorted up to a named limit, and kept for
the pages of that one listing; beyond the limit it comes in the store's order, as `listing` does.
A page goes on after a clear key and a version id of the store, which any gateway understands.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from hyok.envelope.layout import LAYOUT
from hyok.errors import Malformed
from hyok.objects import listing as limits
from hyok.objects.clear_rows import arranged, key_of, opened, store_start
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.plain_rows import counted_of, counted_versions
from hyok.objects.reserved import shown_version_prefixes
from hyok.s3.names import etag_out
from hyok.s3.versions import MarkerEntry, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.backends.port import ObjectStore, StoredVersion
    from hyok.custody.custodian import KeyCustodian
    from hyok.envelope.names import NameKey
    from hyok.objects.inventory import Inventories
    from hyok.objects.places import Places
    from hyok.vocabulary import Ask, Bucket

Row: TypeAlias = VersionEntry | MarkerEntry | str
"""A version, a delete marker, or a common prefix."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a listing goes on: behind a version of a key, or behind all of a key's."""

    key: str = ""
    version_id: str = ""


START = Place()


@dataclass(frozen=True, slots=True)
class Versions:
    """One page.  ``after`` is where the next one starts; None: this was the last."""

    entries: Sequence[VersionEntry | MarkerEntry]
    prefixes: Sequence[str]
    after: Place | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    bucket_id: str
    prefix: str
    delimiter: str


@dataclass(frozen=True, slots=True)
class _Kept:
    rows: Sequence[Row] | None  # None: too many to sort
    begin: int
    until_ms: int


class VersionListings:
    """Lists versions for clients."""

    def __init__(self, places: Places, custodian: KeyCustodian, inventories: Inventories) -> None:
        self._inventories = inventories
        self._places = places
        self._custodian = custodian
        self._kept: OrderedDict[tuple[_Asked, Place], _Kept] = OrderedDict()

    async def page(
        self,
        ask: Ask,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: Place = START,
        limit: int = 1000,
    ) -> Versions:
        """Return one page.

        Raises:
            Malformed: a delimiter that a very long listing of sealed names does not take.
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        name_key = await self._places.name_key(ask.bucket)
        if limit == 0:
            page = Versions([], [])
        elif name_key is None:
            page = await self._clear(ask, prefix, delimiter, after, limit)
        else:
            page = await self._sealed(ask, name_key, prefix, delimiter, after, limit)
        await self._custodian.conclude(ask, "done")
        return page

    async def _clear(
        self, ask: Ask, prefix: str, delimiter: str, after: Place, limit: int
    ) -> Versions:
        assert ask.bucket is not None
        if prefix.startswith(RESERVED):
            return Versions([], [])
        store, bucket = self._places.store(ask.bucket), ask.bucket.backend_name
        entries: list[VersionEntry | MarkerEntry] = []
        prefixes: list[str] = []
        while True:
            left = limit - len(entries) - len(prefixes)
            page = await store.list_versions(
                bucket, prefix, delimiter, after.key, after.version_id, left
            )
            shown = [found for found in page.versions if not found.name.startswith(RESERVED)]
            counted = set(await counted_of(self._inventories, ask.bucket, shown))
            entries += [
                _entry(found.name, found, in_clear=found in counted or _is_older(found, ask.bucket))
                for found in shown
            ]
            prefixes += await shown_version_prefixes(store, bucket, page.prefixes)
            after = Place(page.next_name, page.next_version)
            if after == START:
                return Versions(entries, prefixes)
            if len(entries) + len(prefixes) >= limit:
                return Versions(entries, prefixes, after)

    async def _sealed(
        self, ask: Ask, name_key: NameKey, prefix: str, delimiter: str, after: Place, limit: int
    ) -> Versions:
        bucket = ask.bucket
        assert bucket is not None
        store = self._places.store(bucket)
        parent, _ = name_key.seal_prefix(prefix)
        asked = _Asked(bucket.bucket_id, prefix, delimiter)
        # The decision was about this bucket and prefix: another listing finds nothing here.
        kept = self._kept.get((asked, after)) if after != START else None
        if kept is None or kept.until_ms <= ask.at_ms:
            narrow = delimiter if delimiter == "/" else ""
            found = await self._gathered(store, bucket, name_key, parent, narrow, prefix)
            rows = None if found is None else arranged(found, prefix, delimiter)
            kept = _Kept(rows, 0 if rows is None else _first_after(rows, after), ask.at_ms)
        if kept.rows is None:
            page = await _store_order(
                store, bucket.backend_name, name_key, parent, prefix, delimiter, after, limit
            )
            self._keep(asked, page.after, None, 0, ask.at_ms)
            return page
        stop = kept.begin + limit
        shown = kept.rows[kept.begin : stop]
        going_on = _place(shown[-1]) if shown and stop < len(kept.rows) else None
        self._keep(asked, going_on, kept.rows, stop, ask.at_ms)
        return Versions(
            [row for row in shown if not isinstance(row, str)],
            [row for row in shown if isinstance(row, str)],
            going_on,
        )

    async def _gathered(
        self,
        store: ObjectStore,
        bucket: Bucket,
        name_key: NameKey,
        parent: str,
        delimiter: str,
        prefix: str,
    ) -> list[Row] | None:
        """Return everything below the parent with clear names; None when it is too much."""
        found: list[Row] = []
        after = after_version = ""
        while True:
            page = await store.list_versions(
                bucket.backend_name, parent, delimiter, after, after_version
            )
            found += opened(page.versions, page.prefixes, name_key, _entry)
            if len(found) > limits.SORTED_ENTRIES_MAX:
                return None
            after, after_version = page.next_name, page.next_version
            if not after:
                break
        async for version in counted_versions(self._inventories, store, bucket, prefix):
            found.append(_entry(version.name, version, in_clear=True))
            if len(found) > limits.SORTED_ENTRIES_MAX:
                return None
        return found

    def _keep(
        self,
        asked: _Asked,
        after: Place | None,
        rows: Sequence[Row] | None,
        begin: int,
        now_ms: int,
    ) -> None:
        if after is None:
            return
        until_ms = now_ms + limits.KEPT_SECONDS_MAX * 1000
        self._kept[asked, after] = _Kept(rows, begin, until_ms)
        self._kept.move_to_end((asked, after))
        while len(self._kept) > limits.KEPT_LISTINGS_MAX:
            self._kept.popitem(last=False)


async def _store_order(
    store: ObjectStore,
    bucket: str,
    name_key: NameKey,
    parent: str,
    prefix: str,
    delimiter: str,
    after: Place,
    limit: int,
) -> Versions:
    if delimiter not in {"", "/"}:
        raise Malformed(
            "A listing this long of sealed names takes no delimiter but '/'.",
            reason="InvalidArgument",
        )
    name, version_id = store_start(name_key, after.key, delimiter), after.version_id
    while True:
        page = await store.list_versions(bucket, parent, delimiter, name, version_id, limit)
        rows = opened(page.versions, page.prefixes, name_key, _entry)
        name, version_id = page.next_name, page.next_version
        if rows or not name:
            break
    last = max(map(_place, rows), key=lambda row: name_key.seal(row.key), default=None)
    if last is not None and page.next_version:
        last = Place(last.key, version_id)
    return Versions(
        [row for row in rows if not isinstance(row, str) and row.key.startswith(prefix)],
        [row for row in rows if isinstance(row, str) and row.startswith(prefix)],
        last if name else None,
    )


def _first_after(rows: Sequence[Row], after: Place) -> int:
    """Return where to go on; a version that is gone since loses none of its key's others."""
    mark = after.key.encode()
    if not mark:
        return 0
    first = next((i for i, row in enumerate(rows) if key_of(row).encode() >= mark), len(rows))
    behind = next((i for i, row in enumerate(rows) if key_of(row).encode() > mark), len(rows))
    if not after.version_id:
        return behind
    for at in range(first, behind):
        if _place(rows[at]) == after:
            return at + 1
    return first


def _place(row: Row) -> Place:
    return Place(row) if isinstance(row, str) else Place(row.key, row.version_id)


def _is_older(found: StoredVersion, bucket: Bucket) -> bool:
    """Is the version of before the bucket's adoption?  Stores tell whole seconds."""
    return bool(bucket.adoption) and found.modified_ms < bucket.created_ms // 1000 * 1000


def _entry(key: str, found: StoredVersion, *, in_clear: bool = False) -> VersionEntry | MarkerEntry:
    if found.marker:
        return MarkerEntry(key, found.version_id, found.latest, found.modified_ms)
    size = found.size
    if not in_clear:
        with suppress(Malformed):  # not ours; shown as it stands, refused when read (format.md §5)
            size = LAYOUT.object_plain_size(found.size)
    return VersionEntry(
        key, found.version_id, found.latest, found.modified_ms, size, etag_out(found.etag)
    )
