"""The officers' pages: sign in, look at a proposal exactly as it is, decide about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from hyok.audit.record import AuditRecord
from hyok.custody.quorum import ACTS, Verdict
from hyok.custody.signing import DEVELOPMENT, oidc_identity
from hyok.errors import Malformed, NotAuthenticated
from hyok.identity.oidc import claims_digest, no_sign_in
from hyok.officer.api.proposals import OPEN, proposal_out
from hyok.officer.api.who import COOKIE, origin_of, services_of, session_visitor
from hyok.officer.pages.render import FOLDER, language, page
from hyok.officer.pages.words import state_word, words
from hyok.officer.sessions import check_csrf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from hyok.custody.cases import Case
    from hyok.officer.api.services import Services
    from hyok.officer.api.who import Visitor

ATTEMPT_COOKIE = "__Host-hyok-sign-in"
ATTEMPT_SECONDS = 300
CALLBACK = "/sign-in/callback"
FIELDS_MAX = 16


async def home(request: Request) -> Response:
    """Show the open proposals, or where to sign in."""
    desk = services_of(request)
    if COOKIE not in request.cookies:
        return _sign_in_page(request, desk)
    try:
        visitor = await session_visitor(request, desk)
    except NotAuthenticated:
        return _sign_in_page(request, desk)
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


def _sign_in_page(request: Request, desk: Services) -> Response:
    return page(
        request,
        "sign_in.html",
        provider=desk.sign_in is not None,
        development=desk.development,
    )


async def begin_sign_in(request: Request) -> Response:
    """Send the browser to the identity provider."""
    desk = services_of(request)
    if desk.sign_in is None:
        raise no_sign_in("no identity provider is set up here")
    address, attempt = await desk.sign_in.begin(desk.site.origin + CALLBACK)
    word = desk.entropy(32).hex()
    desk.attempts.put(word.encode(), attempt)
    answer = RedirectResponse(address, 303)
    # Lax: the provider sends the browser back from its own site.
    answer.set_cookie(
        *(ATTEMPT_COOKIE, word, ATTEMPT_SECONDS), secure=True, httponly=True, samesite="lax"
    )
    return answer


async def end_sign_in(request: Request) -> Response:
    """Take the provider's answer, once, from the browser that was sent."""
    desk = services_of(request)
    attempt = desk.attempts.take(request.cookies.get(ATTEMPT_COOKIE, "").encode())
    if attempt is None or desk.sign_in is None:
        raise no_sign_in("it was not begun in this browser, or too long ago")
    found, _ = await desk.sign_in.finish(attempt, dict(request.query_params))
    identity = oidc_identity(found.issuer, found.subject)
    return await _signed_in(request, identity, claims_digest(found.claims))


async def development_sign_in(request: Request) -> Response:
    """Sign in by a name, in a development installation."""
    desk = services_of(request)
    if not desk.development:
        raise no_sign_in("this is no development installation")
    fields = await _fields(request)
    return await _signed_in(request, f"{DEVELOPMENT}:{fields.get('person', '')}", "")


async def _signed_in(request: Request, identity: str, claims_sha256: str) -> Response:
    desk = services_of(request)
    officer = (await desk.actions.register.read()).person_of(identity)
    word = await desk.sessions.begin(identity, claims_sha256)
    await _record(request, "officer:sign-in", officer.person)
    said = words(language(request))
    # Not a redirect: the browser would not send the new cookie, since the chain of redirects began
    # on the provider's site.
    answer = page(
        request,
        "message.html",
        heading=said["signed_in"],
        text=officer.name,
        effect="",
        next_step="",
        go_on=said["go_on"],
        refresh="/",
    )
    answer.set_cookie(
        *(COOKIE, word, desk.sessions.times.most_ms // 1000),
        secure=True,
        httponly=True,
        samesite="strict",
    )
    answer.delete_cookie(ATTEMPT_COOKIE, secure=True, httponly=True, samesite="lax")
    return answer


async def sign_out(request: Request) -> Response:
    """End the session."""
    desk = services_of(request)
    visitor = await session_visitor(request, desk)
    assert visitor.session is not None
    check_csrf(visitor.session, (await _fields(request)).get("csrf", ""))
    await desk.sessions.end(visitor.session)
    await _record(request, "officer:sign-out", visitor.person)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return answer


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
    fields = await _fields(request)
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


async def _fields(request: Request) -> dict[str, str]:
    """Return a form's fields; the guard has bounded the body."""
    try:
        text = (await request.body()).decode()
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise Malformed("the form cannot be read", effect="Nothing was changed.") from error
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


async def _record(request: Request, action: str, person: str) -> None:
    desk = services_of(request)
    await desk.journal.record(
        AuditRecord(
            at_ms=desk.clock_ms(),
            phase="conclude",
            action=action,
            outcome="done",
            actor=f"officer:{person}",
            tenant="system",
            origin=origin_of(request),
            request_id=desk.entropy(8).hex().upper(),
        ),
        durable=True,
    )


def _moment(at_ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000))
