"""Rewrapper: a new envelope for an object that stays where it is, for keys and tags that change.

What a client writes meanwhile must never be overwritten by the old object.  So the store decides at
the destination: by a change of facts under If-Match where it has that; else the sealed bytes are
written back under If-Match, and since such a write may keep the ETag, rewraps of one object are
serialised over all gateways by a lease.

Source: docs/format.md, section 9.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.backends.port import WHOLE, Condition
from hyok.errors import Conflict, Tampered, Unavailable
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.backends.port import Stored, StoredFacts, StoreSink, StoreSource
    from hyok.custody.custodian import Rewrapped
    from hyok.database.leases import Lease, Leases
    from hyok.envelope.metadata import Metadata
    from hyok.objects.places import Place
    from hyok.objects.reading import Examined
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask

ACTION = "object:rewrap"


class Rewrapper:
    """Made once by wiring; for jobs that take one object after another."""

    def __init__(self, vault: ObjectVault, leases: Leases) -> None:
        self._vault = vault
        self._leases = leases

    async def rewrap(
        self, ask: Ask, change: Callable[[Metadata], Metadata] | None = None
    ) -> Rewrapped | None:
        """Wrap an object's key under the key that writes now; its bytes stay as they are.

        ``change`` says what is sealed beside the data from now on.  None comes back when there is
        nothing to do, so that a job may be repeated.

        Raises:
            Conflict: a client or another job changed the object meanwhile; its state is theirs
                (reasons ``PreconditionFailed``, ``OperationAborted``).
            Refused: policy says no, or the key was compromised (code HY-2308).
            NotFound, Tampered, Unavailable: as reading says.
        """
        assert ask.bucket is not None
        place = await self._vault.places.of(ask.bucket, ask.key)
        if place.store.features.conditional_copy:
            return await self._renewed(ask, place, change, None)
        place_id = sha256(f"{ask.bucket.store}\0{place.bucket}\0{place.name}".encode()).hexdigest()
        async with self._leases.hold(f"rewrap:{place_id}") as lease:
            return await self._renewed(ask, place, change, lease)

    async def _renewed(
        self,
        ask: Ask,
        place: Place,
        change: Callable[[Metadata], Metadata] | None,
        lease: Lease | None,
    ) -> Rewrapped | None:
        vault = self._vault
        stored = await place.store.head(place.bucket, place.name)
        examined = await vault.reader.examine(ask, place, stored)
        try:
            if change is None and await vault.custodian.is_current(ask, examined.key):
                await self._conclude(ask, examined, examined.key.kek_id)
                return None
            metadata = None if change is None else change(examined.key.metadata)
            renewed = await vault.custodian.rewrap(ask, examined.key, examined.trailer, metadata)
        finally:
            examined.key.data_key.close()
        assert renewed is not None  # None is for copies
        assert stored.facts is not None
        facts = replace(stored.facts, envelope=renewed.envelope)
        try:
            if lease is None:
                await place.store.replace_facts(place.bucket, place.name, facts, stored.etag)
            else:
                if stored.tag_count:
                    # A change of them between this and the writing is lost.
                    tags = await place.store.tags(place.bucket, place.name, stored.version_id)
                    facts = replace(facts, tags=tags)
                await self._write_back(place, stored, facts, lease)
        except BaseException as error:
            await vault.conclude_failure(ask, renewed, error)
            raise
        await self._conclude(ask, examined, renewed.kek_id)
        return renewed

    async def _conclude(self, ask: Ask, examined: Examined, kek_id: str) -> None:
        await self._vault.custodian.conclude(
            ask,
            "done",
            object_id=examined.key.envelope.object_id,
            kek_id=kek_id,
            size_bytes=examined.facts.size,
        )

    async def _write_back(
        self, place: Place, stored: Stored, facts: StoredFacts, lease: Lease
    ) -> None:
        """Write the sealed bytes again with new facts, if they are still this version's."""
        condition = Condition(if_match=stored.etag)
        if stored.size <= WHOLE_BODY_BYTES_MAX:
            told, body = await place.store.read_whole(
                place.bucket, place.name, WHOLE, if_match=stored.etag
            )
            _check_same(stored, told)
            await lease.renew()
            await place.store.put_whole(place.bucket, place.name, body, facts, condition)
            return
        source = await place.store.read(place.bucket, place.name, WHOLE, if_match=stored.etag)
        try:
            _check_same(stored, source.stored)
            sink = await place.store.put(place.bucket, place.name, stored.size, facts, condition)
            try:
                await self._vault.pump.run(lambda: self._pour(source, sink, stored.size))
                await lease.renew()
                await self._vault.pump.run(sink.commit)
            except BaseException:
                sink.abort()
                raise
        finally:
            source.close()

    def _pour(self, source: StoreSource, sink: StoreSink, size: int) -> None:
        """Move sealed bytes; nothing is opened.  Blocking."""
        room = self._vault.rooms.take()
        try:
            left = size
            while left:
                count = source.read_into(room.sealed[:left])
                if not count:
                    raise Unavailable(
                        "The store's answer was cut short.", reason="ServiceUnavailable"
                    )
                sink.write(room.sealed[:count])
                left -= count
        finally:
            self._vault.rooms.give(room)


def _check_same(stored: Stored, told: Stored) -> None:
    """Return quietly if the bytes now read have the facts that were examined.

    Raises:
        Conflict: another rewrap was faster; a store may keep the ETag through it.
        Tampered: the store says two things of one version.
    """
    if told.size != stored.size:
        raise Tampered("the store tells two lengths of one version", code="HY-3503")
    if told.facts is None or stored.facts is None or told.facts.envelope != stored.facts.envelope:
        raise Conflict("The object was rewrapped meanwhile.", reason="OperationAborted")
