"""What a listing of clear names shows of the reserved prefix: nothing, however it is rolled up.

A delimiter may stand inside of the prefix itself: with ``.`` the store rolls `.hyok/bucket` up
into the common prefix ``.``, which is the client's only where something of theirs is below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.objects.mirror import PREFIX as RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyok.backends.port import ObjectStore

_ENOUGH = 2  # the reserved prefix itself, and one thing beside it


async def shown_prefixes(store: ObjectStore, bucket: str, found: Iterable[str]) -> list[str]:
    """Return the common prefixes of a store's page that stand for objects of the client."""
    return [
        prefix
        for prefix in found
        if not RESERVED.startswith(prefix[: len(RESERVED)])
        or (len(prefix) < len(RESERVED) and await _has_objects(store, bucket, prefix))
    ]


async def shown_version_prefixes(
    store: ObjectStore, bucket: str, found: Iterable[str]
) -> list[str]:
    """Return the same of a page of versions, where a delete marker is something as well."""
    return [
        prefix
        for prefix in found
        if not RESERVED.startswith(prefix[: len(RESERVED)])
        or (len(prefix) < len(RESERVED) and await _has_versions(store, bucket, prefix))
    ]


async def _has_objects(store: ObjectStore, bucket: str, prefix: str) -> bool:
    page = await store.list(bucket, prefix, "/", limit=_ENOUGH)
    return bool(page.objects) or any(found != RESERVED for found in page.prefixes)


async def _has_versions(store: ObjectStore, bucket: str, prefix: str) -> bool:
    page = await store.list_versions(bucket, prefix, "/", limit=_ENOUGH)
    return bool(page.versions) or any(found != RESERVED for found in page.prefixes)
