"""Break-glass: an application reads named objects beyond its rights, for a short time, by quorum.

It ends by itself; everyone is told when it starts and when it ended, and a review is open from its
first minute until somebody other than its author has closed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.custody.break_glass import Grant
from hyok.custody.quorum import Quorum, Role
from hyok.errors import Malformed, NotFound, Refused
from hyok.officer.actions import LOCAL
from hyok.officer.effects import number, text, texts
from hyok.officer.hooks import Event
from hyok.officer.port import Done, Plan
from hyok.officer.texts import said

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.audit.port import Journal
    from hyok.custody.break_glass import GrantBook
    from hyok.custody.cases import Case
    from hyok.custody.officers import OfficerRegister
    from hyok.custody.proposal import Effect
    from hyok.custody.signing import Signer
    from hyok.identity.access_keys import AccessKeys
    from hyok.objects.registry import BucketRegistry
    from hyok.officer.hooks import Hooks
    from hyok.policy.classifications import Classifications
    from hyok.vocabulary import Ask

MINUTE_MS = 60_000
KEYS_MAX = 100
FINDING_CHARS_MAX = 4_000
REVIEWERS = frozenset({Role.SECURITY, Role.PRIVACY})


class GrantBreakGlass:
    """`break-glass:grant`."""

    def __init__(
        self,
        book: GrantBook,
        registry: BucketRegistry,
        access_keys: AccessKeys,
        classifications: Classifications,
    ) -> None:
        self._book = book
        self._registry = registry
        self._access_keys = access_keys
        self._classifications = classifications

    async def plan(self, effect: Effect) -> Plan:
        """Return whose approval it takes: as the highest class that it opens demands."""
        bucket = await self._registry.get(text(effect, "bucket"))
        app = await self._access_keys.find_app(text(effect, "app"))
        if app is None or app.tenant != bucket.tenant or app.state != "active":
            raise NotFound(
                f"There is no app {effect['app']} of {bucket.tenant}.",
                effect="Nothing was proposed.",
                next_step="hyok apps list",
            )
        classification = text(effect, "classification", default=bucket.classification)
        rule = self._classifications.get(classification)
        limits = rule.break_glass
        if limits is None or rule.denied:
            raise Refused(
                f"There is no break-glass for {classification}.",
                code="HY-2513",
                effect="Nothing was proposed.",
            )
        minutes = number(effect, "minutes")
        most = limits.at_most_ms // MINUTE_MS
        if not 1 <= minutes <= most:
            raise Refused(
                f"Break-glass for {classification} lasts 1 to {most} minutes, not {minutes}.",
                code="HY-2513",
                effect="Nothing was proposed.",
                next_step="ask for less, and again if it must be",
            )
        keys, prefix = texts(effect, "keys"), text(effect, "prefix", default="")
        if bool(keys) is bool(prefix) or len(keys) > KEYS_MAX:
            raise Malformed(
                f"name either a prefix or up to {KEYS_MAX} objects",
                effect="Nothing was proposed.",
                next_step="s3://bucket/prefix/ or several s3://bucket/key",
            )
        exact: Effect = {
            "app": app.app_id,
            "bucket": bucket.bucket_id,
            "keys": sorted(keys),
            "prefix": prefix,
            "classification": classification,
            "minutes": minutes,
            "ticket": text(effect, "ticket"),
        }
        quorum = Quorum(limits.approvals, tuple(map(Role, limits.among)))
        return Plan(bucket.tenant, classification, quorum, exact, bucket)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Let it begin: at the moment of the claim, so that nothing prolongs it."""
        effect = case.proposal.effect
        assert case.execution is not None
        minutes = number(effect, "minutes")
        starts_ms = case.execution.claimed_ms
        classification = text(effect, "classification")
        grant = Grant(
            grant_id=case.proposal.proposal_id,
            app=text(effect, "app"),
            tenant=case.proposal.tenant,
            bucket=text(effect, "bucket"),
            keys=tuple(texts(effect, "keys")),
            prefix=text(effect, "prefix", default=""),
            classification=classification,
            level=self._classifications.level(classification),
            ticket=text(effect, "ticket"),
            author=case.proposal.author,
            starts_ms=starts_ms,
            ends_ms=starts_ms + minutes * MINUTE_MS,
        )
        del ask
        await self._book.add(grant)
        told = f"break-glass {grant.grant_id} runs for {minutes} minutes for app {grant.app}"
        return Done(told, {"grant": grant.grant_id, "ends_ms": grant.ends_ms})


