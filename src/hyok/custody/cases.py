"""CaseReader: a proposal with everything about it, read and proven against the register.

Nothing counts before it is proven: the seal of the proposal, the signature under every decision,
the seal of an execution and the signature of whoever set it off.

Source: docs/officers.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.custody.approval_rows import (
    OUTCOMES,
    Execution,
    Rows,
    check_state,
    check_unchanged,
    parse_decision,
    read_rows,
    write_execution,
    write_sealed,
)
from hyok.custody.proofs import Said, renewed, verify
from hyok.custody.proposal import Beginning, canonical, not_genuine, parse_proposal
from hyok.custody.quorum import judge
from hyok.errors import NotFound, Tampered

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hyok.custody.officers import OfficerRegister, Register
    from hyok.custody.proposal import Decision, Proposal
    from hyok.custody.quorum import Quorum, Standing
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.database.engine import Database


@dataclass(frozen=True, slots=True)
class Case:
    """One proposal with everything about it, proven against the register."""

    proposal: Proposal
    decisions: tuple[Decision, ...]
    execution: Execution | None
    register: Register
    rows: Rows
    void: frozenset[int] = frozenset()  # sequence of what was signed with something taken away

    def standing(
        self, now_ms: int, needed: Quorum | None = None, *, by_author: bool = False
    ) -> Standing:
        """Return where it stands, as `judge` says; an execution says it all."""
        officers = self.register.officers
        found = judge(
            *(self.proposal, self.decisions, officers, now_ms, needed),
            by_author=by_author,
            void=self.void,
        )
        if self.execution is None:
            return found
        return replace(found, state=OUTCOMES[self.execution.outcome])

    def beginning(self, person: str, at_ms: int, method: str) -> Beginning:
        """Return what somebody signs who sets it off now."""
        proposal = self.proposal
        return Beginning(
            proposal.proposal_id, proposal.digest, person, at_ms, len(self.decisions), method
        )


class CaseReader:
    """Reads one proposal at a time; at most a few HSM calls each."""

    def __init__(self, database: Database, box: HsmSecretBox, register: OfficerRegister) -> None:
        self._database = database
        self._box = box
        self._register = register

    async def get(self, proposal_id: str) -> Case:
        """Return a proposal with its decisions, every row proven.

        Raises:
            NotFound: there is none (code HY-2505).
            Tampered: a row is not genuine (code HY-2507).
        """
        rows = await self._database.read(lambda connection: read_rows(connection, proposal_id))
        if rows is None:
            raise NotFound(
                f"There is no proposal {proposal_id}.",
                code="HY-2505",
                next_step="hyok approvals list",
            )
        register = await self._register.read()
        proposal, state = await self._proposal(proposal_id, rows)
        decisions, void = [], set()
        for row in rows.decisions:
            decision, proof = parse_decision(proposal, row)
            said = Said(decision.statement(), decision.person, decision.method)
            if await verify(said, proof, register, self._box) in register.removed:
                void.add(decision.sequence)
            decisions.append(decision)
        execution = await self._execution(proposal, rows, register)
        check_state(state, decisions, execution)
        return Case(proposal, tuple(decisions), execution, register, rows, frozenset(void))

    async def verify(self, said: Said, proof: bytes) -> None:
        """Return quietly if this person says exactly this, with something that is theirs now.

        Raises:
            Tampered: they do not (code HY-2507).
        """
        register = await self._register.read()
        if await verify(said, proof, register, self._box) in register.removed:
            raise not_genuine("a decision")

    async def renew(self, proposal_id: str) -> None:
        """Seal every row of a proposal anew under the key that writes now, each proven first.

        Raises:
            NotFound; Tampered: a row is not genuine (code HY-2507).
            Conflict: somebody decided meanwhile (code HY-3102).
        """
        case = await self.get(proposal_id)
        proofs = {}
        for decision, row in zip(case.decisions, case.rows.decisions, strict=True):
            _, proof = parse_decision(case.proposal, row)
            said = Said(decision.statement(), decision.person, decision.method)
            proofs[decision.sequence] = await renewed(said, proof, self._box)
        execution = case.execution
        if execution is not None and execution.method:
            begun = case.beginning(execution.executor, execution.claimed_ms, execution.method)
            said = Said(begun.statement(), execution.executor, execution.method)
            execution = replace(execution, proof=await renewed(said, execution.proof, self._box))
        sealed = await self.seal_proposal(case.proposal)
        begun_sealed = b""
        if execution is not None:
            begun_sealed = await self.seal_execution(case.proposal, execution)

        def act(connection: Connection) -> None:
            check_unchanged(connection, proposal_id, case.rows)
            write_sealed(connection, proposal_id, sealed, proofs)
            if execution is not None:
                write_execution(connection, proposal_id, begun_sealed, execution.proof)

        await self._database.run(act)

    async def seal_proposal(self, proposal: Proposal) -> bytes:
        """Return what stands in a proposal's row."""
        return await self._box.seal(_purpose(proposal.proposal_id), proposal.render())

    async def seal_execution(self, proposal: Proposal, execution: Execution) -> bytes:
        """Return what stands in an execution's row."""
        return await self._box.seal(
            _execution_purpose(proposal.proposal_id), _execution_document(proposal, execution)
        )

    async def _proposal(self, proposal_id: str, rows: Rows) -> tuple[Proposal, str]:
        stored_id, act, author, state, sealed, created_ms, expires_ms = rows.proposal
        assert isinstance(sealed, bytes)
        try:
            raw = await self._box.open(_purpose(proposal_id), sealed)
        except Tampered as error:
            raise not_genuine("a proposal") from error
        proposal = parse_proposal(raw)
        told = (stored_id, act, author, created_ms, expires_ms)
        if told != (
            *(proposal.proposal_id, str(proposal.act), proposal.author),
            *(proposal.created_ms, proposal.expires_ms),
        ):
            raise not_genuine("a proposal")
        return proposal, str(state)

    async def _execution(
        self, proposal: Proposal, rows: Rows, register: Register
    ) -> Execution | None:
        if rows.execution is None:
            return None
        executor, claimed_ms, outcome, method, proof, sealed = rows.execution
        assert isinstance(claimed_ms, int)
        assert proof is None or isinstance(proof, bytes)
        assert isinstance(sealed, bytes)
        found = Execution(str(executor), claimed_ms, str(outcome), str(method), proof or b"")
        try:
            document = await self._box.open(_execution_purpose(proposal.proposal_id), sealed)
        except Tampered as error:
            raise not_genuine("an execution") from error
        if document != _execution_document(proposal, found):
            raise not_genuine("an execution")
        if found.method:  # none: begun by a version that did not ask for a signature
            count = len(rows.decisions)
            begun = Beginning(
                *(proposal.proposal_id, proposal.digest, found.executor),
                *(claimed_ms, count, found.method),
            )
            said = Said(begun.statement(), found.executor, found.method)
            await verify(said, found.proof, register, self._box)
        return found


def _execution_document(proposal: Proposal, execution: Execution) -> bytes:
    signed = {}
    if execution.method:
        signed = {"method": execution.method, "proof": sha256(execution.proof).hexdigest()}
    return canonical(
        {
            "digest": proposal.digest,
            "executor": execution.executor,
            "claimed_ms": execution.claimed_ms,
            "outcome": execution.outcome,
            **signed,
        }
    )


def _purpose(proposal_id: str) -> str:
    return f"proposal {proposal_id}"


def _execution_purpose(proposal_id: str) -> str:
    return f"execution {proposal_id}"
