"""Approvals: proposals, decisions and executions in rows that nobody can use after an edit.

A proposal's row is sealed under the HSM, every decision is signed over the proposal's digest, and
an execution is a row of its own that can be made once.  Whether enough have approved is worked out
anew each time from what is proven; the column `state` only ever stops something.

Source: docs/officers.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.approval_rows import (
    ENDED_BY,
    OUTCOMES,
    Execution,
    add_decision,
    check_unchanged,
    set_state,
)
from hyok.custody.cases import Case, CaseReader
from hyok.custody.proofs import Said
from hyok.custody.proposal import Decision, Proposal
from hyok.custody.quorum import (
    TRANSITIONS,
    Quorum,
    State,
    Verdict,
    check_decision,
    check_executor,
    check_propose,
    check_quorum,
    check_transition,
)
from hyok.custody.signing import DEVELOPMENT, Presigned
from hyok.database.tables import executions, proposals
from hyok.errors import Conflict, NotAuthenticated, Refused, Tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Row

    from hyok.custody.officers import OfficerRegister, Register
    from hyok.custody.proposal import Beginning
    from hyok.custody.quorum import Officer
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.custody.signing import Signer
    from hyok.database.engine import Database

LISTED_MAX = 200
CARRY_ON_MS = 7 * 86_400_000
SIGNED_MS_MAX = 300_000
"""How old a signature may be that was made elsewhere, in milliseconds."""

ENDED = frozenset(str(state) for state, to in TRANSITIONS.items() if not to)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list; ``case`` is None where the rows are not genuine."""

    proposal_id: str
    act: str
    author: str
    state: str
    created_ms: int
    expires_ms: int
    case: Case | None = None


