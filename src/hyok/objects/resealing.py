"""Resealer: an object sealed anew with new keys, where the old ones must be taken as known.

The object is opened and written again through the vault, so nothing of its old key is left in it:
data key, intermediate key and KEK are new.  The store decides that nobody wrote it meanwhile.

Source: docs/format.md, section 9; docs/adr/0021-after-a-compromise.md.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.backends.port import ALWAYS, Condition
from hyok.envelope.block import parse
from hyok.errors import Conflict, NotFound, Refused
from hyok.objects.copying import OpenedBody
from hyok.objects.facts import PutFacts, about
from hyok.objects.locking import still_holding
from hyok.s3.names import etag_out
from hyok.vocabulary import ClassificationName, Did

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.backends.port import Stored, StoredVersion
    from hyok.custody.exposure import Exposure
    from hyok.database.leases import Leases
    from hyok.objects.facts import ObjectFacts
    from hyok.objects.opened import Opened
    from hyok.objects.places import Place
    from hyok.objects.vault import ObjectVault
    from hyok.vocabulary import Ask

ACTION = "object:reseal"
LOOKS_MAX = 4
"""How often an object is looked at again when it is changed at the same moment."""


class Resealer:
    """Made once for each job.

    Args:
        vault: opens and seals.
        leases: keep a rewrap of the same object away, which may leave the ETag as it is.
        exposure: returns what judges envelopes now.
    """

    def __init__(
        self, vault: ObjectVault, leases: Leases, exposure: Callable[[], Awaitable[Exposure]]
    ) -> None:
        self._vault = vault
        self._leases = leases
        self._exposure = exposure

    async def reseal(self, ask: Ask) -> Did:
        """Seal the newest version of an object anew, if its key was exposed.

        Where versions are kept the old one is removed afterwards, since the new one has its bytes.

        Raises:
            Conflict: clients write it again and again (reason ``OperationAborted``), or its case
                cannot be told (code HY-2423).
            Refused: policy says no, or object lock keeps the old version (code HY-2422).
            Tampered, Unavailable, Malformed: as reading or writing says.
        """
        assert ask.bucket is not None
        place = await self._vault.places.of(ask.bucket, ask.key)
        place_id = sha256(f"{ask.bucket.store}\0{place.bucket}\0{place.name}".encode()).hexdigest()
        async with self._leases.hold(f"rewrap:{place_id}"):
            for _ in range(LOOKS_MAX):
                try:
                    return await self._once(ask, place)
                except NotFound:  # removed since it was listed
                    return Did.NOTHING
                except Conflict as error:  # changed since it was looked at; perhaps its tags alone
                    if error.reason != "PreconditionFailed":
                        raise
        raise Conflict("The object is being written again and again.", reason="OperationAborted")

    async def _once(self, ask: Ask, place: Place) -> Did:
        stored = await place.store.head(place.bucket, place.name)
        if not await self.is_exposed(ask, place, stored):
            return Did.NOTHING
        made = await self._write(ask, place, stored)
        await self._remove(ask, place, stored, made)
        return Did.CHANGED

    async def settle_older(self, ask: Ask, newer: StoredVersion | None, version_id: str) -> Did:
        """Deal with an older version whose key was exposed.

        A store cannot put another version into the place of an older one.  Only what an earlier run
        sealed anew and was killed before it removed is removed now.

        Args:
            ask: who asks, and where it stands.
            newer: the version that came next.
            version_id: of the older one.

        Raises:
            Refused: it has to stay, and so has its key (code HY-2424); or object lock keeps it
                (HY-2422).
        """
        assert ask.bucket is not None
        place = await self._vault.places.of(ask.bucket, ask.key)
        try:
            stored = await place.store.head(place.bucket, place.name, version_id)
        except NotFound:
            return Did.NOTHING
        if not await self.is_exposed(ask, place, stored):
            return Did.NOTHING
        successor = await self._successor(place, newer)
        if (
            successor is not None
            and not await self.is_exposed(ask, place, successor)
            and await self._same(ask, stored, successor)
        ):
            await self._remove(ask, place, stored, successor)
            return Did.CHANGED
        _check_unlocked(stored, ask.at_ms)
        raise Refused(
            f"Version {version_id} is an older one, which no store lets take the place of itself.",
            code="HY-2424",
            effect="It stays under the compromised key.",
            next_step="remove that version (DeleteObject with its version id), or let it expire",
        )

    async def _successor(self, place: Place, newer: StoredVersion | None) -> Stored | None:
        if newer is None or newer.marker:
            return None
        try:
            return await place.store.head(place.bucket, place.name, newer.version_id)
        except NotFound:  # sealed anew a moment ago, and removed
            return None

    async def is_exposed(self, ask: Ask, place: Place, stored: Stored) -> bool:
        """Return whether a compromised version may have kept a stored version's key.

        Raises:
            Tampered, Refused, Unavailable: its trailer is asked, and does not open.
        """
        if stored.facts is None or not stored.facts.envelope:
            return False  # it stands in clear
        verdict = await (await self._exposure()).judge(parse(stored.facts.envelope))
        if verdict.exposed or not verdict.before_ms:
            return verdict.exposed
        ask = replace(ask, classification=None)
        examined = await self._vault.reader.examine(ask, place, stored)
        examined.key.data_key.close()
        await self._conclude(ask, examined.facts)
        return verdict.holds(examined.trailer.created_ms)

    async def _write(self, ask: Ask, place: Place, stored: Stored) -> Stored:
        assert stored.facts is not None
        scope = parse(stored.facts.envelope).scope
        opened = await self._opened(ask, stored)
        try:
            facts = opened.facts
            target = replace(
                about(ask, facts),
                classification=ClassificationName(facts.classification),
                scope_label=await self._label(ask, facts, scope),
            )
            written = await self._vault.put(
                target,
                OpenedBody(opened, self._vault.pump, self._vault.rooms),
                PutFacts(
                    headers=facts.headers,
                    user_metadata=facts.user_metadata,
                    tags=facts.tags,
                    lock=still_holding(facts.lock, ask.at_ms),
                ),
                Condition(if_match=stored.etag),
            )
        finally:
            await opened.close()
        await self._conclude(ask, opened.facts)
        return replace(stored, version_id=written.version_id)

    async def _opened(self, ask: Ask, stored: Stored) -> Opened:
        def same(facts: ObjectFacts) -> None:
            if facts.etag != etag_out(stored.etag):
                raise Conflict("The object was written meanwhile.", reason="PreconditionFailed")

        return await self._vault.open(
            replace(ask, classification=None),
            None,
            same,
            checksums=True,
            version_id=stored.version_id,
            tags=True,
        )

    async def _label(self, ask: Ask, facts: ObjectFacts, scope: str) -> str:
        """Return what binds the new key to the case or person that the old one was bound to.

        Raises:
            Conflict: no tag names it: it would leave the reach of its shredding (code HY-2423).
        """
        assert ask.bucket is not None
        if not scope.startswith("subject:"):
            return ""
        rule = self._vault.classifications.get(ClassificationName(facts.classification))
        for word in rule.keys.scope_from:
            label = facts.tags.get(word) or facts.user_metadata.get(word)
            custodian = self._vault.custodian
            if label and await custodian.subject_scope(ask.bucket.tenant, label) == scope:
                return label
        raise Conflict(
            "No tag or metadata of the object names the case or person of its key.",
            code="HY-2423",
            effect="It was not sealed anew: it would be out of reach when its case is destroyed.",
            next_step="write it anew with its tag, through the gateway",
        )

    async def _same(self, ask: Ask, one: Stored, other: Stored) -> bool:
        """Have two versions the same content, tags and metadata?"""
        if one.size != other.size:
            return False
        return await self._print(ask, one) == await self._print(ask, other)

    async def _print(self, ask: Ask, stored: Stored) -> object:
        opened = await self._opened(ask, stored)
        try:
            digest = _Digest()
            await self._vault.pump.run(lambda: opened.pour(lambda: digest))
        finally:
            await opened.close()
        facts = opened.facts
        await self._conclude(ask, facts)
        told = (dict(facts.headers), dict(facts.user_metadata), dict(facts.tags))
        return digest.hash.digest(), told

    async def _remove(self, ask: Ask, place: Place, old: Stored, made: Stored) -> None:
        """Remove the version that was sealed anew, where the store kept it."""
        if not old.version_id or old.version_id == made.version_id:
            return
        if old.version_id == "null" and not made.version_id:
            return  # written over, in a bucket whose versions are suspended
        _check_unlocked(old, ask.at_ms)
        await place.store.delete(place.bucket, place.name, ALWAYS, old.version_id)

    async def _conclude(self, ask: Ask, facts: ObjectFacts) -> None:
        await self._vault.custodian.conclude(
            about(ask, facts),
            "done",
            object_id=bytes.fromhex(facts.object_id),
            kek_id=facts.kek_id,
            size_bytes=facts.size,
        )


class _Digest:
    """A sink that keeps only the SHA-256."""

    def __init__(self) -> None:
        self.hash = sha256()

    def write(self, view: memoryview) -> None:
        self.hash.update(view)


def _check_unlocked(stored: Stored, now_ms: int) -> None:
    lock = stored.facts.lock if stored.facts is not None else None
    if lock is None or not (lock.hold or lock.until_ms > now_ms):
        return
    raise Refused(
        f"Object lock keeps version {stored.version_id} under the compromised key.",
        code="HY-2422",
        effect="What is newest of the object is sealed with sound keys; this version is not.",
        next_step="wait for the retention, or end the hold; then run it again",
    )
