"""Adopter: registers a bucket of a store that holds plaintext already, and counts it first.

The inventory is whole before the bucket is served, so no object that the gateway writes is ever in
it.  For the same reason a bucket is adopted once, and one that was ours before is not adopted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.database.leases import KEPT_MS
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused
from hyok.objects.adoption import MODES, SEAL
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.objects.registration import REGISTRATION

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import ObjectStore
    from hyok.custody.custodian import KeyCustodian
    from hyok.database.leases import Leases
    from hyok.objects.inventory import Counted, Inventories
    from hyok.objects.mirror import StoreMirror
    from hyok.objects.places import Places
    from hyok.objects.registry import BucketKeeper, BucketRegistry, NewBucket
    from hyok.vocabulary import Ask, Bucket

ACTION = "bucket:adopt"


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """What was adopted."""

    bucket: Bucket
    counted: Counted


class Adopter:
    """Made once by wiring, for operators."""

    def __init__(
        self,
        *,
        registry: BucketRegistry,
        keeper: BucketKeeper,
        inventories: Inventories,
        mirror: StoreMirror,
        places: Places,
        custodian: KeyCustodian,
        leases: Leases,
    ) -> None:
        self._registry = registry
        self._keeper = keeper
        self._inventories = inventories
        self._mirror = mirror
        self._places = places
        self._custodian = custodian
        self._leases = leases

    async def adopt(
        self,
        ask: Ask,
        wanted: NewBucket,
        mode: str,
        tell: Callable[[int, int], None] = lambda _objects, _bytes: None,
    ) -> AdoptReport:
        """Count what stands in a backend bucket and serve it from now on.

        ``tell`` is called with the objects and bytes counted so far.  Broken off, it has changed
        nothing that anybody is served from; run it again.

        Raises:
            Malformed: no such mode.
            Refused: policy says no; or the store does not decide conditions, so that objects cannot
                be sealed in place (code HY-3512).
            NotFound: the store has no such bucket.
            Conflict: it is registered, or was ours before (code HY-3520).
        """
        _check_mode(mode)
        ask, bucket = await self._keeper.plan(ask, wanted)
        try:
            # Two who count at once would have one count on while the other's bucket is served.
            async with (
                self._leases.hold(f"adopt:{bucket.bucket_id}", KEPT_MS) as lease,
                lease.kept(),
            ):
                bucket = await self._adopt(bucket, mode, ask.at_ms, tell)
        except HyokError as error:
            await self._custodian.conclude(ask, "failed", error=type(error).__name__)
            raise
        await self._custodian.conclude(ask, "done")
        return AdoptReport(bucket, await self._inventories.counted(bucket.bucket_id))

    async def _adopt(
        self, bucket: Bucket, mode: str, at_ms: int, tell: Callable[[int, int], None]
    ) -> Bucket:
        store = self._places.store(bucket)
        await self._check_new(bucket, store)
        if mode == SEAL:
            await _check_decides(store, bucket)
        await self._inventories.begin(bucket.bucket_id, at_ms)
        await self._count(bucket, store, tell)
        return await self._keeper.register(replace(bucket, adoption=mode))

    async def change_mode(self, ask: Ask, mode: str) -> AdoptReport:
        """Treat what was counted in another way from now on.

        Raises:
            Conflict: everything is sealed already, or the bucket was made by us (code HY-3521).
            Malformed, Refused: as `adopt`.
        """
        bucket = ask.bucket
        assert bucket is not None
        _check_mode(mode)
        if not bucket.adoption:
            raise Conflict(
                f"bucket {bucket.bucket_id} holds no plaintext of before that is known of",
                code="HY-3521",
                effect="Nothing was changed.",
                next_step="objects without envelope in it are refused; see `hyok doctor`",
            )
        await self._custodian.decide(ask)
        if mode == SEAL:
            await _check_decides(self._places.store(bucket), bucket)
        changed = await self._registry.set_adoption(bucket.bucket_id, mode)
        await self._custodian.conclude(ask, "done")
        return AdoptReport(changed, await self._inventories.counted(bucket.bucket_id))

    async def _check_new(self, bucket: Bucket, store: ObjectStore) -> None:
        if not await store.has_bucket(bucket.backend_name):
            raise NotFound(
                f"store {bucket.store} has no bucket {bucket.backend_name}",
                reason="NoSuchBucket",
                next_step="name it with --backend-name, or make an empty one: hyok buckets create",
            )
        for other in await self._registry.fresh():
            if other.bucket_id == bucket.bucket_id or (other.store, other.backend_name) == (
                bucket.store,
                bucket.backend_name,
            ):
                raise _ours(bucket, f"it is registered as bucket {other.bucket_id}")
        if await self._mirror.read(bucket, REGISTRATION) is not None:
            # What was sealed here may have been stripped since: plaintext in it proves nothing.
            raise _ours(bucket, "it holds a registration under .hyok/")

    async def _count(
        self, bucket: Bucket, store: ObjectStore, tell: Callable[[int, int], None]
    ) -> None:
        after, objects, size = "", 0, 0
        while True:
            page = await store.list(bucket.backend_name, after=after)
            found = [one for one in page.objects if not one.name.startswith(RESERVED)]
            await self._inventories.add(bucket.bucket_id, found)
            objects += len(found)
            size += sum(one.size for one in found)
            tell(objects, size)
            after = page.next_after
            if not after:
                return


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise Malformed(f"no mode {mode}: one of {', '.join(MODES)}")


async def _check_decides(store: ObjectStore, bucket: Bucket) -> None:
    """Return quietly if what a client writes meanwhile cannot be overwritten by an old object."""
    features = await store.features_of(bucket.backend_name)
    if features.conditional_put and (bucket.names == "clear" or features.conditional_delete):
        return
    raise Refused(
        f"store {bucket.store} does not decide conditions of a write itself, so sealing objects in "
        "place could overwrite what clients write meanwhile",
        code="HY-3512",
        effect="Nothing was changed.",
        next_step="use mode read-through, and write the objects anew through the gateway",
    )


def _ours(bucket: Bucket, why: str) -> Conflict:
    return Conflict(
        f"bucket {bucket.backend_name} of store {bucket.store} is ours already: {why}",
        code="HY-3520",
        effect="Nothing was changed.",
        next_step="if the database was lost: hyok recover",
    )
