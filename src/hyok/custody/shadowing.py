"""ShadowWatch: asks the policy in shadow what it would have said, beside the answers given.

A chore of every gateway worker.  It reads what requests noted, counts in the database, and records
each difference once a day; requests wait for none of it.

Source: docs/policies.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from hyok.audit.record import AuditRecord
from hyok.custody.shadow_book import DAY_MS, EPOCH, read_row
from hyok.database.epoch_rows import EpochRows
from hyok.errors import HyokError
from hyok.policy.shadow import Difference, Verdict, candidate_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.shadow_book import Shadow, ShadowBook, ShadowRow
    from hyok.custody.told import ToldOnce
    from hyok.database.engine import Database
    from hyok.policy.shadow import Candidate, Noted, ShadowNotes
    from hyok.vocabulary import Ask

log = structlog.get_logger("hyok.custody.shadowing")

LONG_MS = 3 * DAY_MS
"""A shadow that is older is a decision that nobody takes."""

DIFFERENCES_MAX = 2_000
"""Differences of a day that one process tells apart; clients choose the names of new buckets."""

RECORDED = frozenset({Verdict.WOULD_DENY, Verdict.WOULD_ALLOW})


class ShadowWatch:
    """One in each process; only a gateway's chores run it.

    Args:
        book: what is in shadow, and the counts.
        notes: what requests asked and were answered.
        version: returns the version of the policy in force here.
        journal: has each difference once a day.
        told: has what is an alarm, once.
        opaque: gives the id by which the log names an object.
    """

    def __init__(
        self,
        *,
        database: Database,
        book: ShadowBook,
        notes: ShadowNotes,
        version: Callable[[], int],
        journal: Journal,
        told: ToldOnce,
        opaque: Callable[[Ask], Awaitable[str]],
        clock_ms: Callable[[], int],
    ) -> None:
        self._book = book
        self._notes = notes
        self._version = version
        self._journal = journal
        self._told = told
        self._opaque = opaque
        self._clock_ms = clock_ms
        self._rows: EpochRows[ShadowRow] = EpochRows(database, clock_ms, EPOCH, read_row)
        self._row: ShadowRow | None = None
        self._candidate: Candidate | None = None
        self._unsaved: Counter[Difference] = Counter()
        self._examples: dict[Difference, Noted] = {}
        self._untold: dict[Difference, Noted] = {}
        self._known: set[Difference] = set()
        self._known_day = self._warned_day = 0
        self._totals: Counter[str] = Counter()
        self.shadow: Shadow | None = None

    async def turn(self) -> None:
        """Ask about what was noted, then look what is in shadow now.

        Raises:
            HyokError: database, HSM or log do not answer; the next turn goes on.
        """
        try:
            await self._settle()
        finally:
            await self._look()

    def take_totals(self) -> Mapping[str, int]:
        """Return how many decisions came out how since the last call, by verdict."""
        taken, self._totals = self._totals, Counter()
        return taken

    @property
    def age_ms(self) -> int:
        """How long a policy has been in shadow here; 0: none is."""
        return self._clock_ms() - self.shadow.since_ms if self.shadow is not None else 0

    async def _settle(self) -> None:
        noted, beyond = self._notes.take()
        candidate, shadow = self._candidate, self.shadow
        if candidate is None or shadow is None:
            return
        for (question, allowed), each in noted.items():
            self._count(candidate.judge(question, allowed=allowed), each)
            await asyncio.sleep(0)  # a decision holds the interpreter; requests come in between
        if beyond:
            self._add(Difference(Verdict.NOT_ASKED), beyond)
        if self._unsaved:
            for difference in await self._book.add(shadow.sha256, self._unsaved):
                if difference in self._examples:
                    self._untold[difference] = self._examples[difference]
            self._unsaved.clear()
            self._examples.clear()
        for difference in list(self._untold):
            await self._tell(shadow, difference, self._untold[difference])
            del self._untold[difference]  # not before: a log that is away is tried again

    def _count(self, difference: Difference, noted: Noted) -> None:
        if difference.verdict != Verdict.SAME:
            difference = self._bounded(difference)
            self._examples.setdefault(difference, noted)
        self._add(difference, noted.count)

    def _add(self, difference: Difference, count: int) -> None:
        self._unsaved[difference] += count
        self._totals[difference.verdict] += count

    def _bounded(self, difference: Difference) -> Difference:
        """Return it, or what stands for it: a flood of names must make no flood of rows."""
        day = self._clock_ms() // DAY_MS
        if day != self._known_day:
            self._known, self._known_day = set(), day
        if difference not in self._known and len(self._known) >= DIFFERENCES_MAX:
            return difference.without_names()
        self._known.add(difference)
        return difference

    async def _tell(self, shadow: Shadow, difference: Difference, noted: Noted) -> None:
        if difference.verdict not in RECORDED:
            log.warning("policy.shadow_error", sha256=shadow.sha256, cause=difference.reason)
            return
        ask = noted.ask
        record = AuditRecord(
            at_ms=self._clock_ms(),
            phase="conclude",
            action=f"policy:{difference.verdict}",
            outcome="done",
            actor=difference.app,
            tenant=ask.bucket.tenant if ask.bucket is not None else ask.principal.tenant,
            origin=ask.origin,
            request_id=ask.request_id,
            trace_id=ask.trace_id,
            object_id=noted.object_id.hex() or await self._opaque(ask),
            bucket_id=difference.bucket_id,
            classification=difference.classification,
            reasons=(
                f"action:{difference.action}",
                *difference.reason.split(","),
                f"bundle-sha256:{shadow.sha256}",
            ),
        )
        await self._journal.record(record, durable=True)

    async def _look(self) -> None:
        row = (await self._rows.now()).get(EPOCH)
        if row != self._row:
            self._take(None, None)
            if row is not None:
                await self._prove(row)
            self._row = row
        shadow = self.shadow
        self._notes.on = shadow is not None and shadow.version > self._version()
        day = self._clock_ms() // DAY_MS
        if self._notes.on and self.age_ms > LONG_MS and day != self._warned_day:
            self._warned_day = day
            days = self.age_ms // DAY_MS
            log.warning("policy.shadow_long", days=days, next_step="hyok policy enforce, or --stop")

    async def _prove(self, row: ShadowRow) -> None:
        try:
            shadow, bundle = await self._book.prove(row)
            candidate = candidate_of(bundle.files, self._clock_ms)
        except HyokError as error:
            if error.retryable:
                raise
            log.warning("policy.shadow_refused", cause=error.explain())
            await self._alarm(row, error)
            return
        self._take(shadow, candidate)
        log.info("policy.shadow", version=shadow.version, sha256=shadow.sha256, by=shadow.by)

    async def _alarm(self, row: ShadowRow, error: HyokError) -> None:
        """Have it in the audit log, once in the installation."""
        digest = sha256(row.document + row.sealed).hexdigest()
        record = AuditRecord(
            at_ms=self._clock_ms(),
            phase="conclude",
            action="policy:alarm",
            outcome="failed",
            actor="system",
            tenant="system",
            origin="database",
            request_id=digest[:16].upper(),
            reasons=("shadow",),
            error=f"{type(error).__name__}:{error.code or error.reason}",
        )
        await self._told.record(f"policy-shadow:{digest}", record)

    def _take(self, shadow: Shadow | None, candidate: Candidate | None) -> None:
        self._notes.on = False
        self._notes.take()
        self._unsaved.clear()
        self._examples.clear()
        self._untold.clear()
        self._known.clear()
        self.shadow, self._candidate = shadow, candidate
