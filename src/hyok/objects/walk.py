"""Walking the sealed objects of one backend bucket, in the store's order, with their clear keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Tampered
from hyok.objects.mirror import PREFIX as RESERVED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from hyok.backends.port import ObjectStore, Stored
    from hyok.envelope.names import NameKey


async def walk(
    store: ObjectStore, bucket: str, name_key: NameKey | None, prefix: str = "", after: str = ""
) -> AsyncGenerator[tuple[str | None, Stored], None]:
    """Yield clear key and listing entry of every object whose key begins with ``prefix``.

    The key is None where a name does not open: somebody else wrote it.  ``after``: a store's name.
    """
    below = prefix if name_key is None else name_key.seal_prefix(prefix)[0]
    while True:
        page = await store.list(bucket, below, after=after)
        for entry in page.objects:
            if entry.name.startswith(RESERVED):
                continue
            key: str | None = entry.name
            if name_key is not None:
                try:
                    key = name_key.open(entry.name)
                except Tampered:
                    key = None
            if key is None or key.startswith(prefix):
                yield key, entry
        after = page.next_after
        if not after:
            return
