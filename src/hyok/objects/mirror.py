"""Keyring and bucket records under `.hyok/` in the store: what makes a database rebuildable.

They are ciphertext under a KEK of the HSM; the prefix is hidden in every listing and refused to
clients.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.backends.own_objects import erase, erase_older
from hyok.backends.port import StoredFacts
from hyok.errors import NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.backends.port import ObjectStore
    from hyok.vocabulary import Bucket

PREFIX = ".hyok/"
RECORDS_MAX = 1_000_000


class StoreMirror:
    """Fills `hyok.custody`'s KeyringMirror from the stores."""

    def __init__(self, stores: Mapping[str, ObjectStore]) -> None:
        self._stores = stores

    async def write(self, bucket: Bucket, name: str, raw: bytes) -> None:
        """Keep ``raw`` as ``.hyok/<name>`` in the bucket, durable on return.

        What stood there goes, also where the bucket keeps versions: a record under an old KEK would
        open under it for as long as it lies there.  A version that object lock protects stays.
        """
        store = self._stores[bucket.store]
        await store.put_whole(bucket.backend_name, PREFIX + name, raw, StoredFacts())
        with suppress(Refused):
            await erase_older(store, bucket.backend_name, PREFIX + name)

    async def read(self, bucket: Bucket, name: str) -> bytes | None:
        """Return what was kept, or None."""
        store = self._stores[bucket.store]
        try:
            _, raw = await store.read_whole(bucket.backend_name, PREFIX + name)
        except NotFound:
            return None
        return raw

    async def list(self, bucket: Bucket, prefix: str) -> Sequence[str]:
        """Return the names below ``.hyok/<prefix>``, without ``.hyok/``."""
        store = self._stores[bucket.store]
        names: list[str] = []
        after = ""
        while len(names) < RECORDS_MAX:
            page = await store.list(bucket.backend_name, PREFIX + prefix, after=after)
            names.extend(entry.name.removeprefix(PREFIX) for entry in page.objects)
            after = page.next_after
            if not after:
                break
        return names

    async def remove(self, bucket: Bucket, name: str) -> None:
        """Forget ``.hyok/<name>``, with every version of it.

        Raises:
            Refused: object lock protects a version (reason ``AccessDenied``).
        """
        await erase(self._stores[bucket.store], bucket.backend_name, PREFIX + name)
