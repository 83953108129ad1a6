"""KeyUses: what a key version still keeps, which stands in the way of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState
from hyok.custody.secret_box import CLASSIFICATION as SECRETS
from hyok.errors import Conflict
from hyok.objects.keys_in_use import count_exposed, count_under

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.backends.port import ObjectStore
    from hyok.custody.exposure import Exposures
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.rotation import KeyRotation
    from hyok.custody.sealed_rows import SealedRows
    from hyok.objects.keys_in_use import Exposed
    from hyok.objects.registry import BucketRegistry
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Bucket


OLDER_ROAD = (
    "remove those versions, or let them expire (NoncurrentVersionExpiration); "
    "until then keep the key"
)
"""No store lets a version take an older one's place, so these cannot be sealed anew."""


class KeyUses:
    """Looks at keyring records, their copies in buckets, and objects.

    Args:
        rotation: knows the records and their copies.
        exposures: say which objects a compromised version may have kept.
        registry: knows the buckets.
        stores: where they stand.
        classifications: say which keep their keys in a keyring.
        own_rows: what the installation's own key seals.
        keks: every key version.
        progress: called with objects looked at, and 0.
    """

    def __init__(
        self,
        *,
        rotation: KeyRotation,
        exposures: Exposures,
        registry: BucketRegistry,
        stores: Mapping[str, ObjectStore],
        classifications: Classifications,
        own_rows: SealedRows,
        keks: KekCatalog,
        progress: Callable[[int, int], None],
    ) -> None:
        self._rotation = rotation
        self._exposures = exposures
        self._registry = registry
        self._stores = stores
        self._classifications = classifications
        self._own_rows = own_rows
        self._keks = keks
        self._progress = progress

    async def check_unused(self, kek: Kek) -> None:
        """Return quietly if no record, copy of one, or object is kept under this version.

        Of a compromised version records are left, which a rotation does not move: they must be of
        no object any more.  Records that were destroyed once, and came back with a database from
        before, are to end with it.

        Raises:
            Conflict: something is (code HY-2311); or the last backup is sealed under it (HY-2426).
        """
        if kek.classification == SECRETS:
            await self._check_seals_nothing(kek)
        records = await self._rotation.records_under(kek)
        buried = records.keys() & await self._rotation.buried(await self._buckets(kek))
        rotate = f"hyok keys rotate --tenant {kek.tenant} --classification {kek.classification}"
        if kek.state is KeyState.COMPROMISED:
            await self._check_sealed_anew(kek)
            moving = sum(fixed for ik_id, fixed in records.items() if ik_id not in buried)
        else:
            moving = len(records) - len(buried)
            records = {ik_id: records[ik_id] for ik_id in buried}
        if moving:
            raise _in_use(kek, f"{moving:,} keyring records", rotate)
        for bucket in await self._buckets(kek):
            copies = await self._rotation.mirrored_under(kek, bucket, beside=records)
            if copies:
                raise _in_use(kek, f"{copies:,} copies in bucket {bucket.bucket_id}", rotate)
            objects = await self._objects(kek, bucket)
            if objects:
                step = f"hyok jobs rewrap {bucket.bucket_id}, or delete them"
                raise _in_use(kek, f"{objects:,} objects of bucket {bucket.bucket_id}", step)

    async def records_left(self, kek: Kek) -> int:
        """Return how many keyring records, and copies of such, are kept under this version.

        Raises:
            Unavailable: a store or the database does not answer.
        """
        left = len(await self._rotation.records_under(kek))
        for bucket in await self._buckets(kek):
            left += await self._rotation.mirrored_under(kek, bucket)
        return left

    async def _check_seals_nothing(self, kek: Kek) -> None:
        """Return quietly if no row, registration or needed backup is sealed under this version."""
        counts = await self._own_rows.count()
        rotate = f"hyok keys rotate --tenant {kek.tenant} --classification {kek.classification}"
        values = counts.get(kek.kek_id, 0) + counts.get("", 0)  # one that names none may be of it
        if values:
            raise _in_use(kek, f"{values:,} sealed values of the installation", rotate)
        later = [
            one.created_ms
            for one in await self._keks.versions(kek.tenant, kek.classification)
            if one.version > kek.version and one.state is KeyState.ACTIVE
        ]
        if not later or await self._own_rows.last_backup_ms() < min(later):
            raise Conflict(
                f"The last backup of the database is sealed under {kek.kek_id}, or an older one.",
                code="HY-2426",
                effect="Nothing was destroyed; without the key that backup is worth nothing.",
                next_step="hyok backup FILE",
            )

    async def _check_sealed_anew(self, kek: Kek) -> None:
        for name, objects in (await self.exposed(kek)).items():
            if objects.newest:
                what = f"{objects.total:,} objects of bucket {name}, older versions included"
                raise _in_use(kek, what, f"hyok keys reseal {kek.kek_id}")
            if objects.older:
                raise _in_use(kek, f"{objects.older:,} older versions in bucket {name}", OLDER_ROAD)

    async def exposed(self, kek: Kek) -> Mapping[str, Exposed]:
        """Return how many objects and older versions a version may have kept, by bucket.

        Raises:
            Unavailable: a store or the database does not answer.
        """
        exposure = await self._exposures.of_key(kek)
        return {
            bucket.bucket_id: await count_exposed(
                self._stores[bucket.store],
                bucket,
                exposure,
                lambda objects: self._progress(objects, 0),
            )
            for bucket in await self._buckets(kek)
            if kek.classification in bucket.allowed
        }

    async def buried_under(self, kek: Kek) -> int:
        """Return how many records of a version were destroyed once: a tombstone names them.

        Raises:
            Unavailable: database or a store do not answer.
        """
        records = await self._rotation.records_under(kek)
        return len(records.keys() & await self._rotation.buried(await self._buckets(kek)))

    async def end_records(self, kek: Kek) -> int:
        """Drop the records that a version kept and that nothing needs; return how many.

        Raises:
            Unavailable: database or a store do not answer.
        """
        return await self._rotation.end_records(kek, await self._buckets(kek))

    async def _buckets(self, kek: Kek) -> Sequence[Bucket]:
        return [one for one in await self._registry.all() if one.tenant == kek.tenant]

    async def _objects(self, kek: Kek, bucket: Bucket) -> int:
        if kek.classification not in bucket.allowed:
            return 0
        if self._classifications.get(kek.classification).keys.mode == "keyring":
            return 0
        store = self._stores[bucket.store]
        return await count_under(
            store, bucket, kek.kek_id, lambda objects: self._progress(objects, 0)
        )


def _in_use(kek: Kek, what: str, next_step: str) -> Conflict:
    return Conflict(
        f"The key {kek.kek_id} still keeps {what}.",
        code="HY-2311",
        effect="Nothing was destroyed; without the key they could never be read again.",
        next_step=next_step,
    )
