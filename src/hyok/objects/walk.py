"""Walking what one backend bucket holds, in the store's order, with its clear keys."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from hyok.backends.port import StoredVersion
from hyok.errors import Refused, Tampered
from hyok.objects.mirror import PREFIX as RESERVED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from hyok.backends.port import Listed, ObjectStore
    from hyok.envelope.names import NameKey


async def walk(
    store: ObjectStore, bucket: str, name_key: NameKey | None, prefix: str = "", after: str = ""
) -> AsyncGenerator[tuple[str | None, Listed], None]:
    """Yield clear key and listing entry of every object whose key begins with ``prefix``.

    The key is None where a name does not open: somebody else wrote it.  ``after``: a store's name.
    """
    below = prefix if name_key is None else name_key.seal_prefix(prefix)[0]
    while True:
        page = await store.list(bucket, below, after=after)
        for entry in page.objects:
            if entry.name.startswith(RESERVED):
                continue
            key = _key(entry.name, name_key)
            if key is None or key.startswith(prefix):
                yield key, entry
        after = page.next_after
        if not after:
            return


async def walk_versions(
    store: ObjectStore, bucket: str, name_key: NameKey | None, prefix: str = "", after: str = ""
) -> AsyncGenerator[tuple[str | None, Sequence[StoredVersion]], None]:
    """Yield clear key and every version and delete marker of it, newest first, as `walk`."""
    below = prefix if name_key is None else name_key.seal_prefix(prefix)[0]
    version = ""
    held: list[StoredVersion] = []
    while True:
        page = await store.list_versions(bucket, below, "", after, version)
        for entry in page.versions:
            if held and held[0].name != entry.name:
                key = _key(held[0].name, name_key)
                if key is None or key.startswith(prefix):
                    yield key, held
                held = []
            if not entry.name.startswith(RESERVED):
                held.append(entry)
        after, version = page.next_name, page.next_version
        if not after and not version:
            break
    if held:
        key = _key(held[0].name, name_key)
        if key is None or key.startswith(prefix):
            yield key, held


async def walk_keys(
    store: ObjectStore, bucket: str, name_key: NameKey | None, prefix: str = "", after: str = ""
) -> AsyncGenerator[tuple[str | None, Sequence[StoredVersion]], None]:
    """Yield as `walk_versions`; in a bucket that never kept versions, each object as the only one.

    Its version id is empty then.
    """
    try:
        versioned = bool(await store.versioning(bucket))
    except Refused:
        versioned = False  # a store that knows none
    if versioned:
        async with aclosing(walk_versions(store, bucket, name_key, prefix, after)) as found:
            async for key, versions in found:
                yield key, versions
        return
    async with aclosing(walk(store, bucket, name_key, prefix, after)) as listed:
        async for key, one in listed:
            only = StoredVersion(
                one.name, "", one.modified_ms, latest=True, etag=one.etag, size=one.size
            )
            yield key, [only]


def _key(name: str, name_key: NameKey | None) -> str | None:
    if name_key is None:
        return name
    try:
        return name_key.open(name)
    except Tampered:
        return None
