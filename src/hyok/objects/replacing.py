"""Replacements: writes and deletes in an adopted bucket, and the plaintext that they end.

Whatever the gateway writes or removes takes the row of the inventory away before the client is
told.  In a bucket of sealed names the sealed and the plain object of a key have two names, which no
store decides about together: those writes are serialised by a lease.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from hyok.backends.port import ALWAYS, Condition
from hyok.database.leases import KEPT_MS
from hyok.errors import Conflict, HyokError, NotFound, Refused
from hyok.objects.adoption import is_counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hyok.database.leases import Lease, Leases
    from hyok.objects.adoption import Adoptions
    from hyok.objects.inventory import Adopted
    from hyok.objects.places import Place
    from hyok.vocabulary import Ask

log = structlog.get_logger("hyok.objects")

WAIT_SECONDS_MAX = 15.0
WAIT_STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed, and under which condition.  ``place`` None: where sealed ones are."""

    condition: Condition
    place: Place | None = None


class Replacements:
    """Made once by wiring; safe for many requests at once."""

    def __init__(self, adoptions: Adoptions, leases: Leases) -> None:
        self._adoptions = adoptions
        self._inventories = adoptions.inventories
        self._leases = leases

    @asynccontextmanager
    async def replacing(
        self, ask: Ask, condition: Condition = ALWAYS, *, deleting: bool = False
    ) -> AsyncIterator[Condition]:
        """Write or remove a key inside this block, under the condition that it yields.

        When the block ends well, and before the client may be told, whatever stood in clear under
        this key counts no more.

        Raises:
            Conflict: the condition does not hold for the plain object (reason
                ``PreconditionFailed``), or a job is sealing this very object
                (``OperationAborted``).
        """
        bucket = ask.bucket
        assert bucket is not None
        entry = None
        if bucket.adoption:
            entry = await self._inventories.find(bucket.bucket_id, ask.key)
        if entry is None or entry.replaced:
            yield condition
        elif bucket.names == "clear":  # the same name in the store, so the store decides
            yield condition
            await self._inventories.forget(bucket.bucket_id, entry)
        else:
            async with self._held(ask) as lease, lease.kept():
                entry = await self._inventories.find(bucket.bucket_id, ask.key)
                if entry is None or entry.replaced or await self._adoptions.settled(ask, entry):
                    yield condition
                    return
                yield _condition_of(entry, condition, deleting=deleting)
                await lease.renew()
                await self._inventories.mark_replaced(bucket.bucket_id, entry)
                try:
                    await self.remove_plain(ask, entry)
                except HyokError as error:
                    # The write stands.  The row says what is left, and a job comes back to it.
                    log.warning("adoption.plain_object_left", error=error.explain())

    @asynccontextmanager
    async def removing(
        self, ask: Ask, condition: Condition, version_id: str
    ) -> AsyncIterator[Removal]:
        """Remove one version of a key for good inside this block, or the newest as `replacing`.

        What was counted counts no more only when it is the version that goes: an older one leaves
        it where it stands.

        Raises:
            Conflict: as `replacing`.
        """
        bucket = ask.bucket
        assert bucket is not None
        if not version_id:
            async with self.replacing(ask, condition, deleting=True) as held:
                yield Removal(held)
            return
        async with AsyncExitStack() as over:
            entry = None
            if bucket.adoption:
                entry = await self._inventories.find(bucket.bucket_id, ask.key)
            if entry is not None and not entry.replaced and bucket.names == "sealed":
                lease = await over.enter_async_context(self._held(ask))
                await over.enter_async_context(lease.kept())
                entry = await self._inventories.find(bucket.bucket_id, ask.key)
            if entry is None or entry.replaced or not await self._is_newest(ask, version_id):
                yield Removal(condition)
                return
            yield Removal(condition, self._adoptions.plain_place(ask))
            await self._inventories.forget(bucket.bucket_id, entry)

    async def _is_newest(self, ask: Ask, version_id: str) -> bool:
        """Say whether this version is what stands under the clear name now."""
        place = self._adoptions.plain_place(ask)
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            return False
        return (stored.version_id or "null") == version_id

    @asynccontextmanager
    async def _held(self, ask: Ask) -> AsyncIterator[Lease]:
        """Hold a key whose sealed and plain objects have two names, which no store can decide."""
        assert ask.bucket is not None
        raw = f"{ask.bucket.bucket_id}\0{ask.key}".encode()
        name = f"adopted:{sha256(raw).hexdigest()}"
        async with AsyncExitStack() as over:
            yield await self._taken(over, name)

    async def _taken(self, over: AsyncExitStack, name: str) -> Lease:
        waited = 0.0
        while True:
            try:
                return await over.enter_async_context(self._leases.hold(name, KEPT_MS))
            except Conflict:
                if waited >= WAIT_SECONDS_MAX:
                    raise
            waited += WAIT_STEP_SECONDS
            await asyncio.sleep(WAIT_STEP_SECONDS)

    async def remove_plain(self, ask: Ask, entry: Adopted) -> None:
        """Remove what was counted under its clear name, and the row; quiet when it is gone.

        Where the bucket keeps versions it stays as an older one, until those are erased.

        Raises:
            Conflict: another object stands there now; it stays (code HY-3511).
        """
        assert ask.bucket is not None
        place = self._adoptions.plain_place(ask)
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            pass
        else:
            if not is_counted(entry, stored):
                raise _changed()
            try:
                await place.store.delete(place.bucket, place.name, Condition(if_match=entry.etag))
            except Refused as error:
                if error.reason != "NotImplemented":
                    raise
                # No client of ours writes under a clear name here; only somebody around us could
                # have put something there since the look above.
                await place.store.delete(place.bucket, place.name)
        await self._inventories.forget(ask.bucket.bucket_id, entry)


def _changed() -> Conflict:
    return Conflict(
        "Another object than was counted stands under the clear name.",
        code="HY-3511",
        effect="It was left there.",
        next_step="find out who wrote to the store, and remove it there",
    )


def _condition_of(entry: Adopted, condition: Condition, *, deleting: bool) -> Condition:
    """Return what a condition on the plain object is for the sealed name, where nothing stands."""
    fails = condition.absent or condition.if_match not in ("", entry.etag)
    if fails or condition.not_match == entry.etag:
        raise Conflict(
            "At least one of the pre-conditions you specified did not hold",
            reason="PreconditionFailed",
        )
    if deleting or condition == ALWAYS:
        return ALWAYS
    return Condition(absent=True)
