"""The act that destroys a classification: its keys in the database and the HSM, then its objects.

Everything that older versions of its KEK ever kept goes, in all buckets of a tenant.  A new version
keeps what is written from then on, and the keys of names, which stay.  So the older versions can be
destroyed in the HSM, and with them the only keys that objects of mode direct have.

Source: docs/format.md, section 9; docs/shredding.md.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hyok.custody.key_states import KeyState
from hyok.custody.quorum import Quorum, Role
from hyok.envelope.block import Mode, parse
from hyok.errors import Malformed, NotFound, Refused, Unavailable
from hyok.objects.envelopes import envelopes
from hyok.objects.erasing import erase_where
from hyok.officer.class_draft import ClassDraft, ClassFound
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.officer.shred_base import APPROVALS_MIN, HEEDED_SECONDS, Shredding, check_unlocked
from hyok.officer.statement import ALONE, Attempt, EndedKek, Person, Statement
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hyok.custody.cases import Case
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.custody.key_end import KeyEnder
    from hyok.custody.proposal import Effect
    from hyok.custody.rotation import KeyRotation
    from hyok.custody.shredding import ScopeKey
    from hyok.officer.key_uses import KeyUses
    from hyok.vocabulary import Ask, Bucket

KEYS_LISTED_MAX = 1000
"""Intermediate keys named in a statement; of more it has the number and a digest of all."""


class ShredClass(Shredding):
    """`scope:shred`: of a whole classification of a tenant.

    Args:
        keks: every key version.
        rotation: makes the new one, and moves the keys of names.
        uses: looks whether an old one keeps something else.
        ender: ends it.
        common: as `Shredding` says.
    """

    def __init__(
        self,
        *,
        keks: KekCatalog,
        rotation: KeyRotation,
        uses: KeyUses,
        ender: KeyEnder,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._keks = keks
        self._rotation = rotation
        self._uses = uses
        self._ender = ender

    async def plan(self, effect: Effect) -> Plan:
        """Return what stands there now, and whose approval its destruction takes.

        Raises:
            NotFound: there is no such classification, or nothing of it is kept (code HY-2320).
            Conflict: object lock keeps a version (code HY-2321).
            Malformed: the ground for destruction is missing where the archive is asked.
        """
        tenant, name = text(effect, "tenant"), text(effect, "all_of")
        if name not in self._classifications.names():
            raise _nothing(f"There is no classification {name}.")
        selection = text(effect, "selection", default="")
        if self._is_gated(name) and not selection:
            raise Malformed(
                f"objects of classification {name} are destroyed on a ground that the "
                "archivist checks",
                effect="Nothing was proposed.",
                next_step="--selection CATEGORY, of the selection list",
            )
        versions = await self._keks.versions(tenant, name)
        existing = [kek.kek_id for kek in versions if kek.state is not KeyState.DESTROYED]
        keys = await self._shredder.living_under(tenant, existing)
        found = await self._look(tenant, name, [kek.kek_id for kek in versions])
        if not found.versions and not keys:
            if "keks" in effect:  # an execution that is carried on
                return self._plan(tenant, name, effect)
            raise _nothing(f"Nothing of classification {name} is kept.")
        check_unlocked(found.holdings)
        exact: Effect = {
            "tenant": tenant,
            "all_of": name,
            "classification": name,
            "selection": selection,
            "keys": len(keys),
            "keks": existing,
            "holdings": [
                f"{bucket}: {held.versions} versions, {held.size_bytes} bytes"
                for bucket, held in sorted(found.holdings.items())
            ],
        }
        return self._plan(tenant, name, exact)

    def _plan(self, tenant: str, name: str, exact: Effect) -> Plan:
        rule = self._classifications.get(ClassificationName(name))
        among = (Role.ARCHIVIST,) if self._is_gated(name) else ()
        approvals = max(APPROVALS_MIN, rule.approvals.destroy_key)
        return Plan(tenant, name, Quorum(approvals, among), exact)

    def _is_gated(self, name: str) -> bool:
        return self._classifications.get(ClassificationName(name)).retention.gate == "archive"

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Destroy it and state it; carried on from wherever it was broken off.

        Raises:
            Unavailable: store, HSM or database do not answer, an upload came in late (HY-2323), or
                a lock was laid (HY-2321): execute it again.
            Conflict: object lock keeps a version (code HY-2321); nothing was destroyed.
            Tampered: something whose key was destroyed still opens (code HY-2323 or HY-2314).
        """
        proposal = case.proposal
        word, tenant = proposal.proposal_id, proposal.tenant
        name = text(proposal.effect, "all_of")
        ask = replace(ask, classification=ClassificationName(proposal.classification))
        await self._custodian.decide(ask)
        made = await self._book.find(word)
        if made is not None and made.final:
            return await self._stated(ask, made.document)
        draft = ClassDraft.of(made.document if made is not None else None)
        buckets = await self._buckets(tenant)
        if not draft.counted:
            await self._begin(word, tenant, name, draft)
        horizon_ms = self._clock_ms() + self._horizon_ms
        tokens = (await self._look(tenant, name, draft.old)).tokens
        keys = await self._keys(tenant, draft, tokens)
        ids = [bytes.fromhex(key.ik_id) for key in keys]
        gone = await self._shredder.destroy_keys(tenant, ids, word, horizon_ms, buckets)
        ended, kept = await self._end_keks(draft, buckets)
        await self._wait(HEEDED_SECONDS)
        await self._erase(draft.old, buckets)
        left = await self._look(tenant, name, draft.old)
        attempts = await self._tried(ask, draft, ended)
        if left.versions or await self._keys(tenant, draft, tokens):
            draft.count(left, buckets)
            await self._book.write(word, draft.document(), self._clock_ms(), final=False)
            raise Unavailable(
                f"{left.versions} versions came in meanwhile, begun under the old key.",
                code="HY-2323",
                effect="The statement was not made; what was destroyed stays destroyed.",
                next_step=f"see who writes; then hyok approvals execute {word} destroys that too",
            )
        statement = Statement(
            installation=self._installation,
            proposal=word,
            proposal_sha256=proposal.digest,
            tenant=tenant,
            scope=f"classification {name}",
            classification=proposal.classification,
            selection=text(proposal.effect, "selection", default=""),
            reason=proposal.reason,
            persons=[
                Person(said.person, str(said.verdict), said.method, said.at_ms)
                for said in case.decisions
            ],
            executed_by=ask.principal.id,
            begun_ms=case.execution.claimed_ms if case.execution is not None else ask.at_ms,
            ended_ms=self._clock_ms(),
            keys=[self.key(one) for one in gone[:KEYS_LISTED_MAX]],
            keys_count=len(gone),
            keys_sha256=sha256("".join(sorted(one.ik_id for one in gone)).encode()).hexdigest(),
            parts=draft.parts_gone(),
            remaining=left.versions,
            attempts=attempts,
            horizon_ms=horizon_ms,
            deleted=draft.deleted(ALONE, kept),
            keks=ended,
            keks_kept=kept,
            written_since=left.newer,
        )
        document = statement.document()
        await self._book.write(word, document, self._clock_ms(), final=True)
        return await self._stated(ask, document)

    async def _begin(self, word: str, tenant: str, name: str, draft: ClassDraft) -> None:
        """Have everything written under a new key version from now on, and count what is older.

        Raises:
            Conflict: object lock keeps a version (code HY-2321).
        """
        if not draft.new:
            versions = await self._keks.versions(tenant, name)
            check_unlocked((await self._look(tenant, name, [k.kek_id for k in versions])).holdings)
            made, _ = await self._rotation.next_version(tenant, name, anew=True)
            versions = await self._keks.versions(tenant, name)
            older = [kek for kek in versions if kek.version < made.version]
            draft.new = made.kek_id
            draft.old = [kek.kek_id for kek in older]
            draft.ending = [kek.kek_id for kek in older if kek.state is not KeyState.DESTROYED]
            await self._book.write(word, draft.document(), self._clock_ms(), final=False)
        await self._shredder.retire(await self._shredder.living_under(tenant, draft.old))
        await self._wait(HEEDED_SECONDS)
        found = await self._look(tenant, name, draft.old)
        check_unlocked(found.holdings)
        draft.count(found, await self._buckets(tenant))
        await self._book.write(word, draft.document(), self._clock_ms(), final=False)

    async def _keys(
        self, tenant: str, draft: ClassDraft, tokens: Collection[bytes]
    ) -> Sequence[ScopeKey]:
        """Return the living keys of what goes; a rotation meanwhile may have moved one."""
        found = [
            *await self._shredder.living_under(tenant, draft.old),
            *await self._shredder.living_among(tenant, tokens),
        ]
        return list({key.ik_id: key for key in found}.values())

    async def _end_keks(
        self, draft: ClassDraft, buckets: Sequence[Bucket]
    ) -> tuple[Sequence[EndedKek], Mapping[str, int]]:
        """Destroy each old version that keeps nothing else; return them, and what others keep."""
        new = await self._named(draft.new)
        if new.state is KeyState.ACTIVE:  # what is left under the old ones: the keys of names
            await self._rotation.move(new, buckets)
        ended, kept = [], {}
        for name in draft.ending:
            kek = await self._named(name)
            left = await self._uses.records_left(kek)
            if left:
                kept[name] = left
                continue
            await self._ender.close(kek)
            tokens = await self._ender.destroy(kek)
            check_value = kek.spec.check_value.hex()
            ended.append(EndedKek(name, check_value, list(tokens), self._clock_ms()))
        return ended, kept

    async def _named(self, name: str) -> Kek:
        kek = await self._keks.find(name)
        if kek is None:
            raise NotFound(f"There is no key {name}.", code="HY-2310", next_step="hyok keys list")
        return kek

    async def _tried(
        self, ask: Ask, draft: ClassDraft, ended: Sequence[EndedKek]
    ) -> Sequence[Attempt]:
        """Try to open a sample of each bucket; one that the HSM kept also in the HSM itself."""
        gone = {one.kek_id for one in ended}
        made: list[Attempt] = []
        for place, raw in sorted(draft.samples.items()):
            bucket = place.split()[0]
            envelope = parse(bytes.fromhex(raw))
            alone = envelope.mode is not Mode.KEYRING
            if alone and envelope.kek_id not in gone:
                continue  # its key lives on, as the statement says
            made += await self._attempts(ask, [(bucket, raw)])
            if alone:
                kek = await self._named(envelope.kek_id)
                answer = await self._ender.refusal(kek, envelope.scope, envelope.token)
                made.append(Attempt(bucket, self._clock_ms(), answer))
        return made

    async def _erase(self, old: Collection[str], buckets: Sequence[Bucket]) -> None:
        for bucket in buckets:
            try:
                await erase_where(
                    self._stores[bucket.store],
                    bucket,
                    lambda found: found.envelope.kek_id in old,
                    self._clock_ms(),
                    self._tell,
                )
            except Refused as error:
                raise Unavailable(
                    f"Bucket {bucket.bucket_id} does not let go of an object: {error.cause}",
                    code="HY-2321",
                    effect="Its key is destroyed, so it opens no more; the statement was not made.",
                    next_step="end the hold or wait for the retention; then execute it again",
                ) from error

    async def _look(self, tenant: str, name: str, old: Collection[str]) -> ClassFound:
        """Return what stands there under these key versions, and how much under later ones.

        Raises:
            Unavailable: a store or the database does not answer.
        """
        found, now = ClassFound(), self._clock_ms()
        mine = {kek.kek_id for kek in await self._keks.versions(tenant, name)}
        for bucket in await self._buckets(tenant):
            store = self._stores[bucket.store]
            async with aclosing(envelopes(store, bucket, self._tell)) as everything:
                async for one in everything:
                    if one.envelope.kek_id in old:
                        found.add(bucket.bucket_id, one, now)
                    else:
                        found.newer += one.envelope.kek_id in mine
        return found


def _nothing(cause: str) -> NotFound:
    return NotFound(
        cause,
        code="HY-2320",
        effect="Nothing was proposed.",
        next_step="look at tenant and classification; it may have been destroyed before",
    )
