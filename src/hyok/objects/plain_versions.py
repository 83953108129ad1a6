"""Older versions that hold plaintext still, once everything in an adopted bucket is sealed.

A store that keeps versions keeps what was sealed over.  They are counted, and removed for good only
when an operator says so; those under object lock stay, and are counted.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.backends.own_objects import keeps_versions, versions_of
from hyok.errors import Conflict, HyokError, NotFound, Refused, Tampered
from hyok.objects.mirror import PREFIX as RESERVED

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from hyok.backends.port import Lock, ObjectStore, Stored, StoredVersion
    from hyok.custody.custodian import KeyCustodian
    from hyok.envelope.names import NameKey
    from hyok.objects.inventory import Inventories
    from hyok.objects.places import Places
    from hyok.vocabulary import Ask, Bucket

LOOKS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Older:
    """Older versions in clear: how many, their bytes, and how many of them object lock keeps."""

    versions: int = 0
    size_bytes: int = 0
    locked: int = 0


@dataclass(frozen=True, slots=True)
class _Name:
    """One name's older versions in clear, the oldest first, and what else it has."""

    plain: Sequence[Stored]
    markers: Sequence[StoredVersion]  # to go as well, once nothing is left below them


class PlainVersions:
    """Made once by wiring, for operators and jobs."""

    def __init__(
        self,
        places: Places,
        inventories: Inventories,
        custodian: KeyCustodian,
        clock_ms: Callable[[], int],
    ) -> None:
        self._places = places
        self._inventories = inventories
        self._custodian = custodian
        self._clock_ms = clock_ms

    async def look(
        self, bucket: Bucket, tell: Callable[[int, int], None] = lambda _versions, _bytes: None
    ) -> Older:
        """Count them.  ``tell`` is called with the versions and bytes counted so far."""
        count = size = locked = 0
        async with aclosing(self._names(bucket)) as names:
            async for name in names:
                count += len(name.plain)
                size += sum(one.size for one in name.plain)
                locked += sum(self._is_locked(one) for one in name.plain)
                tell(count, size)
        return Older(count, size, locked)

    async def erase(
        self, ask: Ask, tell: Callable[[int, int], None] = lambda _versions, _bytes: None
    ) -> Older:
        """Remove them for good; return what was removed, and how many object lock kept.

        May be broken off and done again.  In a bucket of sealed names the delete markers over clear
        names go as well, since they tell the names.

        Raises:
            NotFound: the bucket was not adopted (code HY-3521).
            Conflict: objects of before are still in clear (code HY-3521).
            Refused: policy says no, or the store does though no lock is on the version.
        """
        bucket = ask.bucket
        assert bucket is not None
        left = (await self._inventories.counted(bucket.bucket_id)).left
        if left:
            raise Conflict(
                f"{left} objects of bucket {bucket.bucket_id} stand in clear",
                code="HY-3521",
                effect="Nothing was removed.",
                next_step=f"hyok buckets adopt {bucket.bucket_id} --mode seal",
            )
        await self._custodian.decide(ask)
        store = self._places.store(bucket)
        count = size = locked = 0
        try:
            async with aclosing(self._names(bucket)) as names:
                async for name in names:
                    kept = 0
                    for one in name.plain:
                        if await self._removed(store, bucket, one):
                            count += 1
                            size += one.size
                        else:
                            kept += 1
                    if not kept:  # else the plaintext would be the newest again
                        for marker in name.markers:
                            await store.delete(
                                bucket.backend_name, marker.name, version_id=marker.version_id
                            )
                    locked += kept
                    tell(count, size)
        except HyokError as error:
            await self._custodian.conclude(ask, "failed", error=type(error).__name__)
            raise
        await self._custodian.conclude(ask, "done", size_bytes=size)
        return Older(count, size, locked)

    async def _removed(self, store: ObjectStore, bucket: Bucket, one: Stored) -> bool:
        """Remove one version; False: object lock keeps it."""
        try:
            await store.delete(bucket.backend_name, one.name, version_id=one.version_id)
        except Refused:
            if not self._is_locked(one):
                raise
            return False
        return True

    def _is_locked(self, stored: Stored) -> bool:
        lock: Lock | None = stored.facts.lock if stored.facts is not None else None
        return lock is not None and (bool(lock.hold) or lock.until_ms > self._clock_ms())

    async def _names(self, bucket: Bucket) -> AsyncGenerator[_Name, None]:
        """Yield the names that have older versions in clear, or markers to go with them."""
        store = self._places.store(bucket)
        if not await keeps_versions(store, bucket.backend_name):
            return
        name_key = await self._places.name_key(bucket)
        group: list[StoredVersion] = []
        async for version in versions_of(store, bucket.backend_name, ""):
            if group and version.name != group[0].name:
                if (found := await _judged(store, bucket, name_key, group)) is not None:
                    yield found
                group = []
            group.append(version)
        if group and (found := await _judged(store, bucket, name_key, group)) is not None:
            yield found


async def _judged(
    store: ObjectStore, bucket: Bucket, name_key: NameKey | None, group: Sequence[StoredVersion]
) -> _Name | None:
    """Return what of one name's versions, the newest first, is to go; None: nothing."""
    name = group[0].name
    if name.startswith(RESERVED) or (name_key is not None and _opens(name_key, name)):
        return None
    gate = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def look(version: StoredVersion) -> Stored | None:
        async with gate:
            try:
                found = await store.head(bucket.backend_name, name, version.version_id)
            except NotFound:  # removed since it was listed
                return None
        return None if found.facts is not None and found.facts.envelope else found

    older = [version for version in group if not version.latest and not version.marker]
    looked = await asyncio.gather(*(look(version) for version in reversed(older)))
    plain = [found for found in looked if found is not None]
    markers: Sequence[StoredVersion] = ()
    if name_key is not None and group[0].marker and len(plain) == len(older):
        markers = [version for version in reversed(group) if version.marker]
    return _Name(plain, markers) if plain or markers else None


def _opens(name_key: NameKey, name: str) -> bool:
    try:
        name_key.open(name)
    except Tampered:
        return False
    return True
