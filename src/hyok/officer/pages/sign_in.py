"""Signing in and out in a browser: at the identity provider, or by a name in development."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.responses import RedirectResponse

from hyok.audit.record import AuditRecord
from hyok.custody.signing import DEVELOPMENT, oidc_identity
from hyok.errors import Malformed
from hyok.identity.oidc import claims_digest, no_sign_in
from hyok.officer.api.who import COOKIE, origin_of, services_of, session_visitor
from hyok.officer.pages.render import language, page
from hyok.officer.pages.words import words
from hyok.officer.sessions import check_csrf

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from hyok.officer.api.services import Services

ATTEMPT_COOKIE = "__Host-hyok-sign-in"
ATTEMPT_SECONDS = 300
CALLBACK = "/sign-in/callback"
FIELDS_MAX = 16


def sign_in_page(request: Request, desk: Services) -> Response:
    """Return where one signs in."""
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
    fields = await fields_of(request)
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
    check_csrf(visitor.session, (await fields_of(request)).get("csrf", ""))
    await desk.sessions.end(visitor.session)
    await _record(request, "officer:sign-out", visitor.person)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict")
    return answer


async def fields_of(request: Request) -> dict[str, str]:
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
