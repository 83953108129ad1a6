"""Rows of proposals, decisions and executions: read whole, compared, and written.

Nothing here is believed: `hyok.custody.approvals` proves what was read before it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from hyok.custody.proposal import Decision, Proposal, not_genuine
from hyok.custody.quorum import State, Verdict
from hyok.database.tables import executions, officer_decisions, proposals
from hyok.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENDED_BY = {Verdict.REFUSE: State.REFUSED, Verdict.WITHDRAW: State.WITHDRAWN}
OUTCOMES = {"running": State.EXECUTING, "done": State.EXECUTED, "failed": State.FAILED}


@dataclass(frozen=True, slots=True)
class Execution:
    """That somebody began to do it, and what came of it: running, done or failed."""

    executor: str
    claimed_ms: int
    outcome: str
    method: str = ""  # how the executor signed for it; empty in rows older than such signatures
    proof: bytes = b""


@dataclass(frozen=True, slots=True)
class Rows:
    """What stands in the database: compared again before anything is written."""

    proposal: tuple[object, ...]
    decisions: tuple[tuple[object, ...], ...]
    execution: tuple[object, ...] | None


def read_rows(connection: Connection, proposal_id: str) -> Rows | None:
    p, d, e = proposals.c, officer_decisions.c, executions.c
    found = connection.execute(
        select(
            *(p.proposal_id, p.act, p.author, p.state, p.sealed, p.created_ms, p.expires_ms)
        ).where(p.proposal_id == proposal_id)
    ).one_or_none()
    if found is None:
        return None
    decided = connection.execute(
        select(d.sequence, d.person, d.verdict, d.method, d.at_ms, d.reason, d.proof)
        .where(d.proposal_id == proposal_id)
        .order_by(d.sequence)
    ).all()
    begun = connection.execute(
        select(e.executor, e.claimed_ms, e.outcome, e.method, e.proof, e.sealed).where(
            e.proposal_id == proposal_id
        )
    ).one_or_none()
    return Rows(
        tuple(found),
        tuple(tuple(row) for row in decided),
        None if begun is None else tuple(begun),
    )


def check_unchanged(connection: Connection, proposal_id: str, rows: Rows) -> None:
    """Return quietly if the rows are those that were proven.

    Raises:
        Conflict: another decision or execution was faster (code HY-3102).
    """
    if read_rows(connection, proposal_id) != rows:
        raise Conflict(
            "Somebody else decided about this proposal meanwhile.",
            code="HY-3102",
            effect="Nothing was changed.",
            next_step=f"hyok approvals show {proposal_id}",
        )


def check_state(state: str, decisions: Sequence[Decision], execution: Execution | None) -> None:
    """Return quietly if the column says what the other rows say.

    Raises:
        Tampered: a row was edited, or one is missing (code HY-2507).
    """
    ended = [ENDED_BY[found.verdict] for found in decisions if found.verdict in ENDED_BY]
    expected = State.OPEN
    if execution is not None:
        expected = OUTCOMES[execution.outcome]
    elif ended:
        expected = ended[0]
    if state != expected or (execution is not None and ended):
        raise not_genuine("a proposal")


def parse_decision(proposal: Proposal, row: tuple[object, ...]) -> tuple[Decision, bytes]:
    sequence, person, verdict, method, at_ms, reason, proof = row
    assert isinstance(sequence, int)
    assert isinstance(at_ms, int)
    assert isinstance(proof, bytes)
    try:
        said = Verdict(str(verdict))
    except ValueError as error:
        raise not_genuine("a decision") from error
    decision = Decision(
        proposal_id=proposal.proposal_id,
        digest=proposal.digest,
        person=str(person),
        verdict=said,
        at_ms=at_ms,
        sequence=sequence,
        method=str(method),
        reason=str(reason),
    )
    return decision, proof


def add_decision(connection: Connection, decision: Decision, proof: bytes) -> None:
    connection.execute(
        insert(officer_decisions).values(
            proposal_id=decision.proposal_id,
            sequence=decision.sequence,
            person=decision.person,
            verdict=str(decision.verdict),
            method=decision.method,
            at_ms=decision.at_ms,
            reason=decision.reason,
            proof=proof,
        )
    )


def write_sealed(
    connection: Connection, proposal_id: str, sealed: bytes, proofs: Mapping[int, bytes]
) -> None:
    """Put what was sealed anew into the rows of a proposal and its decisions."""
    mine = proposals.c.proposal_id == proposal_id
    connection.execute(update(proposals).where(mine).values(sealed=sealed))
    for sequence, proof in proofs.items():
        one = officer_decisions.c.sequence == sequence
        decided = update(officer_decisions).where(officer_decisions.c.proposal_id == proposal_id)
        connection.execute(decided.where(one).values(proof=proof))


def write_execution(connection: Connection, proposal_id: str, sealed: bytes, proof: bytes) -> None:
    """Put what was sealed anew into the row of an execution."""
    mine = update(executions).where(executions.c.proposal_id == proposal_id)
    connection.execute(mine.values(sealed=sealed, proof=proof or None))


def set_state(connection: Connection, proposal_id: str, state: State) -> None:
    connection.execute(
        update(proposals).where(proposals.c.proposal_id == proposal_id).values(state=str(state))
    )
