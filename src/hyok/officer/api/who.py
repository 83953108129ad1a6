"""Who is asking: a token of the identity provider, a browser's session, a development login.

Each leads to one person of the register, and only then to anything else.  What is refused here is
on the audit log, and a client that fails often has to wait.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from hyok.audit.record import AuditRecord
from hyok.custody.officers import Register
from hyok.custody.quorum import Officer, Role
from hyok.custody.signing import DevelopmentSigner, OidcSigner, Signer, oidc_identity
from hyok.errors import HyokError, NotAuthenticated, Refused, Tampered
from hyok.identity.oidc import claims_digest, no_sign_in
from hyok.officer.api.services import Services
from hyok.officer.sessions import Session, check_csrf

COOKIE = "__Host-hyok-session"
CSRF_HEADER = "x-csrf-token"
DEVELOPMENT_SCHEME = "development"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TOO_MANY = "TooManyFailures"
READERS_OF_RECORDS = frozenset({Role.AUDITOR, Role.SECURITY, Role.PRIVACY})


@dataclass(frozen=True, slots=True)
class Visitor:
    """An officer who has proved who they are.  ``signer`` vouches for the sign-in."""

    officer: Officer
    register: Register
    signer: Signer
    origin: str
    session: Session | None = None

    @property
    def person(self) -> str:
        """Who it is."""
        return self.officer.person


def services_of(request: Request) -> Services:
    """Return what this process stands on."""
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


Desk = Annotated[Services, Depends(services_of)]


def origin_of(request: Request) -> str:
    """Return the client's address, as the connection has it; no header is believed."""
    return request.client.host if request.client is not None else "unknown"


async def visitor_of(request: Request, desk: Desk) -> Visitor:
    """Return who is asking.

    Raises:
        NotAuthenticated: nobody we know, or too often somebody we do not (429).
        Refused: a request of another site in an officer's browser (code HY-2516).
    """
    origin = origin_of(request)
    if desk.failures.is_over(origin):
        raise NotAuthenticated(
            "Too many sign-ins have failed from there.", reason=TOO_MANY, code="HY-2517"
        )
    try:
        signer, session = await _proved(request, desk)
        register = await desk.actions.register.read()
        officer = register.person_of(signer.identity)
    except NotAuthenticated:
        desk.failures.note(origin)
        raise
    request.state.person = officer.person
    if session is not None and request.method not in SAFE:
        check_csrf(session, request.headers.get(CSRF_HEADER, ""))
    return Visitor(officer, register, signer, origin, session)


Caller = Annotated[Visitor, Depends(visitor_of)]


async def auditor_of(caller: Caller) -> Visitor:
    """Return who is asking, if they may look into the audit log.

    Raises:
        Refused: the role does not allow it (code HY-2502).
    """
    if not caller.officer.roles & READERS_OF_RECORDS:
        raise Refused(f"It takes one of {', '.join(sorted(READERS_OF_RECORDS))}.", code="HY-2502")
    return caller


Auditor = Annotated[Visitor, Depends(auditor_of)]


async def session_visitor(request: Request, desk: Services) -> Visitor:
    """Return who is signed in in this browser; for pages, whose forms hold the CSRF word.

    Raises:
        NotAuthenticated: nobody is.
    """
    origin = origin_of(request)
    word = request.cookies.get(COOKIE, "")
    if not word:
        raise no_sign_in("nobody is signed in in this browser")
    session = await desk.sessions.find(word)
    signer = session_signer(session, desk)
    register = await desk.actions.register.read()
    officer = register.person_of(signer.identity)
    request.state.person = officer.person
    return Visitor(officer, register, signer, origin, session)


async def _proved(request: Request, desk: Services) -> tuple[Signer, Session | None]:
    shown = request.headers.get("authorization", "")
    word = request.cookies.get(COOKIE, "")
    if shown:  # a header comes from a program, never by itself from a browser
        return await _of_header(shown, desk), None
    if not word:
        raise no_sign_in("nothing says who asks")
    session = await desk.sessions.find(word)
    return session_signer(session, desk), session


async def _of_header(shown: str, desk: Services) -> Signer:
    scheme, _, value = shown.partition(" ")
    if scheme.lower() == DEVELOPMENT_SCHEME:
        if not desk.development:
            raise NotAuthenticated(
                "This is no development installation.",
                code="HY-2508",
                effect="Nothing was changed.",
                next_step="hyok login",
            )
        return DevelopmentSigner(value, desk.box)
    if scheme.lower() != "bearer" or desk.sign_in is None:
        raise no_sign_in("this way of signing in is not known here")
    found = await desk.sign_in.judge.shown(value)
    identity = oidc_identity(found.issuer, found.subject)
    return OidcSigner(identity, claims_digest(found.claims), desk.box)


def session_signer(session: Session, desk: Services) -> Signer:
    """Return what vouches for the sign-in that a session began with."""
    kind, _, value = session.identity.partition(":")
    if kind == DEVELOPMENT_SCHEME:
        if not desk.development:
            raise no_sign_in("this is no development installation")
        return DevelopmentSigner(value, desk.box)
    return OidcSigner(session.identity, session.claims_sha256, desk.box)


async def note_denied(request: Request, error: HyokError) -> None:
    """Have a refusal on the audit log: who, from where, what, why."""
    if error.reason == TOO_MANY:
        return  # what went before it is there; more of the same would only fill the log
    desk = services_of(request)
    person = getattr(request.state, "person", "")
    route = request.scope.get("route")
    path = str(getattr(route, "path", "") or "page")
    await desk.journal.record(
        AuditRecord(
            at_ms=desk.clock_ms(),
            phase="conclude",
            action=f"officer-api:{request.method} {path}",
            outcome="failed" if isinstance(error, Tampered) else "denied",
            actor=f"officer:{person}" if person else "anonymous",
            tenant="system",
            origin=origin_of(request),
            request_id=_request_id(request),
            error=f"{type(error).__name__}:{error.code or error.reason}",
        ),
        durable=True,  # before anybody is told; how often that can be, the failure limit bounds
    )


def _request_id(request: Request) -> str:
    named = str(request.path_params.get("proposal", ""))
    return named if len(named) == 16 and named.isalnum() else secrets.token_hex(8).upper()
