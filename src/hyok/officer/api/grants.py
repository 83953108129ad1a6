"""Break-glass grants: looked at, ended, reviewed.  One is asked for by a proposal."""

from __future__ import annotations

from fastapi import APIRouter, Response

from hyok.custody.break_glass import Granted
from hyok.officer.api.models import GrantOut, Page, ReviewIn
from hyok.officer.api.paging import PageNumber, PageSize, page_of
from hyok.officer.api.paths import ProposalId
from hyok.officer.api.who import Caller, Desk

router = APIRouter(prefix="/v1/break-glass-grants", tags=["break-glass"])


@router.get("")
async def list_grants(
    desk: Desk, caller: Caller, response: Response, page: PageNumber = 1, page_size: PageSize = 50
) -> Page[GrantOut]:
    """List grants, the one that ends last first."""
    del caller
    await desk.break_glass.end_past()
    now = desk.clock_ms()
    found = [grant_out(one, now) for one in await desk.break_glass.book.all()]
    return page_of(found, page, page_size, response)


@router.get("/{proposal}")
async def show_grant(proposal: ProposalId, desk: Desk, caller: Caller) -> GrantOut:
    """Show one grant."""
    del caller
    return grant_out(await desk.break_glass.book.get(proposal), desk.clock_ms())


@router.post("/{proposal}/endings", status_code=201)
async def end_grant(proposal: ProposalId, desk: Desk, caller: Caller) -> GrantOut:
    """End a grant before its hour; running gateways follow within five seconds."""
    await desk.break_glass.end(caller.signer, proposal, origin=caller.origin)
    return grant_out(await desk.break_glass.book.get(proposal), desk.clock_ms())


@router.post("/{proposal}/reviews", status_code=201)
async def review_grant(
    proposal: ProposalId, asked: ReviewIn, desk: Desk, caller: Caller
) -> GrantOut:
    """Close the review of a grant that has ended."""
    await desk.break_glass.review(caller.signer, proposal, asked.finding, origin=caller.origin)
    return grant_out(await desk.break_glass.book.get(proposal), desk.clock_ms())


def grant_out(found: Granted, now_ms: int) -> GrantOut:
    """Return a grant as it goes over the wire."""
    grant, review = found.grant, found.review or {}
    return GrantOut(
        id=grant.grant_id,
        app=grant.app,
        tenant=grant.tenant,
        bucket=grant.bucket,
        door=grant.door,
        operations=grant.operations,
        people=grant.people,
        keys=grant.keys,
        prefix=grant.prefix,
        classification=grant.classification,
        ticket=grant.ticket,
        author=grant.author,
        starts_ms=grant.starts_ms,
        ends_ms=grant.ends_ms,
        running=grant.starts_ms <= now_ms < grant.ends_ms,
        review_due_ms=found.review_due_ms,
        reviewer=review.get("reviewer", ""),
        finding=review.get("finding", ""),
    )
