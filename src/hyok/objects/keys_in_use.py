"""How many stored objects a KEK keeps by itself, in every version: those of no keyring record."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from hyok.backends.own_objects import keeps_versions
from hyok.envelope.block import Mode, parse
from hyok.errors import Malformed, NotFound
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.walk import walk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from hyok.backends.port import ObjectStore
    from hyok.vocabulary import Bucket

LOOKS_AT_ONCE = 16


async def count_under(
    store: ObjectStore,
    bucket: Bucket,
    kek_id: str,
    tell: Callable[[int], None] = lambda _objects: None,
) -> int:
    """Return how many objects and older versions name this KEK, and no keyring record.

    Every envelope of the bucket is looked at.  ``tell`` is called with the objects looked at.

    Raises:
        Unavailable: the store does not answer.
    """
    found = seen = 0
    batch: list[tuple[str, str]] = []

    async def look() -> int:
        named = await asyncio.gather(*(_keeper(store, bucket, *one) for one in batch))
        batch.clear()
        return sum(name == kek_id for name in named)

    async with aclosing(_all(store, bucket)) as everything:
        async for one in everything:
            batch.append(one)
            seen += 1
            if len(batch) == LOOKS_AT_ONCE:
                found += await look()
                tell(seen)
    found += await look()
    tell(seen)
    return found


async def _keeper(store: ObjectStore, bucket: Bucket, name: str, version_id: str) -> str:
    """Return the KEK that keeps an object by itself; empty for a keyring record, or plaintext."""
    try:
        stored = await store.head(bucket.backend_name, name, version_id)
        envelope = parse(stored.facts.envelope if stored.facts is not None else b"")
    except (NotFound, Malformed):
        return ""
    return "" if envelope.mode is Mode.KEYRING else envelope.kek_id


async def _all(store: ObjectStore, bucket: Bucket) -> AsyncGenerator[tuple[str, str], None]:
    if not await keeps_versions(store, bucket.backend_name):
        async with aclosing(walk(store, bucket.backend_name, None)) as found:
            async for _, entry in found:
                yield entry.name, ""
        return
    after = after_version = ""
    while True:
        page = await store.list_versions(
            bucket.backend_name, after=after, after_version=after_version
        )
        for version in page.versions:
            if not version.name.startswith(RESERVED) and not version.marker:
                yield version.name, version.version_id
        after, after_version = page.next_name, page.next_version
        if not after:
            return
