"""The act that destroys a case or person: keys, then objects, then a look whether both are gone."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import TYPE_CHECKING

from hyok.custody.quorum import Quorum, Role
from hyok.errors import (
    Conflict,
    Malformed,
    NotFound,
    Refused,
    Unavailable,
)
from hyok.objects.erasing import Holding, erase, hold
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.officer.shred_base import HEEDED_SECONDS, Shredding, check_unlocked
from hyok.officer.statement import Part, Person, Statement
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.officer.statement_rows import Kept
    from hyok.vocabulary import Ask, Bucket


class ShredCase(Shredding):
    """`scope:shred`: of one case or person of a tenant, in all its buckets."""

    async def plan(self, effect: Effect) -> Plan:
        """Return what stands there of the case now, and whose approval its destruction takes.

        Raises:
            NotFound: nothing of it is kept (code HY-2320).
            Conflict: object lock keeps an object (code HY-2321).
            Malformed: the ground for destruction is missing where the archive is asked.
        """
        tenant = text(effect, "tenant")
        case = text(effect, "case")
        scope = await self._custodian.subject_scope(tenant, case)
        living = await self._shredder.living(tenant, scope)
        if not living and effect.get("scope") == scope:  # an execution that is carried on
            classification = text(effect, "classification")
            return self._plan(tenant, classification, effect)
        if not living:
            raise NotFound(
                "No key of this case or person is kept.",
                code="HY-2320",
                effect="Nothing was proposed.",
                next_step="look at tenant and number; it may have been destroyed before",
            )
        classification = max(
            {key.classification for key in living}, key=self._classifications.level
        )
        rule = self._classifications.get(classification)
        selection = text(effect, "selection", default="")
        if rule.retention.gate == "archive" and not selection:
            raise Malformed(
                f"objects of classification {classification} are destroyed on a ground that the "
                "archivist checks",
                effect="Nothing was proposed.",
                next_step="--selection CATEGORY, of the selection list",
            )
        holdings = await self._holdings(tenant, scope)
        check_unlocked(holdings)
        exact: Effect = {
            "tenant": tenant,
            "case": case,
            "scope": scope,
            "classification": classification,
            "selection": selection,
            "keys": len(living),
            "holdings": [
                f"{name}: {found.versions} versions, {found.size_bytes} bytes"
                for name, found in holdings.items()
                if found.versions
            ],
        }
        return self._plan(tenant, classification, exact)

    def _plan(self, tenant: str, classification: str, exact: Effect) -> Plan:
        rule = self._classifications.get(classification)
        among = (Role.ARCHIVIST,) if rule.retention.gate == "archive" else ()
        return Plan(tenant, classification, Quorum(rule.approvals.destroy_key, among), exact)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Destroy it and state it; carried on from wherever it was broken off.

        Raises:
            Unavailable: store, HSM or database do not answer; execute it again.
                Also when something of it was written meanwhile (HY-2323), or a lock laid (HY-2321).
            Conflict: object lock keeps an object (code HY-2321); nothing was destroyed.
            Tampered: something of it still opens (code HY-2323).
        """
        proposal = case.proposal
        effect, word = proposal.effect, proposal.proposal_id
        tenant, scope = proposal.tenant, text(effect, "scope")
        ask = replace(ask, classification=ClassificationName(proposal.classification))
        await self._custodian.decide(ask)
        made = await self._book.find(word)
        if made is not None and made.final:  # killed between the statement and the end
            return await self._stated(ask, made.document)
        draft = await self._draft(word, tenant, scope)
        buckets = await self._buckets(tenant)
        horizon_ms = self._clock_ms() + self._horizon_ms
        gone = await self._shredder.destroy(tenant, scope, word, horizon_ms, buckets)
        if not gone:
            raise Conflict("The keys of this case were destroyed before.", code="HY-2320")
        await self._wait(HEEDED_SECONDS)
        await self._erase(buckets, scope)
        left = sum(found.versions for found in (await self._holdings(tenant, scope)).values())
        attempts = await self._attempts(ask, [(part.bucket, raw) for part, raw in draft])
        if left or await self._shredder.living(tenant, scope):
            # Not for good: what was destroyed needs its statement; carried on, there is one of all.
            raise Unavailable(
                f"{left} versions of the case, or a key of it, were written meanwhile.",
                code="HY-2323",
                effect="The statement was not made; what was destroyed stays destroyed.",
                next_step=f"see who writes; then hyok approvals execute {word} destroys that too",
            )
        statement = Statement(
            installation=self._installation,
            proposal=word,
            proposal_sha256=proposal.digest,
            tenant=tenant,
            scope=scope,
            classification=proposal.classification,
            selection=text(effect, "selection", default=""),
            reason=proposal.reason,
            persons=[
                Person(said.person, str(said.verdict), said.method, said.at_ms)
                for said in case.decisions
            ],
            executed_by=ask.principal.id,
            begun_ms=case.execution.claimed_ms if case.execution is not None else ask.at_ms,
            ended_ms=self._clock_ms(),
            keys=[self.key(one) for one in gone],
            parts=[part for part, _ in draft],
            remaining=left,
            attempts=attempts,
            horizon_ms=horizon_ms,
        )
        document = statement.document()
        await self._book.write(word, document, self._clock_ms(), final=True)
        return await self._stated(ask, document)

    async def _erase(self, buckets: Sequence[Bucket], scope: str) -> None:
        """Remove every version of the case.

        Raises:
            Unavailable: a lock was laid on one since it was looked at (code HY-2321), or the store
                does not answer: carried on later.
        """
        for bucket in buckets:
            store = self._stores[bucket.store]
            try:
                await erase(store, bucket, scope, self._clock_ms(), self._tell)
            except Refused as error:
                raise Unavailable(
                    f"Bucket {bucket.bucket_id} does not let go of an object: {error.cause}",
                    code="HY-2321",
                    effect="Its key is destroyed, so it opens no more; the statement was not made.",
                    next_step="end the hold or wait for the retention; then execute it again",
                ) from error

    async def _draft(self, word: str, tenant: str, scope: str) -> list[tuple[Part, str]]:
        """Return what each bucket held when this began, and a sample; written down before it goes.

        What was written since, under keys that are not counted yet, is added.

        Raises:
            Conflict: object lock keeps an object (code HY-2321).
        """
        kept = await self._book.find(word)
        draft, counted = _parts_of(kept) if kept is not None else ({}, frozenset())
        keys = {one.ik_id for one in await self._shredder.living(tenant, scope)} - counted
        if kept is None or keys:
            ids = None if kept is None else [bytes.fromhex(ik_id) for ik_id in keys]
            holdings = await self._holdings(tenant, scope, ids)
            check_unlocked(holdings)
            stores = {bucket.bucket_id: bucket.store for bucket in await self._buckets(tenant)}
            for name, found in holdings.items():
                if found.versions:
                    part, sample = draft.get(name, (Part(name, stores[name], 0, 0), ""))
                    versions = part.versions + found.versions
                    part = replace(
                        part, versions=versions, size_bytes=part.size_bytes + found.size_bytes
                    )
                    draft[name] = part, sample or found.sample.hex()
            document = {
                "draft": [[*astuple(part), raw] for part, raw in draft.values()],
                "counted": sorted(counted | keys),
            }
            await self._book.write(word, document, self._clock_ms(), final=False)
        return list(draft.values())

    async def _holdings(
        self, tenant: str, scope: str, of_keys: Collection[bytes] | None = None
    ) -> dict[str, Holding]:
        found = {}
        for bucket in await self._buckets(tenant):
            store, now = self._stores[bucket.store], self._clock_ms()
            found[bucket.bucket_id] = await hold(
                store, bucket, scope, now, self._tell, of_keys=of_keys
            )
        return found


def _parts_of(kept: Kept) -> tuple[dict[str, tuple[Part, str]], frozenset[str]]:
    """Return parts and samples of a draft by bucket, and the keys whose objects they count."""
    rows, counted = kept.document["draft"], kept.document["counted"]
    assert isinstance(rows, list)
    assert isinstance(counted, list)
    return {row[0]: (Part(*row[:4]), row[4]) for row in rows}, frozenset(counted)