class BreakGlassDesk:
    """Ends and reviews grants, on the record; made once by wiring."""

    def __init__(
        self,
        book: GrantBook,
        register: OfficerRegister,
        journal: Journal,
        hooks: Hooks,
        clock_ms: Callable[[], int],
    ) -> None:
        self.book = book
        self._register = register
        self._journal = journal
        self._hooks = hooks
        self._clock_ms = clock_ms

    async def end_past(self) -> Sequence[Grant]:
        """Tell of the grants that have ended by themselves; nothing else hangs on it."""
        ended = await self.book.end_past()
        for grant in ended:
            await self._record("break-glass:end", "done", "system", grant)
            await self._tell("break-glass.ended", grant)
        return ended

    async def end(self, signer: Signer, grant_id: str, *, origin: str = LOCAL) -> Grant:
        """End a grant before its hour; any officer who decides may.

        Raises:
            Conflict: it has ended; NotFound: there is none.
        """
        officer = (await self._register.read()).person_of(signer.identity)
        _check_role(officer.roles, frozenset(Role) - {Role.AUDITOR, Role.CUSTODIAN}, "end it")
        found = (await self.book.get(grant_id)).grant
        await self._record("break-glass:end-early", "pending", officer.person, found, origin)
        ended = await self.book.end_early(grant_id)
        await self._record("break-glass:end-early", "done", officer.person, found, origin)
        await self.end_past()
        return ended

    async def review(
        self, signer: Signer, grant_id: str, finding: str, *, origin: str = LOCAL
    ) -> None:
        """Close the review of a grant.

        Raises:
            Refused: the author of the grant does not review it, and a role is wanted.
            Conflict: it still runs, or was reviewed.
        """
        if not finding.strip() or len(finding) > FINDING_CHARS_MAX:
            raise Malformed(
                f"a finding of 1 to {FINDING_CHARS_MAX} characters is wanted",
                effect="Nothing was changed.",
            )
        officer = (await self._register.read()).person_of(signer.identity)
        _check_role(officer.roles, REVIEWERS, "review it")
        found = (await self.book.get(grant_id)).grant
        if officer.person == found.author:
            raise Refused(
                "Who asked for break-glass does not review it.",
                code="HY-2503",
                effect="Nothing was changed.",
            )
        await self._record("break-glass:review", "pending", officer.person, found, origin)
        await self.book.review(grant_id, officer.person, finding)
        await self._record("break-glass:review", "done", officer.person, found, origin)
        await self._tell("break-glass.reviewed", found, officer.person)

    async def _record(
        self, action: str, outcome: str, person: str, grant: Grant, origin: str = LOCAL
    ) -> None:
        actor = person if person == "system" else f"officer:{person}"
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase="intend" if outcome == "pending" else "conclude",
                action=action,
                outcome=outcome,
                actor=actor,
                tenant=grant.tenant,
                origin=origin,
                request_id=grant.grant_id,
                bucket_id=grant.bucket,
                classification=grant.classification,
                reasons=(f"grant:{grant.grant_id}", f"app:{grant.app}"),
            ),
            durable=True,
        )

    async def _tell(self, event: str, grant: Grant, person: str = "") -> None:
        register = await self._register.read()
        everyone = tuple(sorted(o.person for o in register.officers.values() if o.active))
        text = said(event, person=person, proposal=grant.grant_id)
        self._hooks.tell(
            Event(
                event,
                self._clock_ms(),
                grant.grant_id,
                "break-glass:grant",
                grant.classification,
                person,
                everyone,
                text,
            )
        )


def _check_role(held: frozenset[Role], allowed: frozenset[Role], what: str) -> None:
    if not held & allowed:
        raise Refused(
            f"This role may not {what}: it takes one of {', '.join(sorted(allowed))}.",
            code="HY-2502",
            effect="Nothing was changed.",
        )
