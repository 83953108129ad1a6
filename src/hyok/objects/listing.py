"""Listings with plaintext names and sizes.

Clear names: the store's own pages, rewritten.  Sealed names: the listing below the prefix is
gathered, opened and sorted up to a named limit, and kept for the pages of that one listing; beyond
the limit it comes in the store's order, like S3's directory buckets.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.envelope.layout import LAYOUT
from hyok.errors import Malformed
from hyok.objects.clear_rows import arranged, key_of, opened, store_start
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.plain_rows import counted_of, is_shown_in_clear
from hyok.objects.reserved import shown_prefixes
from hyok.s3.answers import Entry
from hyok.s3.names import etag_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from hyok.backends.port import Listed, ObjectStore
    from hyok.custody.custodian import KeyCustodian
    from hyok.envelope.names import NameKey
    from hyok.objects.inventory import Inventories
    from hyok.objects.places import Places
    from hyok.vocabulary import Ask, Bucket

SORTED_ENTRIES_MAX = 100_000
KEPT_LISTINGS_MAX = 16
KEPT_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Page:
    """One page, sizes in plaintext.

    ``next_token`` is empty on the last one; ``next_key`` is for ListObjects v1.
    """

    entries: Sequence[Entry]
    prefixes: Sequence[str]
    next_token: str = ""
    next_key: str = ""


@dataclass(slots=True)
class _Kept:
    asked: tuple[str, str, str]  # bucket_id, prefix, delimiter
    rows: list[Entry | str]  # sorted; a str is a common prefix
    until_ms: int


class Listings:
    """Lists buckets for clients."""

    def __init__(
        self,
        places: Places,
        custodian: KeyCustodian,
        entropy: Callable[[int], bytes],
        inventories: Inventories,
    ) -> None:
        self._inventories = inventories
        self._places = places
        self._custodian = custodian
        self._entropy = entropy
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def page(
        self,
        ask: Ask,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        token: str = "",
        limit: int = 1000,
    ) -> Page:
        """Return one page, in the byte order of the clear keys.

        ``after``: start after this clear key; ``token``: what an earlier page gave, and wins.

        Raises:
            Malformed: the token is none of ours (reason ``InvalidArgument``).
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        bucket = ask.bucket
        store = self._places.store(bucket)
        state = _parse_token(token) if token else {}
        name_key = await self._places.name_key(bucket)
        if limit == 0:
            page = Page([], [])
        elif name_key is None:
            start = state.get("store", "") or after
            page = await self._clear(store, bucket, prefix, delimiter, start, limit)
        else:
            page = await self._sealed(ask, store, name_key, prefix, delimiter, after, state, limit)
        await self._custodian.conclude(ask, "done")
        return page

    async def _clear(
        self,
        store: ObjectStore,
        bucket: Bucket,
        prefix: str,
        delimiter: str,
        after: str,
        limit: int,
    ) -> Page:
        if prefix.startswith(RESERVED):
            return Page([], [])
        entries: list[Entry] = []
        prefixes: list[str] = []
        while True:
            page = await store.list(
                bucket.backend_name, prefix, delimiter, after, limit - len(entries) - len(prefixes)
            )
            objects = [found for found in page.objects if not found.name.startswith(RESERVED)]
            plain = await self._plain(bucket, objects)
            entries += [
                (plain.get(found.name) if plain else None) or _entry(found.name, found)
                for found in objects
            ]
            prefixes += await shown_prefixes(store, bucket.backend_name, page.prefixes)
            after = page.next_after
            if not after:
                return Page(entries, prefixes)
            if len(entries) + len(prefixes) >= limit:
                last = max([*(e.key for e in entries[-1:]), *prefixes[-1:]], key=str.encode)
                return Page(entries, prefixes, _token(store=after), last)

    async def _plain(self, bucket: Bucket, objects: Sequence[Listed]) -> Mapping[str, Entry]:
        """Return those of a page that stand in clear, by key: their length is the plaintext's."""
        return {
            found.name: Entry(found.name, found.size, etag_out(found.etag), found.modified_ms)
            for found in await counted_of(self._inventories, bucket, objects)
        }

    async def _plain_below(
        self, store: ObjectStore, bucket: Bucket, prefix: str
    ) -> AsyncIterator[Entry]:
        """Yield what a bucket of sealed names holds in clear below a prefix."""
        after = ""
        while is_shown_in_clear(bucket):
            page = await store.list(bucket.backend_name, prefix, "", after, 1000)
            for entry in (await self._plain(bucket, page.objects)).values():
                yield entry
            after = page.next_after
            if not after:
                return

    async def _sealed(
        self,
        ask: Ask,
        store: ObjectStore,
        name_key: NameKey,
        prefix: str,
        delimiter: str,
        after: str,
        state: dict[str, str],
        limit: int,
    ) -> Page:
        bucket = ask.bucket
        assert bucket is not None
        after = state.get("after", after)
        parent, _ = name_key.seal_prefix(prefix)
        if "store" in state:
            return await self._store_order(
                store,
                bucket.backend_name,
                name_key,
                parent,
                prefix,
                delimiter,
                state["store"],
                limit,
            )
        kept_id = state.get("kept", "")
        asked = (bucket.bucket_id, prefix, delimiter)
        rows = self._recall(kept_id, asked, ask.at_ms)
        if rows is None:
            found = await self._gather(store, bucket, name_key, prefix, parent, delimiter)
            if found is None:
                start = store_start(name_key, after, delimiter)
                return await self._store_order(
                    store, bucket.backend_name, name_key, parent, prefix, delimiter, start, limit
                )
            rows = arranged(found, prefix, delimiter)
            kept_id = ""
        begin = _first_after(rows, after)
        page = rows[begin : begin + limit]
        more = begin + limit < len(rows)
        last = key_of(page[-1]) if page else ""
        if more and not kept_id:
            kept_id = self._keep(rows, asked, ask.at_ms)
        return Page(
            [row for row in page if isinstance(row, Entry)],
            [row for row in page if isinstance(row, str)],
            _token(kept=kept_id, after=last) if more else "",
            last if more else "",
        )

    def _recall(
        self, kept_id: str, asked: tuple[str, str, str], now_ms: int
    ) -> list[Entry | str] | None:
        kept = self._kept.get(kept_id)
        # The decision was about this bucket and prefix: a token of another listing shows nothing.
        if kept is None or kept.asked != asked or kept.until_ms <= now_ms:
            return None
        return kept.rows

    def _keep(self, rows: list[Entry | str], asked: tuple[str, str, str], now_ms: int) -> str:
        kept_id = self._entropy(12).hex()
        self._kept[kept_id] = _Kept(asked, rows, now_ms + KEPT_SECONDS_MAX * 1000)
        while len(self._kept) > KEPT_LISTINGS_MAX:
            self._kept.popitem(last=False)
        return kept_id

    async def _gather(
        self,
        store: ObjectStore,
        bucket: Bucket,
        name_key: NameKey,
        prefix: str,
        parent: str,
        delimiter: str,
    ) -> list[Entry | str] | None:
        """Return everything below the parent with clear names; None when it is too much."""
        found: list[Entry | str] = []
        after = ""
        narrow = delimiter if delimiter == "/" else ""
        while True:
            page = await store.list(bucket.backend_name, parent, narrow, after, 1000)
            found += opened(page.objects, page.prefixes, name_key, _entry)
            if len(found) > SORTED_ENTRIES_MAX:
                return None
            after = page.next_after
            if not after:
                break
        sealed = {row.key for row in found if isinstance(row, Entry)}
        async for entry in self._plain_below(store, bucket, prefix):
            if entry.key not in sealed:
                found.append(entry)
            if len(found) > SORTED_ENTRIES_MAX:
                return None
        return found

    async def _store_order(
        self,
        store: ObjectStore,
        bucket: str,
        name_key: NameKey,
        parent: str,
        prefix: str,
        delimiter: str,
        after: str,
        limit: int,
    ) -> Page:
        if delimiter not in {"", "/"}:
            raise Malformed(
                "A listing this long of sealed names takes no delimiter but '/'.",
                reason="InvalidArgument",
            )
        while True:
            page = await store.list(bucket, parent, delimiter, after, limit)
            rows = opened(page.objects, page.prefixes, name_key, _entry)
            after = page.next_after
            if rows or not after:
                break
        # A client of ListObjects v1 goes on after a clear key: the last one in the store's order.
        last = max(map(key_of, rows), key=name_key.seal, default="") if after else ""
        return Page(
            [r for r in rows if isinstance(r, Entry) and r.key.startswith(prefix)],
            [r for r in rows if isinstance(r, str) and r.startswith(prefix)],
            _token(store=after) if after else "",
            last,
        )


def _first_after(rows: Sequence[Entry | str], after: str) -> int:
    if not after:
        return 0
    low, high = 0, len(rows)
    mark = after.encode()
    while low < high:
        middle = (low + high) // 2
        if key_of(rows[middle]).encode() <= mark:
            low = middle + 1
        else:
            high = middle
    return low


def _entry(key: str, stored: Listed) -> Entry:
    try:
        size = LAYOUT.object_plain_size(stored.size)
    except Malformed:
        size = stored.size  # not ours; shown as it stands, refused when read (format.md §5)
    return Entry(key, size, etag_out(stored.etag), stored.modified_ms)


def _token(**state: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode()


def _parse_token(token: str) -> dict[str, str]:
    try:
        state = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error) as error:
        raise Malformed(
            "The continuation token provided is incorrect", reason="InvalidArgument"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, str) for v in state.values()):
        raise Malformed("The continuation token provided is incorrect", reason="InvalidArgument")
    return state
