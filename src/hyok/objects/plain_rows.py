"""What of a store's listing stands in clear and still counts: its length is the plaintext's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from hyok.backends.port import ObjectStore, StoredVersion
    from hyok.objects.inventory import Inventories
    from hyok.vocabulary import Bucket


class Told(Protocol):
    """What a listing tells of an object or a version."""

    @property
    def name(self) -> str: ...

    @property
    def etag(self) -> str: ...

    @property
    def size(self) -> int: ...


R = TypeVar("R", bound=Told)


async def counted_of(inventories: Inventories, bucket: Bucket, found: Sequence[R]) -> Sequence[R]:
    """Return those of a listing that were counted and are as they were then."""
    if not bucket.adoption or not found:
        return []
    known = await inventories.find_many(bucket.bucket_id, {one.name for one in found})
    return [
        one
        for one in found
        if (entry := known.get(one.name)) is not None
        and not entry.replaced
        and (entry.etag, entry.size) == (one.etag, one.size)
    ]


def is_shown_in_clear(bucket: Bucket) -> bool:
    """Does a bucket of sealed names show what stands under clear ones?"""
    return bucket.adoption not in ("", "refuse")


async def counted_versions(
    inventories: Inventories, store: ObjectStore, bucket: Bucket, prefix: str
) -> AsyncIterator[StoredVersion]:
    """Yield the versions under clear names that are read through, in a bucket of sealed ones."""
    after = after_version = ""
    while is_shown_in_clear(bucket):
        page = await store.list_versions(
            bucket.backend_name, prefix, after=after, after_version=after_version
        )
        newest = [one for one in page.versions if one.latest and not one.marker]
        for version in await counted_of(inventories, bucket, newest):
            yield version
        after, after_version = page.next_name, page.next_version
        if not after:
            return
