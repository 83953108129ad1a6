"""Registrations: what stands sealed in each bucket's `.hyok/` under the installation's own key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.custody.secret_box import sealed_under
from hyok.errors import Tampered
from hyok.objects.registration import REGISTRATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.objects.mirror import StoreMirror
    from hyok.objects.registry import BucketKeeper, BucketRegistry
    from hyok.vocabulary import Bucket


class Registrations:
    """Fills `SealedElsewhere` of custody."""

    def __init__(self, registry: BucketRegistry, keeper: BucketKeeper, mirror: StoreMirror) -> None:
        self._registry = registry
        self._keeper = keeper
        self._mirror = mirror

    async def under(self) -> Sequence[str]:
        """Return the key version of every bucket's registration.

        Raises:
            Unavailable: a store does not answer.
        """
        found = [await self._named(bucket) for bucket in await self._registry.all()]
        return [name for name in found if name is not None]

    async def renew(self, kek_id: str) -> int:
        """Write those anew that are under another version; one that was lost is made anew.

        Raises:
            Unavailable: HSM or a store do not answer.
        """
        changed = 0
        for bucket in await self._registry.all():
            if await self._named(bucket) != kek_id:
                await self._keeper.keep_registration(bucket)
                changed += 1
        return changed

    async def _named(self, bucket: Bucket) -> str | None:
        sealed = await self._mirror.read(bucket, REGISTRATION)
        if sealed is None:
            return None
        try:
            return sealed_under(sealed)
        except Tampered:
            return ""
