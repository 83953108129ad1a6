"""BucketStates: whether a bucket keeps versions and has object lock; the store's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Conflict, Refused
from hyok.objects.locking import default_lock, told_configuration
from hyok.s3.locks import no_configuration
from hyok.s3.versions import Versioning

if TYPE_CHECKING:
    from hyok.custody.custodian import KeyCustodian
    from hyok.objects.places import Places
    from hyok.s3.locks import LockConfiguration
    from hyok.vocabulary import Ask


class BucketStates:
    """Made once by wiring."""

    def __init__(self, places: Places, custodian: KeyCustodian) -> None:
        self._places = places
        self._custodian = custodian

    async def versioning(self, ask: Ask) -> Versioning:
        """Return whether the bucket keeps versions; a store that knows none never did."""
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        try:
            told = await self._places.store(ask.bucket).versioning(ask.bucket.backend_name)
        except Refused:
            told = ""
        await self._custodian.conclude(ask, "done")
        return Versioning(told)

    async def set_versioning(self, ask: Ask, state: Versioning) -> None:
        """Switch versions on, or suspend them.

        Raises:
            Refused: policy says no, or the store keeps no versions (reason ``NotImplemented``).
            Conflict: object lock needs versions (reason ``InvalidBucketState``).
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        store, backend = self._places.store(ask.bucket), ask.bucket.backend_name
        if state is Versioning.SUSPENDED and await store.object_lock(backend) is not None:
            raise Conflict(
                "An Object Lock configuration is present on this bucket, so the versioning state "
                "cannot be changed.",
                reason="InvalidBucketState",
            )
        await store.set_versioning(backend, state.value)
        await self._custodian.conclude(ask, "done")

    async def lock_configuration(self, ask: Ask) -> LockConfiguration:
        """Return what new versions get.

        Raises:
            NotFound: no object lock (reason ``ObjectLockConfigurationNotFoundError``).
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        found = await self._places.store(ask.bucket).object_lock(ask.bucket.backend_name)
        await self._custodian.conclude(ask, "done")
        if found is None:
            raise no_configuration()
        return told_configuration(found)

    async def set_lock_configuration(self, ask: Ask, configuration: LockConfiguration) -> None:
        """Switch object lock on, or change what new versions get.

        Raises:
            Refused: policy says no, or the store has no object lock.
            Conflict: the bucket keeps no versions (reason ``InvalidBucketState``).
        """
        assert ask.bucket is not None
        await self._custodian.decide(ask)
        store, backend = self._places.store(ask.bucket), ask.bucket.backend_name
        if await store.versioning(backend) != Versioning.ENABLED.value:
            raise Conflict(
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
                reason="InvalidBucketState",
            )
        await store.set_object_lock(backend, default_lock(configuration))
        await self._custodian.conclude(ask, "done")