class Approvals:
    """The tables `proposals`, `officer_decisions` and `executions`.

    Args:
        database: where they stand.
        box: seals under the installation's own key of the HSM.
        register: who the officers are.
        development: whether development logins and quorums count.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        database: Database,
        box: HsmSecretBox,
        register: OfficerRegister,
        *,
        development: bool,
        clock_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._cases = CaseReader(database, box, register)
        self._register = register
        self._development = development
        self._clock_ms = clock_ms

    async def propose(self, proposal: Proposal, signer: Signer) -> Case:
        """Write a proposal down, signed by its author.

        Raises:
            Refused: the role does not allow it; NotAuthenticated: the signer is nobody's.
            Malformed: the quorum cannot stand (code HY-2510).
        """
        register = await self._register.read()
        author = self._author(register, proposal.author, signer)
        check_quorum(proposal.quorum)
        check_propose(proposal.act, author)
        first = Decision(
            proposal_id=proposal.proposal_id,
            digest=proposal.digest,
            person=author.person,
            verdict=Verdict.PROPOSE,
            at_ms=proposal.created_ms,
            sequence=0,
            method=signer.method,
            reason=proposal.reason,
        )
        self._check_mode(proposal, [first])
        proof = await signer.sign(first.statement())
        sealed = await self._cases.seal_proposal(proposal)

        def act(connection: Connection) -> None:
            connection.execute(
                insert(proposals).values(
                    proposal_id=proposal.proposal_id,
                    act=str(proposal.act),
                    author=proposal.author,
                    state=str(State.OPEN),
                    sealed=sealed,
                    created_ms=proposal.created_ms,
                    expires_ms=proposal.expires_ms,
                )
            )
            add_decision(connection, first, proof)

        await self._database.run(act)
        return await self.get(proposal.proposal_id)

    async def decide(self, proposal_id: str, signer: Signer, verdict: Verdict, reason: str) -> Case:
        """Write down what the person of ``signer`` says of a proposal.

        Raises:
            Refused, Conflict: `check_decision` says no; or somebody else decided meanwhile.
            NotAuthenticated: what was signed elsewhere is something else (code HY-2512).
            Tampered: a row is not genuine (code HY-2507).
        """
        case = await self.get(proposal_id)
        made = self._decision(case, signer.identity, signer.method, verdict, reason)
        if isinstance(signer, Presigned):
            made = replace(made, at_ms=self._signed_at(case, signer))
        proof = await self._signed(signer, Said(made.statement(), made.person, made.method))

        def act(connection: Connection) -> None:
            check_unchanged(connection, case.proposal.proposal_id, case.rows)
            add_decision(connection, made, proof)
            if verdict in ENDED_BY:
                set_state(connection, proposal_id, ENDED_BY[verdict])

        await self._database.run(act)
        return await self.get(proposal_id)

    async def draft(
        self, proposal_id: str, identity: str, method: str, verdict: Verdict, reason: str
    ) -> Decision:
        """Return what the person of ``identity`` has to sign to say this now.

        Raises:
            As `decide` does, before anything was signed.
        """
        case = await self.get(proposal_id)
        return self._decision(case, identity, method, verdict, reason)

    async def draft_beginning(self, proposal_id: str, identity: str, method: str) -> Beginning:
        """Return what the person of ``identity`` has to sign to set it off now.

        Raises:
            Refused: the role or the method does not allow it (HY-2502, HY-2514).
        """
        case = await self.get(proposal_id)
        officer = case.register.person_of(identity)
        check_executor(case.proposal, officer, method)
        return case.beginning(officer.person, self._clock_ms(), method)

    async def claim(self, proposal_id: str, signer: Signer, needed: Quorum) -> Case:
        """Begin to execute: at most one succeeds, ever, and only on what was approved.

        An execution that was broken off is carried on: whoever comes gets the same case again.

        Raises:
            Refused: the quorum is not reached (HY-2506), or the role does not allow it.
            Conflict: it is not approved any more, or was executed (HY-2505).
            Tampered: a row is not genuine (HY-2507).
        """
        case = await self.get(proposal_id)
        officer = case.register.person_of(signer.identity)
        check_executor(case.proposal, officer, signer.method)
        self._check_mode(case.proposal, case.decisions)
        now = self._clock_ms()
        # `check_executor` saw that the executor's hand is their own.
        standing = case.standing(now, needed, by_author=officer.person == case.proposal.author)
        if standing.state is State.OPEN:
            raise Refused(
                f"{standing.missing} more of the approvals it takes are missing.",
                code="HY-2506",
                effect="Nothing was done.",
                next_step=f"hyok approvals approve {proposal_id}, by another officer; who proposed "
                "it by a login alone can also execute it with their own key or authenticator",
            )
        if standing.state is not State.EXECUTING:
            check_transition(standing.state, State.EXECUTING)
        at = self._signed_at(case, signer) if isinstance(signer, Presigned) else now
        statement = case.beginning(officer.person, at, signer.method).statement()
        proof = await self._signed(signer, Said(statement, officer.person, signer.method))
        if standing.state is State.EXECUTING:
            _check_fresh(case, now)
            return case
        begun = Execution(officer.person, at, "running", signer.method, proof)
        sealed = await self._cases.seal_execution(case.proposal, begun)

        def act(connection: Connection) -> None:
            check_unchanged(connection, case.proposal.proposal_id, case.rows)
            connection.execute(
                insert(executions).values(
                    proposal_id=proposal_id,
                    executor=begun.executor,
                    claimed_ms=at,
                    outcome=begun.outcome,
                    method=begun.method,
                    proof=begun.proof,
                    sealed=sealed,
                )
            )
            set_state(connection, proposal_id, State.EXECUTING)

        await self._database.run(act)
        return await self.get(proposal_id)

    async def finish(self, case: Case, outcome: str) -> None:
        """Write down what came of an execution: ``done`` or ``failed``."""
        assert case.execution is not None
        ended = replace(case.execution, outcome=outcome)
        sealed = await self._cases.seal_execution(case.proposal, ended)
        proposal_id = case.proposal.proposal_id

        def act(connection: Connection) -> None:
            check_unchanged(connection, case.proposal.proposal_id, case.rows)
            connection.execute(
                update(executions)
                .where(executions.c.proposal_id == proposal_id)
                .values(outcome=outcome, sealed=sealed, finished_ms=self._clock_ms())
            )
            set_state(connection, proposal_id, OUTCOMES[outcome])

        await self._database.run(act)

    async def get(self, proposal_id: str) -> Case:
        """Return a proposal with its decisions, every row proven.

        Raises:
            NotFound: there is none (code HY-2505).
            Tampered: a row is not genuine (code HY-2507).
        """
        return await self._cases.get(proposal_id)

    async def list(self) -> Sequence[Listed]:
        """Return the newest proposals; those that have not ended are proven."""

        def act(connection: Connection) -> Sequence[Row[tuple[object, ...]]]:
            newest = select(proposals).order_by(proposals.c.created_ms.desc())
            return connection.execute(newest.limit(LISTED_MAX)).all()

        now = self._clock_ms()
        found = []
        for row in await self._database.read(act):
            line = Listed(
                row.proposal_id, row.act, row.author, row.state, row.created_ms, row.expires_ms
            )
            if row.state not in ENDED:
                try:
                    case = await self.get(row.proposal_id)
                except Tampered:
                    line = replace(line, state="not genuine")
                else:
                    line = replace(line, state=str(case.standing(now).state), case=case)
            found.append(line)
        return found

    def _decision(
        self, case: Case, identity: str, method: str, verdict: Verdict, reason: str
    ) -> Decision:
        officer = case.register.person_of(identity)
        now = self._clock_ms()
        standing = case.standing(now)
        check_decision(case.proposal, case.decisions, standing, officer, verdict, method)
        made = Decision(
            proposal_id=case.proposal.proposal_id,
            digest=case.proposal.digest,
            person=officer.person,
            verdict=verdict,
            # A host whose clock is a little behind the author's must not spoil the sequence.
            at_ms=max(now, case.decisions[-1].at_ms),
            sequence=len(case.decisions),
            method=method,
            reason=reason,
        )
        self._check_mode(case.proposal, [made])
        return made

    def _signed_at(self, case: Case, signer: Presigned) -> int:
        """Return when it was signed elsewhere, if that is of the moment.

        Raises:
            NotAuthenticated: too long ago, or before somebody else decided (code HY-2512).
        """
        now, last = self._clock_ms(), case.decisions[-1].at_ms
        fresh = max(last, now - SIGNED_MS_MAX) <= signer.at_ms <= max(now, last)
        if not fresh or signer.sequence != len(case.decisions):
            raise NotAuthenticated(
                "What was signed is not of the moment: it is old, or was used already.",
                code="HY-2512",
                effect="Nothing was changed.",
                next_step="look at the proposal again and sign it anew",
            )
        return signer.at_ms

    async def _signed(self, signer: Signer, said: Said) -> bytes:
        """Return the proof; what was signed elsewhere is verified before it is written."""
        proof = await signer.sign(said.statement)
        if isinstance(signer, Presigned):
            try:
                await self._cases.verify(said, proof)
            except Tampered as error:
                raise NotAuthenticated(
                    "The signature is not this person's, or is for something else.",
                    code="HY-2512",
                    effect="Nothing was changed.",
                    next_step="look at the proposal again and sign it anew",
                ) from error
        return proof

    def _author(self, register: Register, person: str, signer: Signer) -> Officer:
        author = register.person_of(signer.identity)
        if author.person != person:
            raise Refused(f"{author.person} does not propose for {person}.", code="HY-2502")
        return author

    def _check_mode(self, proposal: Proposal, decisions: Sequence[Decision]) -> None:
        """Refuse in production what only a development installation may count.

        Raises:
            Refused: a development quorum or login (code HY-2508).
        """
        soft = proposal.quorum.development or any(d.method == DEVELOPMENT for d in decisions)
        if soft and not self._development:
            raise Refused(
                "Development logins and quorums count for nothing here.",
                code="HY-2508",
                effect="Nothing was done.",
                next_step="propose it anew, each officer with a key of their own",
            )


def _check_fresh(case: Case, now_ms: int) -> None:
    """Return quietly if a broken-off execution may still be carried on.

    Raises:
        Conflict: it was begun so long ago that the world has moved on (code HY-2505).
    """
    assert case.execution is not None
    if now_ms - case.execution.claimed_ms > CARRY_ON_MS:
        raise Conflict(
            "This execution was broken off too long ago to be carried on.",
            code="HY-2505",
            effect="Nothing was done.",
            next_step="propose the act anew",
        )
