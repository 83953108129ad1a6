"""The gateway's own small objects under `.hyok/`, removed for good.

A delete in a bucket with versions lays a marker over what is there and keeps it.  Records that must
be gone, and what was only tried or held aside, are removed version by version.

Where a bucket's default retention locks every new object, even these stay until it ends: removing
them is refused, and what can be kept out of such a bucket must be (format.md §8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hyok.backends.port import ObjectStore, StoredVersion

PAGE = 1000


async def erase(store: ObjectStore, bucket: str, *names: str) -> None:
    """Remove objects with every version of them; quiet about those that are not there.

    Raises:
        Refused: object lock protects a version (reason ``AccessDenied``); the others are removed.
    """
    if not await keeps_versions(store, bucket):
        for name in names:
            await store.delete(bucket, name)
        return
    for name in names:
        found = [found async for found in versions_of(store, bucket, name) if found.name == name]
        await _remove(store, bucket, found)


async def erase_older(store: ObjectStore, bucket: str, name: str) -> None:
    """Remove every version of an object but the newest.

    Raises:
        Refused: object lock protects a version (reason ``AccessDenied``); the others are removed.
    """
    if await keeps_versions(store, bucket):
        found = [found async for found in versions_of(store, bucket, name) if found.name == name]
        await _remove(store, bucket, [version for version in found if not version.latest])


async def erase_deleted(store: ObjectStore, bucket: str, prefix: str) -> None:
    """Remove every version of the objects below a prefix over which a delete marker lies.

    What crashes left half removed goes with it.  Objects that are there are left alone.

    Raises:
        Refused: object lock protects a version (reason ``AccessDenied``); the others are removed.
    """
    if await keeps_versions(store, bucket):
        found = [found async for found in versions_of(store, bucket, prefix)]
        deleted = {version.name for version in found if version.latest and version.marker}
        await _remove(store, bucket, [version for version in found if version.name in deleted])


async def has_versions(store: ObjectStore, bucket: str, *, beside: str) -> bool:
    """Say whether the bucket holds versions or delete markers ``beside`` those below a prefix."""
    if not await keeps_versions(store, bucket):
        return False
    async for version in versions_of(store, bucket, ""):
        if not version.name.startswith(beside):
            return True
    return False


async def keeps_versions(store: ObjectStore, bucket: str) -> bool:
    """Say whether the bucket keeps versions, or did."""
    try:
        return bool(await store.versioning(bucket))
    except Refused:
        return False  # the store knows none


async def versions_of(store: ObjectStore, bucket: str, prefix: str) -> AsyncIterator[StoredVersion]:
    """Yield every version and delete marker below a prefix: by name, the newest first."""
    after = after_version = ""
    while True:
        page = await store.list_versions(
            bucket, prefix, after=after, after_version=after_version, limit=PAGE
        )
        for version in page.versions:
            yield version
        after, after_version = page.next_name, page.next_version
        if not after:
            return


async def _remove(store: ObjectStore, bucket: str, found: list[StoredVersion]) -> None:
    """Remove versions, the oldest of a name first: none of them ever shows as the newest."""
    refused: Refused | None = None
    for version in reversed(found):
        try:
            await store.delete(bucket, version.name, version_id=version.version_id)
        except Refused as error:
            refused = error
    if refused is not None:
        raise refused
