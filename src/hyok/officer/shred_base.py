"""What the acts that destroy have in common: trying a decryption, and stating what was done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.errors import Conflict, HyokError, NotFound, Tampered
from hyok.officer.port import Done
from hyok.officer.statement import ACTION, REASON, Attempt, Key, digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.audit.port import Journal
    from hyok.backends.port import ObjectStore
    from hyok.custody.custodian import KeyCustodian
    from hyok.custody.shredding import KeyShredder, ScopeKey
    from hyok.objects.erasing import Holding
    from hyok.objects.registry import BucketRegistry
    from hyok.officer.statement_rows import StatementBook
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask, Bucket

HEEDED_SECONDS = 3.0
"""After so long no process has a destroyed key in memory: each looks every two seconds."""

DAY_MS = 86_400_000
APPROVALS_MIN = 2
"""For what is named by a bucket or a classification, whatever that asks for."""


class Shredding:
    """The common part.

    Args:
        shredder: ends the keys.
        custodian: decides, records, and tries a decryption afterwards.
        registry: knows the tenant's buckets.
        stores: where they stand.
        classifications: say who approves.
        book: keeps the statement.
        journal: has its digest.
        installation: our name.
        backups_kept_days: how long the operator keeps a backup of the database.
        progress: called with objects looked at, and 0.
        clock_ms: unix time.
        wait: sleeps; tests do not.
    """

    def __init__(
        self,
        *,
        shredder: KeyShredder,
        custodian: KeyCustodian,
        registry: BucketRegistry,
        stores: Mapping[str, ObjectStore],
        classifications: Classifications,
        book: StatementBook,
        journal: Journal,
        installation: str,
        backups_kept_days: int,
        progress: Callable[[int, int], None],
        clock_ms: Callable[[], int],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shredder = shredder
        self._custodian = custodian
        self._registry = registry
        self._stores = stores
        self._classifications = classifications
        self._book = book
        self._journal = journal
        self._installation = installation
        self._horizon_ms = backups_kept_days * DAY_MS
        self._progress = progress
        self._clock_ms = clock_ms
        self._wait = wait

    async def _stated(self, ask: Ask, document: Mapping[str, object]) -> Done:
        """Have the statement's digest on the log, and say what came of it."""
        await self._record(ask, digest(document))
        await self._custodian.conclude(ask, "done")
        keys, parts = document["keys"], document["parts"]
        assert isinstance(keys, list)
        assert isinstance(parts, list)
        versions = sum(part["versions"] for part in parts)
        count = document["keys_count"] or len(keys)
        figures: dict[str, object] = {"keys": count, "versions": versions}
        what = f"{count} keys and {versions} versions of objects"
        keks = document["keks"]
        assert isinstance(keks, list)
        if keks:
            what = f"{len(keks)} key versions in the HSM, {what}"
            figures["keks"] = [one["kek_id"] for one in keks]
        return Done(
            f"{what} are destroyed; hyok shred statement {ask.request_id}",
            figures | {"sha256": digest(document)},
        )

    async def _attempts(self, ask: Ask, samples: Sequence[tuple[str, str]]) -> Sequence[Attempt]:
        """Try to open one object of each bucket, from its envelope (hex) as it was before.

        Raises:
            Tampered: one opened (code HY-2323).
        """
        made = []
        for name, raw in samples:
            bucket = await self._registry.get(name)
            asking = replace(ask, action="object:get", bucket=bucket, classification=None)
            try:
                key = await self._custodian.recover(asking, bytes.fromhex(raw))
            except NotFound as error:
                made.append(Attempt(name, self._clock_ms(), error.code))
            except HyokError as error:
                if error.retryable:
                    raise
                made.append(Attempt(name, self._clock_ms(), error.code or error.reason))
            else:
                key.data_key.close()
                raise Tampered(
                    f"An object of bucket {name} still opens.",
                    code="HY-2323",
                    effect="The statement was not made.",
                    next_step="look whether another gateway runs on another database",
                )
        return made

    async def _buckets(self, tenant: str) -> Sequence[Bucket]:
        return [bucket for bucket in await self._registry.all() if bucket.tenant == tenant]

    def _tell(self, objects: int) -> None:
        self._progress(objects, 0)

    async def _record(self, ask: Ask, sha256: str) -> None:
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase="conclude",
                action=ACTION,
                outcome="done",
                actor=ask.principal.id,
                tenant=ask.principal.tenant,
                origin=ask.origin,
                request_id=ask.request_id,
                classification=str(ask.classification),
                reasons=(REASON + sha256,),
            ),
            durable=True,
        )

    def key(self, one: ScopeKey) -> Key:
        """Return a destroyed key as the statement has it."""
        known = one.classification in self._classifications.names()
        mirrored = known and not self._classifications.get(one.classification).keys.shreddable
        return Key(one.ik_id, one.kek_id, one.classification, one.created_ms, mirrored)


def check_unlocked(holdings: Mapping[str, Holding]) -> None:
    """Return quietly if object lock keeps nothing of it.

    Raises:
        Conflict: it keeps a version (code HY-2321).
    """
    locked = {name: found.locked for name, found in holdings.items() if found.locked}
    if locked:
        names = ", ".join(f"{count} in bucket {name}" for name, count in locked.items())
        raise Conflict(
            f"Versions under a retention or legal hold: {names}.",
            code="HY-2321",
            effect="Nothing was destroyed.",
            next_step="wait for the retention, or end the hold; then do this again",
        )
