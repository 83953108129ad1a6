"""The job that seals, where they stand, the objects that were in clear at a bucket's adoption."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from hyok.errors import Conflict, HyokError
from hyok.jobs.catalog import STEP_OBJECTS, Planned, hex_ranges
from hyok.jobs.steps import Item, go_through
from hyok.objects.adoption import SEAL
from hyok.objects.adoption_sealing import AdoptedSealer
from hyok.vocabulary import Did

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.jobs.catalog import Shard, Step
    from hyok.objects.inventory import Adopted, Inventories
    from hyok.objects.plain_versions import PlainVersions
    from hyok.objects.registry import BucketRegistry
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask

log = structlog.get_logger("hyok.jobs")


class SealAdopted:
    """Fills `Work`.

    Args:
        vault: seals and stores.
        inventories: what was counted.
        registry: is told when nothing is left.
        versions: counts what older versions hold then.
        ask: returns the question of who began the job, about this bucket, as of now.
    """

    def __init__(
        self,
        vault: ObjectVault,
        inventories: Inventories,
        registry: BucketRegistry,
        versions: PlainVersions,
        ask: Callable[[], Ask],
    ) -> None:
        self._sealer = AdoptedSealer(vault, inventories)
        self._inventories = inventories
        self._registry = registry
        self._versions = versions
        self._ask = ask
        bucket = ask().bucket
        assert bucket is not None
        self._bucket = bucket

    async def plan(self) -> Planned:
        """See `Work`."""
        if self._bucket.adoption != SEAL:
            raise Conflict(
                f"bucket {self._bucket.bucket_id} is not in mode {SEAL}",
                code="HY-3521",
                effect="Nothing was begun.",
                next_step="hyok buckets adopt NAME --mode seal",
            )
        counted = await self._inventories.counted(self._bucket.bucket_id)
        size = counted.size_bytes if counted.left == counted.objects else 0
        return Planned(counted.left, size, hex_ranges(counted.left))

    async def step(self, shard: Shard) -> Step:
        """See `Work`."""
        entries = await self._inventories.after(
            self._bucket.bucket_id,
            bytes.fromhex(shard.start),
            bytes.fromhex(shard.stop),
            bytes.fromhex(shard.cursor),
            STEP_OBJECTS,
        )
        items = [
            Item(
                cursor=entry.row_id.hex(),
                size_bytes=entry.size,
                act=partial(self._seal, entry),
                name=partial(self._inventories.remember, self._bucket.bucket_id, entry),
            )
            for entry in entries
        ]
        return await go_through(shard, items, last=len(entries) < STEP_OBJECTS)

    async def _seal(self, entry: Adopted) -> Did:
        sealed = await self._sealer.seal(self._ask(), entry)
        return Did.CHANGED if sealed else Did.NOTHING

    async def finish(self) -> str:
        """Serve the bucket as any other once nothing of before is left in clear.

        Returns what its older versions still hold.
        """
        name = self._bucket.bucket_id
        if (await self._inventories.counted(name)).left:
            return ""
        await self._registry.set_adoption(name, "")
        erase = f"hyok buckets adopt {name} --erase-versions"
        try:
            older = await self._versions.look(self._bucket)
        except HyokError as error:
            return f"older versions in clear could not be counted: {error}. Next: {erase}"
        if not older.versions:
            return ""
        log.warning(
            "adoption.older_versions_in_clear",
            bucket=name,
            versions=older.versions,
            bytes=older.size_bytes,
            locked=older.locked,
        )
        return (
            f"{older.versions} older versions of {older.size_bytes} bytes still stand in clear at "
            f"the store, {older.locked} of them under object lock. Next: {erase}"
        )

    async def describe(self, item: bytes) -> str:
        """See `Work`."""
        return await self._inventories.recall(self._bucket.bucket_id, item)
