"""Proposals: asked for, looked at, decided about, executed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from hyok.custody.cases import Case
from hyok.custody.proofs import challenge_of
from hyok.custody.quorum import ACTS, Act, Verdict
from hyok.errors import Refused
from hyok.identity.passkeys import encode
from hyok.officer.api.models import (
    CredentialOut,
    DecisionIn,
    DecisionOut,
    ExecutionIn,
    ExecutionOut,
    Page,
    ProposalIn,
    ProposalLine,
    ProposalOut,
    QuorumOut,
    StatementIn,
    StatementOut,
)
from hyok.officer.api.paging import PageNumber, PageSize, page_of
from hyok.officer.api.paths import ProposalId
from hyok.officer.api.signatures import signer_of
from hyok.officer.api.who import Caller, Desk

router = APIRouter(prefix="/v1/proposals", tags=["proposals"])
OPEN = frozenset({"open", "approved", "executing"})


@router.get("")
async def list_proposals(
    desk: Desk,
    caller: Caller,
    response: Response,
    state: Annotated[Literal["open", "all"], Query(description="open: not over yet.")] = "all",
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> Page[ProposalLine]:
    """List the newest proposals, the newest first."""
    del caller
    now = desk.clock_ms()
    lines = [
        ProposalLine(
            id=found.proposal_id,
            act=found.act,
            author=found.author,
            state=found.state,
            missing=found.case.standing(now).missing if found.case else 0,
            created_ms=found.created_ms,
            expires_ms=found.expires_ms,
        )
        for found in await desk.actions.approvals.list()
        if state == "all" or found.state in OPEN
    ]
    return page_of(lines, page, page_size, response)


@router.post("", status_code=201)
async def propose(
    asked: ProposalIn,
    desk: Desk,
    caller: Caller,
    response: Response,
    idempotency_key: Annotated[
        str,
        Header(
            pattern=r"^[A-Za-z0-9_-]{8,128}$",
            description="Asked again with the same key, the same proposal is returned.",
        ),
    ] = "",
) -> ProposalOut:
    """Ask for the approval of an act."""
    case = await desk.actions.propose(
        caller.signer,
        asked.act,
        dict(asked.effect),
        asked.reason,
        origin=caller.origin,
        once=idempotency_key,
    )
    response.headers["Location"] = f"/v1/proposals/{case.proposal.proposal_id}"
    return proposal_out(case, desk.clock_ms())


@router.get("/{proposal}")
async def show_proposal(proposal: ProposalId, desk: Desk, caller: Caller) -> ProposalOut:
    """Show exactly what would be executed, and who said what of it."""
    del caller
    return proposal_out(await desk.actions.get(proposal), desk.clock_ms())


@router.post("/{proposal}/statements", status_code=201)
async def draft_statement(
    proposal: ProposalId, asked: StatementIn, desk: Desk, caller: Caller
) -> StatementOut:
    """Return what the officer has to sign to say this now."""
    approvals = desk.actions.approvals
    identity = caller.signer.identity
    if asked.verdict == "execute":
        begun = await approvals.draft_beginning(proposal, identity, asked.method)
        statement, at_ms, sequence = begun.statement(), begun.at_ms, begun.sequence
    else:
        verdict = Verdict(asked.verdict)
        said = await approvals.draft(proposal, identity, asked.method, verdict, asked.reason)
        statement, at_ms, sequence = said.statement(), said.at_ms, said.sequence
    known = await desk.authenticators.of(caller.register.identities_of(caller.person))
    return StatementOut(
        statement=statement.decode(),
        at_ms=at_ms,
        sequence=sequence,
        challenge=encode(challenge_of(statement)),
        rp_id=desk.site.rp_id,
        credentials=tuple(
            CredentialOut(identity=one.identity, credential_id=encode(one.credential_id))
            for one in known
            if one.rp_id == desk.site.rp_id
        ),
    )


@router.post("/{proposal}/decisions", status_code=201)
async def decide(
    proposal: ProposalId, asked: DecisionIn, desk: Desk, caller: Caller
) -> ProposalOut:
    """Approve, refuse or withdraw exactly these bytes."""
    signer = await signer_of(caller, asked.signature, desk)
    verdict = Verdict(asked.verdict)
    case = await desk.actions.decide(signer, proposal, verdict, asked.reason, origin=caller.origin)
    return proposal_out(case, desk.clock_ms())


@router.post("/{proposal}/executions", status_code=201)
async def execute(
    proposal: ProposalId, asked: ExecutionIn, desk: Desk, caller: Caller
) -> ExecutionOut:
    """Do what was approved, once; again carries on what was broken off."""
    case = await desk.actions.get(proposal)
    if case.proposal.act is Act.EXPORT:
        raise Refused(
            "An export is written on the host that executes it.",
            code="HY-2511",
            effect="Nothing was done.",
            next_step=f"hyok approvals execute {proposal}, on that host",
        )
    signer = await signer_of(caller, asked.signature, desk)
    executed = await desk.actions.execute(signer, proposal, origin=caller.origin)
    done = executed.done
    figures = {
        name: value for name, value in done.figures.items() if isinstance(value, str | int | bool)
    }
    return ExecutionOut(proposal=proposal, said=done.said, whole=done.whole, figures=figures)


def proposal_out(case: Case, now_ms: int) -> ProposalOut:
    """Return a proposal as it goes over the wire."""
    proposal, standing = case.proposal, case.standing(now_ms)
    quorum = proposal.quorum
    return ProposalOut(
        id=proposal.proposal_id,
        act=proposal.act,
        state=standing.state,
        missing=standing.missing,
        missing_for_author=case.standing(now_ms, by_author=True).missing,
        author=proposal.author,
        reason=proposal.reason,
        tenant=proposal.tenant,
        classification=proposal.classification,
        effect=proposal.effect,
        canonical=proposal.render().decode(),
        sha256=proposal.digest,
        own_hand=ACTS[proposal.act].own_hand,
        quorum=QuorumOut(
            approvals=quorum.approvals, among=quorum.among, development=quorum.development
        ),
        created_ms=proposal.created_ms,
        expires_ms=proposal.expires_ms,
        decisions=tuple(
            DecisionOut(
                person=said.person,
                verdict=said.verdict,
                at_ms=said.at_ms,
                sequence=said.sequence,
                method=said.method,
                reason=said.reason,
            )
            for said in case.decisions
        ),
    )
