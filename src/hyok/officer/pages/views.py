"""The officers' pages: look at a proposal exactly as it is, and decide about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hyok.custody.quorum import ACTS, Verdict
from hyok.custody.signing import DEVELOPMENT
from hyok.errors import Malformed, NotAuthenticated
from hyok.officer.api.proposals import OPEN, proposal_out
from hyok.officer.api.who import COOKIE, services_of, session_visitor
from hyok.officer.pages.render import FOLDER, language, page
from hyok.officer.pages.sign_in import (
    CALLBACK,
    begin_sign_in,
    development_sign_in,
    end_sign_in,
    fields_of,
    sign_in_page,
    sign_out,
)
from hyok.officer.pages.words import state_word, words
from hyok.officer.sessions import check_csrf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from hyok.custody.cases import Case
    from hyok.officer.api.services import Services
    from hyok.officer.api.who import Visitor


async def home(request: Request) -> Response:
    """Show the open proposals, or where to sign in."""
    desk = services_of(request)
    if COOKIE not in request.cookies:
        return sign_in_page(request, desk)
    try:
        visitor = await session_visitor(request, desk)
    except NotAuthenticated:
        return sign_in_page(request, desk)
    now, chosen = desk.clock_ms(), language(request)
    lines = [
        {
            "id": found.proposal_id,
            "act": found.act,
            "author": found.author,
            "state": state_word(found.state, chosen),
            "missing": found.case.standing(now).missing if found.case else 0,
            "expires": _moment(found.expires_ms),
        }
        for found in await desk.actions.approvals.list()
        if found.state in OPEN or (found.case is None and found.state == "not genuine")
    ]
    return page(request, "index.html", lines=lines, **_common(visitor, desk))


async def show(request: Request) -> Response:
    """Show a proposal exactly as it would be executed."""
    desk = services_of(request)
    visitor = await session_visitor(request, desk)
    case = await desk.actions.get(_proposal_id(request))
    return _proposal_page(request, desk, visitor, case)


def _proposal_page(request: Request, desk: Services, visitor: Visitor, case: Case) -> Response:
    out = proposal_out(case, desk.clock_ms())
    chosen = language(request)
    decisions = [
        {
            "when": _moment(said.at_ms),
            "verdict": state_word(said.verdict, chosen),
            "person": said.person,
            "method": said.method,
            "reason": said.reason,
        }
        for said in out.decisions
    ]
    return page(
        request,
        "proposal.html",
        p=out,
        state=state_word(out.state, chosen),
        expires=_moment(out.expires_ms),
        decisions=decisions,
        may=_choices(request, desk, visitor, case),
        own=visitor.person == out.author,
        **_common(visitor, desk),
    )


def _choices(
    request: Request, desk: Services, visitor: Visitor, case: Case
) -> Sequence[tuple[str, str, bool]]:
    """Return what the visitor may still say: verdict, word, and whether it takes an authenticator.

    A help alone: what is refused is decided where it is done.
    """
    said = words(language(request))
    proposal = case.proposal
    state = str(case.standing(desk.clock_ms()).state)
    if state not in OPEN:
        return ()
    rule = ACTS[proposal.act]
    signs = rule.own_hand and visitor.signer.method != DEVELOPMENT
    suffix = "" if signs else "_plain"
    own = visitor.person == proposal.author
    decided = {one.person for one in case.decisions}
    found: list[tuple[str, str, bool]] = []
    roles = visitor.officer.roles
    if state != "executing":
        if own:
            found.append(("withdraw", said["withdraw"], False))
        elif roles & rule.approve:
            if visitor.person not in decided:
                found.append(("approve", said["approve" + suffix], signs))
            found.append(("refuse", said["refuse"], False))
    now = desk.clock_ms()
    ready = state != "open" or (own and not case.standing(now, by_author=True).missing)
    if ready and roles & (rule.propose | rule.approve):
        found.append(("execute", said["execute" + suffix], signs))
    return found


async def decide(request: Request) -> Response:
    """Do what a form asks for; what takes an authenticator comes by the API instead."""
    desk = services_of(request)
    visitor = await session_visitor(request, desk)
    assert visitor.session is not None
    fields = await fields_of(request)
    check_csrf(visitor.session, fields.get("csrf", ""))
    proposal, verdict = _proposal_id(request), fields.get("verdict", "")
    if verdict == "execute":
        await desk.actions.execute(visitor.signer, proposal, origin=visitor.origin)
    elif verdict in ("approve", "refuse", "withdraw"):
        await desk.actions.decide(
            *(visitor.signer, proposal, Verdict(verdict), fields.get("reason", "")),
            origin=visitor.origin,
        )
    else:
        raise Malformed("the form says nothing that is known", effect="Nothing was changed.")
    return RedirectResponse(f"/proposals/{proposal}", 303)


async def authenticators(request: Request) -> Response:
    """Show the visitor's authenticators, and how to register one."""
    desk = services_of(request)
    visitor = await session_visitor(request, desk)
    held = sorted(visitor.register.identities_of(visitor.person))
    known = [word for word in held if word.startswith("webauthn:")]
    return page(request, "authenticators.html", known=known, **_common(visitor, desk))


def page_routes() -> list[BaseRoute]:
    """Return the pages and their files."""
    return [
        Route("/", home),
        Route("/sign-in/begin", begin_sign_in),
        Route(CALLBACK, end_sign_in),
        Route("/sign-in/development", development_sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/proposals/{proposal}", show),
        Route("/proposals/{proposal}/decisions", decide, methods=["POST"]),
        Route("/authenticators", authenticators),
        Mount("/static", StaticFiles(directory=FOLDER / "static")),
    ]


def _common(visitor: Visitor, desk: Services) -> dict[str, Any]:
    assert visitor.session is not None
    return {
        "person": visitor.officer.name,
        "csrf": visitor.session.csrf,
        "development": desk.development,
    }


def _proposal_id(request: Request) -> str:
    return str(request.path_params["proposal"])[:32]


def _moment(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000))
