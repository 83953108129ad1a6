"""The act that destroys a bucket's content, or one object, with the keys that keep nothing else.

An intermediate key is destroyed when it keeps only what is to go.  One that keeps other objects as
well, and an object whose key only the KEK keeps, cannot be shredded: these are deleted, and the
statement says so.

Source: docs/format.md, section 9; docs/shredding.md.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hyok.custody.quorum import Quorum, Role
from hyok.envelope.block import Mode, parse
from hyok.errors import Malformed, NotFound, Refused, Unavailable
from hyok.objects.envelopes import envelopes
from hyok.objects.erasing import Holding, erase_where
from hyok.officer.effects import text
from hyok.officer.port import Done, Plan
from hyok.officer.shred_base import APPROVALS_MIN, HEEDED_SECONDS, Shredding, check_unlocked
from hyok.officer.statement import ALONE, SHARED, Deleted, Part, Person, Statement
from hyok.vocabulary import ClassificationName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.custody.cases import Case
    from hyok.custody.keks import KekCatalog
    from hyok.custody.proposal import Effect
    from hyok.custody.shredding import ScopeKey
    from hyok.objects.envelopes import Sealed
    from hyok.objects.places import Places
    from hyok.objects.uploads import UploadLedger
    from hyok.vocabulary import Ask, Bucket


@dataclass(frozen=True, slots=True)
class Target:
    """What is to go: all of a bucket, or one object of it, in every version."""

    bucket: Bucket
    key: str = ""
    name: str = ""  # the store's name of the object; empty: all of the bucket

    def holds(self, bucket_id: str, found: Sealed) -> bool:
        """Is this version to go?"""
        return bucket_id == self.bucket.bucket_id and self.name in ("", found.name)


@dataclass(slots=True)
class Found:
    """What stands there of a target.

    ``by_token``: its versions and bytes by the token of their envelopes; ``other_tokens``: those of
    them that keep something else too.
    """

    holding: Holding = field(default_factory=Holding)
    classes: set[str] = field(default_factory=set)
    by_token: dict[bytes, Holding] = field(default_factory=dict)
    alone: set[bytes] = field(default_factory=set)
    other_tokens: set[bytes] = field(default_factory=set)
    object_ids: set[str] = field(default_factory=set)


class ShredSet(Shredding):
    """`scope:shred`: of a bucket or an object.

    Args:
        keks: tell the classification of an envelope's key.
        places: tell where an object stands.
        uploads: what is open may need a key as well.
        common: as `Shredding` says.
    """

    def __init__(
        self, *, keks: KekCatalog, places: Places, uploads: UploadLedger, **common: Any
    ) -> None:
        super().__init__(**common)
        self._keks = keks
        self._places = places
        self._uploads = uploads

    async def plan(self, effect: Effect) -> Plan:
        """Return what stands there now, and whose approval its destruction takes.

        Raises:
            NotFound: nothing of it is kept (code HY-2320), or there is no such bucket.
            Conflict: object lock keeps a version (code HY-2321).
            Malformed: the ground for destruction is missing where the archive is asked.
        """
        target = await self._target(effect)
        found = await self._look(target)
        keys = await self._keys(target, found)
        if not found.holding.versions and not keys:
            if "keys" in effect:  # an execution that is carried on
                return self._plan(target, text(effect, "classification"), effect)
            raise NotFound(
                "Nothing of this is kept.", code="HY-2320", effect="Nothing was proposed."
            )
        check_unlocked({target.bucket.bucket_id: found.holding})
        classes = found.classes | {key.classification for key in keys}
        classification = max(classes, key=self._classifications.level)
        selection = text(effect, "selection", default="")
        if self._is_gated(classes) and not selection:
            raise Malformed(
                f"objects of classification {classification} are destroyed on a ground that the "
                "archivist checks",
                effect="Nothing was proposed.",
                next_step="--selection CATEGORY, of the selection list",
            )
        exact: Effect = {
            "tenant": target.bucket.tenant,
            "bucket": target.bucket.bucket_id,
            "classification": classification,
            "selection": selection,
            "keys": len(self._ending(keys, found)),
            "holdings": [
                f"{found.holding.versions} versions, {found.holding.size_bytes} bytes",
                *(
                    f"only deleted ({one.why}): {one.versions} versions, {one.size_bytes} bytes"
                    for one in _deleted(target, found)
                ),
            ],
        }
        if target.key:
            exact["key"] = target.key
        return self._plan(target, classification, exact, classes)

    def _plan(
        self, target: Target, classification: str, exact: Effect, classes: set[str] | None = None
    ) -> Plan:
        named = classes or {classification}
        known = [self._classifications.get(ClassificationName(name)) for name in sorted(named)]
        approvals = max(APPROVALS_MIN, *(rule.approvals.destroy_key for rule in known))
        among = (Role.ARCHIVIST,) if self._is_gated(named) else ()
        return Plan(target.bucket.tenant, classification, Quorum(approvals, among), exact)

    def _is_gated(self, classes: set[str]) -> bool:
        rules = [self._classifications.get(ClassificationName(name)) for name in classes]
        return any(rule.retention.gate == "archive" for rule in rules)

    async def _target(self, effect: Effect) -> Target:
        bucket = await self._registry.get(text(effect, "bucket"))
        if bucket.tenant != text(effect, "tenant"):
            raise NotFound("The specified bucket does not exist", reason="NoSuchBucket")
        key = text(effect, "key", default="")
        name = (await self._places.of(bucket, key)).name if key else ""
        return Target(bucket, key, name)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Destroy it and state it; carried on from wherever it was broken off.

        Raises:
            Unavailable: store, HSM or database do not answer, something was written meanwhile
                (HY-2323), or a lock laid (HY-2321): execute it again.
            Conflict: object lock keeps a version (code HY-2321); nothing was destroyed.
            Tampered: something whose key was destroyed still opens (code HY-2323).
        """
        proposal = case.proposal
        word, tenant = proposal.proposal_id, proposal.tenant
        ask = replace(ask, classification=ClassificationName(proposal.classification))
        await self._custodian.decide(ask)
        made = await self._book.find(word)
        if made is not None and made.final:
            return await self._stated(ask, made.document)
        target = await self._target(proposal.effect)
        draft = _Draft.of(made.document if made is not None else None)
        # No process writes under these keys from now on: then what they keep can be counted.
        await self._shredder.retire(await self._keys(target, await self._look(target)))
        await self._wait(HEEDED_SECONDS)
        found = await self._look(target)
        check_unlocked({target.bucket.bucket_id: found.holding})
        keys = self._ending(await self._keys(target, found), found)
        draft.add(target, found, keys)
        await self._book.write(word, draft.document(), self._clock_ms(), final=False)
        horizon_ms = self._clock_ms() + self._horizon_ms
        buckets = await self._buckets(tenant)
        ids = [bytes.fromhex(ik_id) for ik_id in draft.keys]
        gone = await self._shredder.destroy_keys(tenant, ids, word, horizon_ms, buckets)
        await self._wait(HEEDED_SECONDS)
        await self._erase(target)
        left = (await self._look(target)).holding.versions
        sample = [(target.bucket.bucket_id, draft.sample)] if draft.sample else []
        attempts = await self._attempts(ask, sample)
        if left:
            raise Unavailable(
                f"{left} versions were written meanwhile.",
                code="HY-2323",
                effect="The statement was not made; what was destroyed stays destroyed.",
                next_step=f"see who writes; then hyok approvals execute {word} destroys that too",
            )
        statement = Statement(
            installation=self._installation,
            proposal=word,
            proposal_sha256=proposal.digest,
            tenant=tenant,
            scope=draft.scope,
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
            keys=[self.key(one) for one in gone],
            parts=draft.parts(target),
            remaining=left,
            attempts=attempts,
            horizon_ms=horizon_ms,
            deleted=draft.deleted,
        )
        document = statement.document()
        await self._book.write(word, document, self._clock_ms(), final=True)
        return await self._stated(ask, document)

    async def _erase(self, target: Target) -> None:
        store = self._stores[target.bucket.store]
        bucket_id = target.bucket.bucket_id
        try:
            await erase_where(
                store,
                target.bucket,
                lambda found: target.holds(bucket_id, found),
                self._clock_ms(),
                self._tell,
            )
        except Refused as error:
            raise Unavailable(
                f"Bucket {bucket_id} does not let go of an object: {error.cause}",
                code="HY-2321",
                effect="The statement was not made; what was destroyed stays destroyed.",
                next_step="end the hold or wait for the retention; then execute it again",
            ) from error

    async def _look(self, target: Target) -> Found:
        """Return what stands there of a target, and which of its keys keep something else.

        Raises:
            Unavailable: a store or the database does not answer.
        """
        found = Found()
        now = self._clock_ms()
        keks = {kek.kek_id: kek.classification for kek in await self._keks.all()}
        others: set[bytes] = set()
        for bucket in await self._buckets(target.bucket.tenant):
            store = self._stores[bucket.store]
            async with aclosing(envelopes(store, bucket, self._tell)) as everything:
                async for one in everything:
                    token = one.envelope.token
                    if not target.holds(bucket.bucket_id, one):
                        others.add(token)
                        continue
                    found.holding = found.holding.plus(one, now)
                    held = found.by_token.get(token, Holding())
                    found.by_token[token] = held.plus(one, now)
                    found.object_ids.add(one.envelope.object_id.hex())
                    if one.envelope.mode is not Mode.KEYRING:
                        found.alone.add(token)
                    found.classes.add(keks.get(one.envelope.kek_id, target.bucket.classification))
            for upload in await self._uploads.open_uploads(bucket.bucket_id, ""):
                mine = bucket.bucket_id == target.bucket.bucket_id
                if not mine or target.key not in ("", upload.key):
                    others.add(parse(upload.envelope).token)
        found.other_tokens = others & set(found.by_token)
        return found

    async def _keys(self, target: Target, found: Found) -> Sequence[ScopeKey]:
        """Return the living keys of what stands there; of a bucket, all that are its own."""
        tenant = target.bucket.tenant
        keys = {
            key.ik_id: key
            for key in await self._shredder.living_among(tenant, set(found.by_token) - found.alone)
        }
        if not target.name:
            scope = f"bucket:{target.bucket.bucket_id}"
            keys |= {key.ik_id: key for key in await self._shredder.living(tenant, scope)}
        return list(keys.values())

    @staticmethod
    def _ending(keys: Sequence[ScopeKey], found: Found) -> Sequence[ScopeKey]:
        """Return the keys that keep nothing but what is to go."""
        return [key for key in keys if bytes.fromhex(key.ik_id) not in found.other_tokens]


