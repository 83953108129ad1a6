"""Objects of one scope, in every version: counted, and removed for good.

The envelope's word is enough to find them: one that names another scope than its key's does not
open at all.

Source: docs/format.md, section 9 (shredding); docs/shredding.md.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.errors import Conflict
from hyok.objects.envelopes import envelopes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hyok.backends.port import ObjectStore
    from hyok.objects.envelopes import Sealed
    from hyok.vocabulary import Bucket


@dataclass(frozen=True, slots=True)
class Holding:
    """What a bucket holds of a scope: versions, sealed bytes, and how many object lock keeps.

    ``sample`` is the envelope of one of them.
    """

    versions: int = 0
    size_bytes: int = 0
    locked: int = 0
    sample: bytes = b""

    def plus(self, found: Sealed, now_ms: int) -> Holding:
        """Return it with one more."""
        locked = bool(found.lock.hold) or found.lock.until_ms > now_ms
        return replace(
            self,
            versions=self.versions + 1,
            size_bytes=self.size_bytes + found.size,
            locked=self.locked + locked,
            sample=self.sample or found.raw,
        )


async def hold(
    store: ObjectStore,
    bucket: Bucket,
    scope: str,
    now_ms: int,
    tell: Callable[[int], None] = lambda _objects: None,
    *,
    of_keys: Collection[bytes] | None = None,
) -> Holding:
    """Return what a bucket holds of a scope; ``tell`` is called with the versions looked at.

    ``of_keys``: only what the intermediate keys with these ids keep.

    Raises:
        Unavailable: the store does not answer.
    """
    holding = Holding()
    async with aclosing(envelopes(store, bucket, tell)) as everything:
        async for found in everything:
            envelope = found.envelope
            if envelope.scope == scope and (of_keys is None or envelope.token in of_keys):
                holding = holding.plus(found, now_ms)
    return holding


async def erase(
    store: ObjectStore,
    bucket: Bucket,
    scope: str,
    now_ms: int,
    tell: Callable[[int], None] = lambda _objects: None,
) -> Holding:
    """Remove every version of a scope's objects for good; return what was removed.

    Raises:
        Refused: object lock keeps one.
        Unavailable: the store does not answer; do it again.
    """
    return await erase_where(
        store, bucket, lambda found: found.envelope.scope == scope, now_ms, tell
    )


async def erase_where(
    store: ObjectStore,
    bucket: Bucket,
    wanted: Callable[[Sealed], bool],
    now_ms: int,
    tell: Callable[[int], None] = lambda _objects: None,
) -> Holding:
    """Remove every version that is wanted for good; return what was removed.

    Raises:
        Refused: object lock keeps one.
        Unavailable: the store does not answer; do it again.
    """
    gone = Holding()
    decides = (await store.features_of(bucket.backend_name)).conditional_delete
    async with aclosing(envelopes(store, bucket)) as everything:
        async for found in everything:
            if not wanted(found):
                continue
            # Written anew since it was looked at: then it may be an object of another case.
            condition = (
                Condition(if_match=found.etag) if decides and not found.version_id else ALWAYS
            )
            try:
                await store.delete(bucket.backend_name, found.name, condition, found.version_id)
            except Conflict:
                continue
            gone = gone.plus(found, now_ms)
            tell(gone.versions)
    return gone
