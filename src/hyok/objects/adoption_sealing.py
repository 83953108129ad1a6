"""AdoptedSealer: seals one object that stood in clear, where it stands.

May be killed between any two steps and done again: the row of the inventory goes away after the
sealed object is there, and a sealed object that opens is what ends the work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends.port import WHOLE, Condition
from hyok.errors import Conflict, NotFound, Tampered, Unavailable
from hyok.objects.adoption import check_counted, tags_in_clear
from hyok.objects.facts import Proofs, PutFacts
from hyok.objects.locking import still_holding, told_lock
from hyok.objects.summing import Summed
from hyok.policy.classify import judge
from hyok.s3.checksums import Algorithm, Checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.backends.port import Stored, StoreSource
    from hyok.objects.inventory import Adopted, Inventories
    from hyok.objects.places import Place
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask, Source, T

ACTION = "object:seal"
LOOKS_MAX = 4
"""How often an object is looked at again when clients write it at the same moment."""


class AdoptedSealer:
    """Made once by wiring, for jobs."""

    def __init__(self, vault: ObjectVault, inventories: Inventories) -> None:
        self._vault = vault
        self._inventories = inventories

    async def seal(self, ask: Ask, entry: Adopted) -> bool:
        """Seal the object of this entry; False when a client or an earlier run was first.

        Raises:
            NotFound: it is gone from the store, and counts no more (code HY-3513).
            Tampered: it is another one than was counted (code HY-3511), or an envelope stands there
                that does not open.
            Refused: policy or the names of the bucket say no.
            Conflict: clients write it again and again.
            Unavailable: try again later.
        """
        bucket = ask.bucket
        assert bucket is not None
        ask = replace(ask, key=entry.name)
        for _ in range(LOOKS_MAX):
            try:
                return await self._once(ask, entry)
            except Conflict as error:
                if error.reason != "PreconditionFailed":
                    raise
            found = await self._inventories.find(bucket.bucket_id, entry.name)
            if found is None:
                return False
            entry = found
        raise Conflict("The object is being written again and again.", reason="OperationAborted")

    async def _once(self, ask: Ask, entry: Adopted) -> bool:
        vault, bucket = self._vault, ask.bucket
        assert bucket is not None
        if entry.replaced or (
            bucket.names == "sealed" and await vault.adoptions.settled(ask, entry)
        ):
            await vault.replacements.remove_plain(ask, entry)
            return False
        place = vault.adoptions.plain_place(ask)
        try:
            stored = await place.store.head(place.bucket, place.name)
        except NotFound:
            await self._inventories.forget(bucket.bucket_id, entry)
            raise NotFound(
                "The object is no longer in the store.",
                code="HY-3513",
                next_step="ask who removed it there; it was not removed through the gateway",
            ) from None
        if stored.facts is not None and stored.facts.envelope:
            if await vault.adoptions.settled(ask, entry):
                return False
            raise Tampered("An envelope of another bucket stands under a clear name.")
        check_counted(entry, stored)
        facts, ask = self._facts(ask, stored, await tags_in_clear(place, stored))
        body = _PlainBody(vault, place, stored)
        await vault.put(ask, body, facts, Condition(if_match=entry.etag))
        return True

    def _facts(self, ask: Ask, stored: Stored, tags: Mapping[str, str]) -> tuple[PutFacts, Ask]:
        """Return what the object carries, and the question with its own classification."""
        assert ask.bucket is not None
        assert stored.facts is not None
        told = stored.facts
        judged = judge(self._vault.classifications, ask.bucket, ask.key, tags, told.user_metadata)
        facts = PutFacts(
            headers=told.clear,
            user_metadata=told.user_metadata,
            tags=tags,
            lock=still_holding(told_lock(told.lock), ask.at_ms),
        )
        ask = replace(ask, classification=judged.classification, scope_label=judged.scope_label)
        return facts, ask


class _PlainBody:
    """A `ProvenBody` over what the store holds in clear: this version of it, and all of it."""

    def __init__(self, vault: ObjectVault, place: Place, stored: Stored) -> None:
        self._vault = vault
        self._place = place
        self._stored = stored
        self._checksum = Checksum(Algorithm.CRC64NVME)

    @property
    def size(self) -> int:
        """The length in bytes."""
        return self._stored.size

    async def whole(self) -> memoryview:
        """Return all of it.

        Raises:
            Conflict: it was replaced meanwhile; Unavailable: the answer was cut short.
        """
        place = self._place
        _, body = await place.store.read_whole(
            place.bucket, place.name, WHOLE, if_match=self._stored.etag
        )
        if len(body) != self.size:
            raise Unavailable("The store's answer was cut short.", reason="ServiceUnavailable")
        self._checksum.update(memoryview(body))
        return memoryview(body)

    async def pump(self, work: Callable[[Source], T]) -> T:
        """Run ``work`` over all of it in a pump thread."""
        place = self._place
        source: StoreSource = await place.store.read(
            place.bucket, place.name, WHOLE, if_match=self._stored.etag
        )
        try:
            return await self._vault.pump.run(lambda: work(Summed(source, self._checksum)))
        finally:
            source.close()

    def proofs(self) -> Proofs:
        """Return the checksum that an upload without one is given as well."""
        return Proofs(b"", int(Algorithm.CRC64NVME), self._checksum.digest())