def _deleted(target: Target, found: Found) -> list[Deleted]:
    """Return what is only deleted, by reason."""
    sums: dict[str, Holding] = {}
    for token, held in found.by_token.items():
        why = ALONE if token in found.alone else SHARED if token in found.other_tokens else ""
        if why:
            before = sums.get(why, Holding())
            sums[why] = replace(
                before,
                versions=before.versions + held.versions,
                size_bytes=before.size_bytes + held.size_bytes,
            )
    return [
        Deleted(target.bucket.bucket_id, why, held.versions, held.size_bytes)
        for why, held in sorted(sums.items())
    ]


@dataclass(slots=True)
class _Draft:
    """What is written down before anything goes, so that a killed act states all of it."""

    scope: str = ""
    versions: int = 0
    size_bytes: int = 0
    keys: list[str] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)  # tokens whose versions are in the sums
    deleted: list[Deleted] = field(default_factory=list)
    sample: str = ""  # an envelope whose key is destroyed

    @classmethod
    def of(cls, document: Mapping[str, Any] | None) -> _Draft:
        """Return the draft of a row, or a new one."""
        if document is None:
            return cls()
        fields = dict(document)
        fields["counted"] = set(fields["counted"])
        fields["deleted"] = [Deleted(**one) for one in fields["deleted"]]
        return cls(**fields)

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self) | {"counted": sorted(self.counted)}

    def add(self, target: Target, found: Found, keys: Sequence[ScopeKey]) -> None:
        """Count what was not counted yet."""
        fresh = {token for token in found.by_token if _word(token) not in self.counted}
        rest = replace_tokens(found, fresh)
        self.versions += sum(held.versions for held in rest.by_token.values())
        self.size_bytes += sum(held.size_bytes for held in rest.by_token.values())
        sums = {one.why: one for one in self.deleted}
        for one in _deleted(target, rest):
            before = sums.get(one.why, Deleted(one.bucket, one.why, 0, 0))
            sums[one.why] = replace(
                before,
                versions=before.versions + one.versions,
                size_bytes=before.size_bytes + one.size_bytes,
            )
        self.deleted = [sums[why] for why in sorted(sums)]
        self.counted |= {_word(token) for token in fresh}
        self.keys = sorted({*self.keys, *(key.ik_id for key in keys)})
        ending = {bytes.fromhex(key.ik_id) for key in keys}
        samples = [held.sample.hex() for token, held in rest.by_token.items() if token in ending]
        self.sample = self.sample or next(iter(samples), "")
        if not self.scope:
            ids = ", ".join(sorted(found.object_ids)[:IDS_SHOWN])
            self.scope = f"object {ids}" if target.name else f"bucket {target.bucket.bucket_id}"

    def parts(self, target: Target) -> Sequence[Part]:
        """Return what went, in the statement's words."""
        bucket = target.bucket
        return [Part(bucket.bucket_id, bucket.store, self.versions, self.size_bytes)]


IDS_SHOWN = 20


def replace_tokens(found: Found, tokens: set[bytes]) -> Found:
    """Return what stands there under these tokens alone."""
    return replace(
        found, by_token={token: held for token, held in found.by_token.items() if token in tokens}
    )


def _word(token: bytes) -> str:
    """Return what tells a token from others; it may be as long as an RSA ciphertext."""
    return token[:16].hex()
