"""KnownAbilities: what each bucket of an S3 store was seen to do, and what follows for writes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Literal, TypeAlias

from hyok.backends.own_objects import erase_deleted
from hyok.backends.port import ALWAYS
from hyok.backends.s3_keeping import Keeping, probe_keeping, probe_tags
from hyok.backends.s3_names import ALL_NAMES, PLAIN_NAMES, NameRules, probe_names
from hyok.backends.s3_probe import (
    PROBE_PREFIX,
    probe_complete,
    probe_copy,
    probe_delete,
    probe_put,
    probe_rare,
    probe_trailers,
    tried,
)
from hyok.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.backends.port import Condition, StoreFeatures
    from hyok.backends.s3 import S3Store
    from hyok.backends.s3_endpoint import Endpoint

    Decided: TypeAlias = Literal["put", "rare", "copy", "complete", "delete"]

RESERVED = ".hyok/"
TRIALS: Mapping[Decided, Callable[[Endpoint, str], Awaitable[bool]]] = {
    "put": probe_put,
    "rare": probe_rare,
    "copy": probe_copy,
    "complete": probe_complete,
    "delete": probe_delete,
}


class KnownAbilities:
    """Tries each bucket once in the life of a process.

    Versions, locks, names, tags and trailers before the first write, each kind of condition before
    it is first relied on, since that takes a race.

    In a bucket that locks every new object nothing is tried, since it could not be taken away
    again: what every other bucket of the store showed is taken to hold there too, and without one
    nothing out of the ordinary.

    ``rules`` and ``features`` say what holds in every bucket tried; buckets of one endpoint may
    differ (versions, object lock, a proxy for some of them).
    """

    def __init__(self, store: S3Store, endpoint: Endpoint, features: StoreFeatures) -> None:
        self._store = store
        self._endpoint = endpoint
        self._names: dict[str, NameRules] = {}
        self._trailers: dict[str, bool] = {}
        self._tags: dict[str, bool] = {}
        self._kept: dict[str, Keeping] = {}
        self._decides: dict[Decided, dict[str, bool]] = {kind: {} for kind in TRIALS}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self.rules: NameRules = ALL_NAMES
        self.features = features

    async def _names_in(self, bucket: str) -> NameRules:
        kept = await self._keeping_of(bucket)
        if kept.locks_all:
            return self.rules if self._names else PLAIN_NAMES
        if bucket not in self._names:
            async with self._locks[bucket, "names"]:
                if bucket not in self._names:
                    await self._try_names(bucket, kept)
        return self._names[bucket]

    async def _try_names(self, bucket: str, kept: Keeping) -> None:
        names, trailers, tags = await asyncio.gather(
            probe_names(self._store, bucket),
            tried(probe_trailers(self._endpoint, bucket)),
            tried(probe_tags(self._endpoint, bucket)),
        )
        await self._clear(bucket, kept)
        self._names[bucket], self._trailers[bucket], self._tags[bucket] = names, trailers, tags
        self.rules = reduce(and_, self._names.values())
        self._sum_up()

    async def _keeping_of(self, bucket: str) -> Keeping:
        if bucket not in self._kept:
            self._kept[bucket] = await probe_keeping(self._store, bucket)
        return self._kept[bucket]

    async def _clear(self, bucket: str, kept: Keeping) -> None:
        """Take away what a delete leaves in a bucket with versions."""
        if kept.versions:
            await erase_deleted(self._store, bucket, PROBE_PREFIX)

    def locks_all(self, bucket: str) -> bool:
        """Is the bucket known to lock every new object?"""
        return bucket in self._kept and self._kept[bucket].locks_all

    async def decides(self, bucket: str, kind: Decided) -> bool:
        """Does the store decide conditions of this kind in this bucket?

        Raises:
            Unavailable: it does not answer, or is busy.
        """
        seen = self._decides[kind]
        kept = await self._keeping_of(bucket)
        if kept.locks_all:
            return bool(seen) and all(seen.values())
        if bucket not in seen:
            async with self._locks[bucket, kind]:
                if bucket not in seen:
                    seen[bucket] = await tried(TRIALS[kind](self._endpoint, bucket))
                    await self._clear(bucket, kept)
                    self._sum_up()
        return seen[bucket]

    def _sum_up(self) -> None:
        def everywhere(seen: dict[str, bool]) -> bool:
            return bool(seen) and all(seen.values())

        self.features = replace(
            self.features,
            conditional_put=everywhere(self._decides["put"]),
            conditional_copy=everywhere(self._decides["copy"]),
            conditional_delete=everywhere(self._decides["delete"]),
            conditional_complete=everywhere(self._decides["complete"]),
            rare_conditions=everywhere(self._decides["rare"]),
            trailing_checksum=everywhere(self._trailers),
            tags=everywhere(self._tags),
            versioning=bool(self._kept) and all(k.versioning for k in self._kept.values()),
            object_lock=bool(self._kept) and all(k.object_lock for k in self._kept.values()),
        )

    async def features_of(self, bucket: str) -> StoreFeatures:
        """Return what holds in one bucket; all of it is tried that was not yet."""
        await self._names_in(bucket)
        put, rare, copy, delete, complete = [
            await self.decides(bucket, kind)
            for kind in ("put", "rare", "copy", "delete", "complete")
        ]
        return replace(
            self.features,
            conditional_put=put,
            conditional_copy=copy,
            conditional_delete=delete,
            conditional_complete=complete,
            rare_conditions=put and rare,
            trailing_checksum=self._trailers.get(bucket, self.features.trailing_checksum),
            tags=self._tags.get(bucket, self.features.tags),
            versioning=self._kept[bucket].versioning,
            object_lock=self._kept[bucket].object_lock,
        )

    async def prepare(
        self, bucket: str, name: str, condition: Condition = ALWAYS, kind: Decided = "put"
    ) -> None:
        """Return quietly if this may be written.

        Raises:
            Refused: the store cannot hold the name, or does not decide this condition.
        """
        if name.startswith(PROBE_PREFIX):
            return
        if not name.startswith(RESERVED):
            (self._names.get(bucket) or await self._names_in(bucket)).check(name)
        if condition != ALWAYS and not await self._heeds(bucket, condition, kind):
            raise Refused(
                f"The store behind this bucket does not decide the condition of a {kind}.",
                reason="NotImplemented",
            )

    async def _heeds(self, bucket: str, condition: Condition, kind: Decided) -> bool:
        if condition.rare and (kind != "put" or not await self.decides(bucket, "rare")):
            return False
        return await self.decides(bucket, kind)
