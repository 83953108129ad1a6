"""The job that seals a bucket's objects anew whose keys a compromised key version kept.

Each object gets a new data key, a new intermediate key and the KEK that writes now.  Last-Modified
and ETag change; where versions are kept the version id does.  Killed anywhere it goes on: what is
under sound keys is passed by.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from hyok.errors import Refused, Tampered
from hyok.jobs.catalog import SHARDS_MAX, STEP_OBJECTS, Planned
from hyok.jobs.steps import Item, go_through
from hyok.objects.resealing import Resealer
from hyok.objects.walk import walk_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.backends.port import StoredVersion
    from hyok.custody.exposure import Exposure, Exposures
    from hyok.database.leases import Leases
    from hyok.jobs.catalog import Shard, Step
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask, Did

SHARD_KEYS = 1_000
"""Names in a shard: each object is read and written, so a shard is a minute's work."""


class ResealBucket:
    """Fills `Work`.  A shard is from behind one of the store's names up to another, that included.

    What is written behind the last name that was counted is in the last shard.

    Args:
        vault: opens and seals.
        leases: see `Resealer`.
        exposures: say which keys were exposed.
        ask: returns the question of who runs the job, about this bucket, as of now.
    """

    def __init__(
        self, vault: ObjectVault, leases: Leases, exposures: Exposures, ask: Callable[[], Ask]
    ) -> None:
        self._vault = vault
        self._exposures = exposures
        self._ask = ask
        bucket = ask().bucket
        assert bucket is not None
        self._bucket = bucket
        self._resealer = Resealer(vault, leases, self._exposure)
        self._judging: Exposure | None = None

    async def _exposure(self) -> Exposure:
        assert self._judging is not None
        return self._judging

    async def plan(self) -> Planned:
        """See `Work`."""
        await self._exposures.check_sound(self._bucket.tenant, self._bucket.allowed)
        store = self._vault.places.store(self._bucket)
        features = await store.features_of(self._bucket.backend_name)
        if not features.conditional_put:
            raise Refused(
                f"The store {self._bucket.store} does not decide If-Match on PUT.",
                code="HY-2425",
                effect="Nothing was begun: what a client writes meanwhile could be overwritten.",
                next_step="stop the applications, then copy each object onto itself",
            )
        objects = size = keys = 0
        marks: list[str] = []
        async with aclosing(walk_keys(store, self._bucket.backend_name, None)) as found:
            async for _, versions in found:
                objects += sum(not one.marker for one in versions)
                size += sum(one.size for one in versions)
                keys += 1
                if keys % SHARD_KEYS == 0:
                    marks.append(versions[0].name)
        marks = marks[:: -(-len(marks) // (SHARDS_MAX - 1)) or 1]
        return Planned(objects, size, list(zip(["", *marks], [*marks, ""], strict=True)))

    async def step(self, shard: Shard) -> Step:
        """See `Work`."""
        # Read anew in each step: records move while a rotation runs.
        self._judging = await self._exposures.of_tenant(self._bucket.tenant)
        store = self._vault.places.store(self._bucket)
        name_key = await self._vault.places.name_key(self._bucket)
        items: list[Item] = []
        last, before = True, shard.cursor
        after = shard.cursor or shard.start
        found = walk_keys(store, self._bucket.backend_name, name_key, after=after)
        async with aclosing(found):
            async for key, versions in found:
                name = versions[0].name
                if shard.stop and name > shard.stop:
                    break
                if len(items) >= STEP_OBJECTS:
                    last = False
                    break
                mine = list(self._items(key, versions, before))
                if mine:  # the key is done once all of it is
                    items += [*mine[:-1], replace(mine[-1], cursor=name)]
                before = name
        return await go_through(shard, items, last=last)

    def _items(
        self, key: str | None, versions: Sequence[StoredVersion], cursor: str
    ) -> Sequence[Item]:
        """Return what is to do about a key, the newest version first."""
        made = []
        for turn, one in enumerate(versions):
            if one.marker:
                continue
            newer = versions[turn - 1] if turn else None
            made.append(
                Item(
                    cursor=cursor,
                    size_bytes=one.size,
                    act=partial(self._one, key, newer, one),
                    name=partial(_named, one.name, "" if one.latest else one.version_id),
                )
            )
        return made

    async def _one(
        self, key: str | None, newer: StoredVersion | None, version: StoredVersion
    ) -> Did:
        if key is None:
            raise Tampered("its name was not written by this gateway")
        ask = replace(self._ask(), key=key)
        if version.latest:
            return await self._resealer.reseal(ask)
        return await self._resealer.settle_older(ask, newer, version.version_id)

    async def finish(self) -> str:
        """See `Work`."""
        return ""

    async def describe(self, item: bytes) -> str:
        """See `Work`."""
        name, _, version_id = item.decode().partition("\0")
        name_key = await self._vault.places.name_key(self._bucket)
        try:
            shown = name if name_key is None else name_key.open(name)
        except Tampered:
            shown = name
        return f"{shown} (version {version_id})" if version_id else shown


async def _named(name: str, version_id: str) -> bytes:
    return f"{name}\0{version_id}".encode() if version_id else name.encode()
