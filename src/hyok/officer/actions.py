"""OfficerActions: propose, approve, refuse, withdraw, execute: once, for every face of hyok.

Each is on the audit log before it happens and again when it has.  Rows that are not genuine raise
an alarm there, and nothing is done.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.custody.proposal import BYTES_MAX, Proposal
from hyok.custody.quorum import ACTS, Act, Quorum, Verdict
from hyok.errors import (
    Conflict,
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Tampered,
)
from hyok.officer.hooks import Event
from hyok.officer.texts import said
from hyok.vocabulary import Ask, Principal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.custody.approvals import Approvals
    from hyok.custody.cases import Case
    from hyok.custody.officers import OfficerRegister
    from hyok.custody.proposal import Effect
    from hyok.custody.signing import Signer
    from hyok.database.leases import Lease, Leases
    from hyok.officer.hooks import Hooks
    from hyok.officer.port import Done, Performer, Plan

DEVELOPMENT_QUORUM = Quorum(1, (), development=True)
"""Of an installation with two demo officers: still two persons, the author and one other."""

RENEW_SECONDS = 30.0
REASON_CHARS_MAX = 2_000
LOCAL = "local"
"""The origin of what is done at a keyboard of this host."""


@dataclass(frozen=True, slots=True)
class Executed:
    """What was executed and what came of it."""

    case: Case
    done: Done


class OfficerActions:
    """Made once by wiring."""

    def __init__(
        self,
        *,
        register: OfficerRegister,
        approvals: Approvals,
        performers: Mapping[Act, Performer],
        leases: Leases,
        journal: Journal,
        hooks: Hooks,
        development: bool,
        entropy: Callable[[int], bytes],
        clock_ms: Callable[[], int],
    ) -> None:
        self.register = register
        self.approvals = approvals
        self._performers = performers
        self._leases = leases
        self._journal = journal
        self._hooks = hooks
        self._development = development
        self._entropy = entropy
        self._clock_ms = clock_ms

    async def propose(
        self,
        signer: Signer,
        act: Act,
        effect: Effect,
        reason: str,
        *,
        origin: str = LOCAL,
        once: str = "",
    ) -> Case:
        """Ask for the approval of an act.

        Args:
            signer: the author.
            act: what is asked for.
            effect: on what; details that are left out are filled in.
            reason: why; the approvers read it.
            origin: where the author's request came from.
            once: asked again with the same word, the same proposal is returned.

        Raises:
            Refused: the role does not allow it, or this version has no such act (HY-2511).
            Malformed: the effect or the reason cannot stand.
            Conflict: another proposal was made with this word (HY-2515).
        """
        if not reason.strip() or len(reason) > REASON_CHARS_MAX:
            raise Malformed(
                f"a reason of 1 to {REASON_CHARS_MAX} characters is wanted",
                effect="Nothing was proposed.",
                next_step="--reason TEXT",
            )
        author = (await self.register.read()).person_of(signer.identity)
        plan = await self._plan(act, effect)
        now = self._clock_ms()
        proposal_id = self._entropy(8).hex().upper()
        if once:
            proposal_id = _id_of(author.person, once)
            made = await self._made(proposal_id)
            if made is not None:
                return _same(made, author.person, act, plan.effect, reason)
        proposal = Proposal(
            proposal_id=proposal_id,
            act=act,
            tenant=plan.tenant,
            classification=plan.classification,
            effect=plan.effect,
            reason=reason,
            author=author.person,
            quorum=self._needed(plan),
            created_ms=now,
            expires_ms=now + ACTS[act].life_ms,
        )
        if len(proposal.render()) > BYTES_MAX:
            raise Malformed("the proposal is too long", effect="Nothing was proposed.")
        async with self._recorded("approval:propose", author.person, proposal, origin):
            case = await self.approvals.propose(proposal, signer)
        await self._tell("proposed", case, author.person)
        return case

    async def decide(
        self,
        signer: Signer,
        proposal_id: str,
        verdict: Verdict,
        reason: str = "",
        *,
        origin: str = LOCAL,
    ) -> Case:
        """Approve, refuse or withdraw a proposal.

        Raises:
            Refused, Conflict, NotFound, Tampered: as `Approvals.decide` says.
        """
        case = await self.get(proposal_id)
        officer = case.register.person_of(signer.identity)
        before = case.standing(self._clock_ms()).state
        if len(reason) > REASON_CHARS_MAX:
            raise Malformed(f"a reason has at most {REASON_CHARS_MAX} characters")
        async with self._recorded(f"approval:{verdict}", officer.person, case.proposal, origin):
            if (
                case.proposal.act is Act.REVOKE_OFFICER
                and verdict is not Verdict.WITHDRAW
                and case.proposal.effect.get("person") == officer.person
            ):
                raise Refused("Nobody decides about their own leaving.", code="HY-2503")
            if (
                case.proposal.act is Act.REMOVE_IDENTITY
                and verdict is not Verdict.WITHDRAW
                and case.proposal.effect.get("identity") == signer.identity
            ):
                raise Refused(
                    "What is to be taken away does not decide about that.",
                    code="HY-2492",
                    effect="Nothing was changed.",
                    next_step="use another key or authenticator of yours, or ask another officer",
                )
            case = await self.approvals.decide(proposal_id, signer, verdict, reason)
        after = case.standing(self._clock_ms()).state
        if after is not before:
            await self._tell(str(after), case, officer.person)
        return case

    async def execute(self, signer: Signer, proposal_id: str, *, origin: str = LOCAL) -> Executed:
        """Do what was approved, once; carry it on where an execution was broken off.

        Raises:
            Refused: the quorum is not reached (HY-2506).
            Conflict: it was executed, or what it is about has changed (HY-2505).
            Tampered: a row is not genuine (HY-2507).
            Unavailable: it was begun; execute it again to carry it on.
        """
        case = await self.get(proposal_id)
        officer = case.register.person_of(signer.identity)
        performer = self._performer(case.proposal.act)
        async with self._leases.hold(f"execute:{proposal_id}") as lease:
            async with self._recorded("approval:execute", officer.person, case.proposal, origin):
                plan = await self._plan_again(case)
                case = await self.approvals.claim(proposal_id, signer, self._needed(plan))
                done = await self._perform(performer, self._ask(case, plan), case, lease)
            await self.approvals.finish(case, "done")
        await self._tell("executed", case, officer.person)
        if case.proposal.act in {Act.BREAK_GLASS, Act.BREAK_GLASS_DOOR}:
            await self._tell("break-glass.started", case, officer.person)
        return Executed(case, done)

    async def _made(self, proposal_id: str) -> Case | None:
        try:
            return await self.get(proposal_id)
        except NotFound:
            return None

    async def get(self, proposal_id: str) -> Case:
        """Return a proposal, proven.

        Raises:
            NotFound; Tampered: a row is not genuine, and the alarm was raised.
        """
        try:
            return await self.approvals.get(proposal_id)
        except Tampered:
            await self._alarm(proposal_id)
            raise

    async def _plan_again(self, case: Case) -> Plan:
        """Look whether what was approved still is what would be done.

        Raises:
            Conflict: it is about something else now (code HY-2505).
        """
        plan = await self._plan(case.proposal.act, case.proposal.effect)
        if plan.effect != case.proposal.effect and case.execution is None:
            raise Conflict(
                "What the proposal is about has changed since.",
                code="HY-2505",
                effect="Nothing was done.",
                next_step="look at it again and propose it anew",
            )
        return plan

    async def _perform(self, performer: Performer, ask: Ask, case: Case, lease: Lease) -> Done:
        renewing = asyncio.get_running_loop().create_task(_keep(lease))
        try:
            return await performer.perform(ask, case)
        except HyokError as error:
            if not error.retryable:  # else it may be carried on
                await self.approvals.finish(case, "failed")
                await self._tell("failed", case, ask.principal.id)
            raise
        finally:
            renewing.cancel()

    def _performer(self, act: Act) -> Performer:
        found = self._performers.get(act)
        if found is None:
            raise Refused(
                f"This version cannot do {act}.", code="HY-2511", effect="Nothing was changed."
            )
        return found

    async def _plan(self, act: Act, effect: Effect) -> Plan:
        return await self._performer(act).plan(effect)

    def _needed(self, plan: Plan) -> Quorum:
        return DEVELOPMENT_QUORUM if self._development else plan.quorum

    def _ask(self, case: Case, plan: Plan) -> Ask:
        assert case.execution is not None
        person = case.execution.executor
        return Ask(
            principal=Principal(f"officer:{person}", plan.tenant, "officer", clearance=100),
            action=str(case.proposal.act),
            bucket=plan.bucket,
            key=plan.key,
            request_id=case.proposal.proposal_id,
            origin="local",
            at_ms=self._clock_ms(),
            approval=case.proposal.proposal_id,
        )

    @asynccontextmanager
    async def _recorded(
        self, action: str, person: str, proposal: Proposal, origin: str
    ) -> AsyncIterator[None]:
        """Have an act on the log before it happens, and what came of it after.

        Raises:
            Unavailable: the log does not confirm, so nothing was done.
        """
        await self._record(action, "intend", "pending", person, proposal, origin)
        try:
            yield
        except HyokError as error:
            denied = isinstance(error, Refused | NotAuthenticated)
            outcome = "denied" if denied else "failed"
            word = f"{type(error).__name__}:{error.code or error.reason}"
            await self._record(action, "conclude", outcome, person, proposal, origin, word)
            if isinstance(error, Tampered):
                await self._alarm(proposal.proposal_id)
            raise
        await self._record(action, "conclude", "done", person, proposal, origin)

    async def _record(
        self,
        action: str,
        phase: str,
        outcome: str,
        person: str,
        proposal: Proposal,
        origin: str,
        error: str = "",
    ) -> None:
        bucket = proposal.effect.get("bucket", "")
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase=phase,
                action=action,
                outcome=outcome,
                actor=f"officer:{person}",
                tenant=proposal.tenant,
                origin=origin,
                request_id=proposal.proposal_id,
                bucket_id=bucket if isinstance(bucket, str) else "",
                classification=proposal.classification,
                reasons=(f"act:{proposal.act}", f"proposal-sha256:{proposal.digest}"),
                error=error,
            ),
            durable=True,
        )

    async def _alarm(self, proposal_id: str) -> None:
        now = self._clock_ms()
        record = AuditRecord(
            at_ms=now,
            phase="conclude",
            action="approval:alarm",
            outcome="failed",
            actor="system",
            tenant="system",
            origin="database",
            request_id=proposal_id,
            error="Tampered:HY-2507",
        )
        text = said("alarm", proposal=proposal_id)
        self._hooks.tell(Event("alarm", now, proposal_id, text=text))
        await self._journal.record(record, durable=True)

    async def _tell(self, event: str, case: Case, person: str) -> None:
        proposal = case.proposal
        everyone = [o.person for o in case.register.officers.values() if o.active]
        facts = {"person": person, "act": str(proposal.act), "proposal": proposal.proposal_id}
        self._hooks.tell(
            Event(
                event,
                self._clock_ms(),
                proposal.proposal_id,
                str(proposal.act),
                proposal.classification,
                person,
                tuple(sorted(everyone)),
                said(event, **facts),
            )
        )


def _id_of(person: str, once: str) -> str:
    """Return the proposal of one word of one person; nobody else's word leads to it."""
    return sha256(f"{person}\n{once}".encode()).hexdigest()[:16].upper()


def _same(made: Case, person: str, act: Act, effect: Effect, reason: str) -> Case:
    found = made.proposal
    if (found.author, found.act, found.effect, found.reason) != (person, act, effect, reason):
        raise Conflict(
            "Something else was proposed with this Idempotency-Key.",
            code="HY-2515",
            effect="Nothing was proposed.",
            next_step="use a new key for each proposal",
        )
    return made


async def _keep(lease: Lease) -> None:
    """Hold on to a lease until cancelled."""
    with suppress(HyokError):
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await lease.renew()
