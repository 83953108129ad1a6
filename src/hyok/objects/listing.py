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

from hyok.backends.port import ListedObjects
from hyok.errors import Malformed
from hyok.objects.clear_rows import store_start
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.object_rows import Sorted, entries_of, last_key, opened, without_reserved
from hyok.objects.plain_rows import counted_of, is_shown_in_clear
from hyok.objects.reserved import shown_prefixes
from hyok.s3.answers import Entries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from hyok.backends.port import ObjectStore
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

    entries: Entries
    prefixes: Sequence[str]
    next_token: str = ""
    next_key: str = ""


@dataclass(slots=True)
class _Kept:
    asked: tuple[str, str, str]  # bucket_id, prefix, delimiter
    rows: Sorted
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
            page = Page(Entries(), [])
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
            return Page(Entries(), [])
        entries = Entries()
        prefixes: list[str] = []
        while True:
            page = await store.list(
                bucket.backend_name, prefix, delimiter, after, limit - len(entries) - len(prefixes)
            )
            objects = without_reserved(page.objects)
            in_clear = set((await self._in_clear(bucket, objects)).names)
            found = entries_of(objects.names, objects, in_clear)
            entries = Entries.joined([entries, found]) if entries else found
            prefixes += await shown_prefixes(store, bucket.backend_name, page.prefixes)
            after = page.next_after
            if not after:
                return Page(entries, prefixes)
            if len(entries) + len(prefixes) >= limit:
                last = max([*entries.keys[-1:], *prefixes[-1:]])
                return Page(entries, prefixes, _token(store=after), last)

    async def _in_clear(self, bucket: Bucket, objects: ListedObjects) -> ListedObjects:
        """Return those of a page that stand in clear: their length is the plaintext's."""
        if not bucket.adoption:
            return ListedObjects()
        return ListedObjects.of(await counted_of(self._inventories, bucket, objects))

    async def _plain_below(
        self, store: ObjectStore, bucket: Bucket, prefix: str
    ) -> AsyncIterator[Entries]:
        """Yield what a bucket of sealed names holds in clear below a prefix, page by page."""
        after = ""
        while is_shown_in_clear(bucket):
            page = await store.list(bucket.backend_name, prefix, "", after, 1000)
            found = await self._in_clear(bucket, page.objects)
            yield entries_of(found.names, found, found.names)
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
            rows = await self._gather(store, bucket, name_key, prefix, parent, delimiter)
            if rows is None:
                start = store_start(name_key, after, delimiter)
                return await self._store_order(
                    store, bucket.backend_name, name_key, parent, prefix, delimiter, start, limit
                )
            kept_id = ""
        part = rows.part(after, limit)
        if not part.more:
            return Page(part.entries, part.prefixes)
        kept_id = kept_id or self._keep(rows, asked, ask.at_ms)
        token = _token(kept=kept_id, after=part.last)
        return Page(part.entries, part.prefixes, token, part.last)

    def _recall(self, kept_id: str, asked: tuple[str, str, str], now_ms: int) -> Sorted | None:
        kept = self._kept.get(kept_id)
        # The decision was about this bucket and prefix: a token of another listing shows nothing.
        if kept is None or kept.asked != asked or kept.until_ms <= now_ms:
            return None
        return kept.rows

    def _keep(self, rows: Sorted, asked: tuple[str, str, str], now_ms: int) -> str:
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
    ) -> Sorted | None:
        """Return everything below the prefix with clear names; None when it is too much."""
        pages: list[Entries] = []
        prefixes: list[str] = []
        after, count = "", 0
        narrow = delimiter if delimiter == "/" else ""
        while True:
            page = await store.list(bucket.backend_name, parent, narrow, after, 1000)
            found = opened(page, name_key, prefix)
            pages.append(found.entries)
            prefixes += found.prefixes
            count += found.count
            if count > SORTED_ENTRIES_MAX:
                return None
            after = page.next_after
            if not after:
                break
        sealed = {key for entries in pages for key in entries.keys} if bucket.adoption else ()
        async for entries in self._plain_below(store, bucket, prefix):
            beside = [at for at, key in enumerate(entries.keys) if key not in sealed]
            pages.append(entries.picked(beside))
            count += len(beside)
            if count > SORTED_ENTRIES_MAX:
                return None
        return Sorted.of(Entries.joined(pages), prefixes, prefix, delimiter)

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
            found = opened(page, name_key, prefix)
            after = page.next_after
            if found.count or not after:
                break
        if not after:
            return Page(found.entries, found.prefixes)
        # A client of ListObjects v1 goes on after a clear key: the last one in the store's order.
        return Page(found.entries, found.prefixes, _token(store=after), last_key(page, name_key))


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
