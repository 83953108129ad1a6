"""The job that wraps the keys of a bucket's objects under the key that writes now.

The rotation of a keyring record touches no object and needs no job; this one is for objects whose
key is kept alone, and for a KEK that shall serve nothing any more.  It changes Last-Modified.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hyok.errors import Conflict, NotFound, Tampered
from hyok.jobs.catalog import STEP_OBJECTS, Planned
from hyok.jobs.steps import Item, go_through
from hyok.objects.walk import walk
from hyok.vocabulary import Did

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.jobs.catalog import Shard, Step
    from hyok.objects.rewrapping import Rewrapper
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask


class RewrapBucket:
    """Fills `Work`.  One shard: key ranges follow from no count that the store gives beforehand.

    Args:
        vault: knows where objects stand.
        rewrapper: renews one envelope.
        ask: returns the question of who runs the job, about this bucket, as of now.
    """

    def __init__(self, vault: ObjectVault, rewrapper: Rewrapper, ask: Callable[[], Ask]) -> None:
        self._vault = vault
        self._rewrapper = rewrapper
        self._ask = ask
        bucket = ask().bucket
        assert bucket is not None
        self._bucket = bucket

    async def plan(self) -> Planned:
        """See `Work`."""
        objects = size = 0
        store = self._vault.places.store(self._bucket)
        async for _, entry in walk(store, self._bucket.backend_name, None):
            objects += 1
            size += entry.size
        return Planned(objects, size, [("", "")])

    async def step(self, shard: Shard) -> Step:
        """See `Work`."""
        store = self._vault.places.store(self._bucket)
        name_key = await self._vault.places.name_key(self._bucket)
        items: list[Item] = []
        found = walk(store, self._bucket.backend_name, name_key, after=shard.cursor)
        async with aclosing(found):
            async for key, entry in found:
                items.append(
                    Item(
                        cursor=entry.name,
                        size_bytes=entry.size,
                        act=partial(self._one, key),
                        name=partial(_name, entry.name),
                    )
                )
                if len(items) > STEP_OBJECTS:
                    break
        last = len(items) <= STEP_OBJECTS
        return await go_through(shard, items[:STEP_OBJECTS], last=last)

    async def _one(self, key: str | None) -> Did:
        if key is None:
            raise Tampered("its name was not written by this gateway")
        try:
            rewrapped = await self._rewrapper.rewrap(replace(self._ask(), key=key))
        except NotFound:  # removed since it was listed
            return Did.NOTHING
        except Conflict as error:
            if error.reason != "PreconditionFailed":
                raise
            return Did.NOTHING  # written anew since: then it is under the key that writes now
        return Did.NOTHING if rewrapped is None else Did.CHANGED

    async def finish(self) -> str:
        """See `Work`."""
        return ""

    async def describe(self, item: bytes) -> str:
        """See `Work`."""
        name = item.decode()
        name_key = await self._vault.places.name_key(self._bucket)
        try:
            return name if name_key is None else name_key.open(name)
        except Tampered:
            return name


async def _name(name: str) -> bytes:
    return name.encode()
