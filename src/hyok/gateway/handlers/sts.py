"""The STS door: AssumeRoleWithWebIdentity at the root of the S3 endpoint.

A workload posts the token of its own platform and gets a session of the app that trusts it.  The
request is unsigned; the token is the proof.  Every decision is in the audit log before the answer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from hyok.audit.record import AuditRecord
from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused, Unavailable
from hyok.gateway.call import frame
from hyok.gateway.port import NoMeter
from hyok.s3 import sts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.audit.port import Journal
    from hyok.gateway.port import Exchange, Meter
    from hyok.identity.apps import App
    from hyok.identity.guesses import FailureLimit
    from hyok.identity.sessions import IssuedSession
    from hyok.identity.tokens import WebIdentity
    from hyok.identity.trusts import Trust

log = structlog.get_logger("hyok.gateway")

ACTION = "sts:assume-role"
ANONYMOUS = "anonymous"


class Identities(Protocol):
    """Judges tokens and issues sessions; `hyok.identity.web_identity` does."""

    async def identify(self, token: str, now_ms: int) -> WebIdentity: ...

    async def assume(
        self,
        identity: WebIdentity,
        role: sts.RoleAsked,
        session_name: str,
        duration_seconds: int | None,
        now_ms: int,
    ) -> tuple[App, Trust, IssuedSession]: ...


@dataclass(slots=True)
class _Case:
    """One request, and what has become known of it so far."""

    exchange: Exchange
    request_id: str
    at_ms: int
    actor: str = ANONYMOUS
    tenant: str = ""
    session: str = ""
    facts: list[str] = field(default_factory=list)  # of a proven token only
    status: int = 0


class StsDoor:
    """Answers STS requests and hands every other one on.

    Args:
        identities: judges tokens.
        journal: where decisions are recorded.
        failures: how often one client may fail.
        otherwise: answers what is not for STS.
        base_domains: hosts under which a bucket may stand as a label; those are not ours.
        clock_ms: unix time in milliseconds.
        entropy: random bytes, for request ids.
        meter: takes the numbers of each request.
    """

    def __init__(
        self,
        identities: Identities,
        journal: Journal,
        failures: FailureLimit,
        otherwise: Callable[[Exchange], Awaitable[None]],
        *,
        base_domains: tuple[str, ...],
        clock_ms: Callable[[], int],
        entropy: Callable[[int], bytes],
        meter: Meter | None = None,
    ) -> None:
        self._identities = identities
        self._journal = journal
        self._failures = failures
        self._otherwise = otherwise
        self._suffixes = tuple("." + domain.lower() for domain in base_domains)
        self._clock_ms = clock_ms
        self._entropy = entropy
        self._meter: Meter = meter or NoMeter()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        if not self._is_ours(exchange):
            await self._otherwise(exchange)
            return
        begun = time.monotonic()
        case = _Case(exchange, self._entropy(8).hex().upper(), self._clock_ms())
        reason = ""
        try:
            document = await self._serve(case)
        except HyokError as error:
            reason = code_of(error)
            await self._answer(case, sts.CODES[reason], self._document(case, reason, error))
        except Exception:
            log.exception("sts.bug", request_id=case.request_id)
            reason = "InternalFailure"
            sentence = "We encountered an internal error. Please try again."
            await self._answer(case, 500, sts.render_error(reason, sentence, case.request_id))
        else:
            await self._answer(case, 200, document)
        seconds = time.monotonic() - begun
        self._meter.request(sts.OPERATION, case.status, seconds, 0, 0)
        log.info(
            "sts.request",
            request_id=case.request_id,
            status=case.status,
            app=case.actor,
            session=case.session,
            reason=reason,
            duration_ms=round(seconds * 1000, 2),
        )

    def _is_ours(self, exchange: Exchange) -> bool:
        head = exchange.head
        path, _, query = head.target.partition(b"?")
        if head.method != "POST" or path != b"/":
            return False
        fields = dict(head.headers)
        host = fields.get(b"host", b"").decode("latin-1").lower()
        if host.partition(":")[0].endswith(self._suffixes):
            return False  # the root of a bucket: a form upload
        return sts.is_ours(fields.get(b"content-type", b"").decode("latin-1"), query)

    async def _serve(self, case: _Case) -> bytes:
        if self._failures.is_over(case.exchange.head.peer):
            # Before any work and without a record: a flood must not fill the log.
            raise Refused("Rate exceeded", reason="Throttling")
        try:
            return await self._assume(case)
        except HyokError as error:
            if not isinstance(error, Unavailable):
                self._failures.note(case.exchange.head.peer)
            outcome = "failed" if isinstance(error, Unavailable) else "denied"
            await self._record(case, outcome, f"{type(error).__name__}:{code_of(error)}")
            raise

    async def _assume(self, case: _Case) -> bytes:
        asked = sts.parse_assume(await _fields(case.exchange))
        identity = await self._identities.identify(asked.token, case.at_ms)
        case.facts += [
            f"role:{asked.role.app_id}",
            f"issuer:{identity.issuer}",
            f"subject:{identity.subject}",
        ]
        app, trust, session = await self._identities.assume(
            identity, asked.role, asked.session_name, asked.duration_seconds, case.at_ms
        )
        case.actor, case.tenant = app.app_id, app.tenant
        case.session = f"{session.access_key}:{session.name}"
        case.facts.append(f"trust:{trust.trust_id}")
        await self._record(case, "done", "")
        return sts.render_assumed(
            sts.Assumed(
                access_key=session.access_key,
                secret=session.secret.get_secret_value(),
                session_token=session.token.get_secret_value(),
                expires_ms=session.expires_ms,
                role_arn=f"arn:hyok:sts::{app.tenant}:assumed-role/{app.app_id}",
                session_name=session.name,
                subject=identity.subject,
                audience=trust.audience,
                issuer=identity.issuer,
            ),
            case.request_id,
        )

    async def _record(self, case: _Case, outcome: str, error: str) -> None:
        """Record the decision; durable on return."""
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase="conclude",
                action=ACTION,
                outcome=outcome,
                actor=case.actor,
                tenant=case.tenant,
                origin=case.exchange.head.peer,
                request_id=case.request_id,
                session=case.session,
                reasons=tuple(case.facts),
                error=error,
            ),
            durable=True,
        )

    def _document(self, case: _Case, code: str, error: HyokError) -> bytes:
        message = f"{error.cause} ({error.code})" if error.code else error.cause
        return sts.render_error(code, message, case.request_id)

    async def _answer(self, case: _Case, status: int, document: bytes) -> None:
        case.status = status
        headers = frame(case.request_id, "", case.at_ms)
        headers = [pair for pair in headers if pair[0] != "x-amz-id-2"]
        headers += [
            ("x-amzn-requestid", case.request_id),
            ("content-type", "text/xml"),
            ("cache-control", "no-store"),
        ]
        await case.exchange.respond(status, headers, document)


def code_of(error: HyokError) -> str:
    """Return the STS code of an expected failure."""
    if error.reason in sts.CODES:
        return error.reason
    if isinstance(error, Unavailable):
        return "ServiceUnavailable"
    if isinstance(error, Malformed):
        return "ValidationError"
    return "AccessDenied" if isinstance(error, NotAuthenticated | Refused) else "InternalFailure"


async def _fields(exchange: Exchange) -> dict[str, str]:
    """Return the parameters of query and form.

    Raises:
        Malformed: too long, or a name in both.
    """
    query = sts.parse_form(exchange.head.target.partition(b"?")[2])
    length = exchange.content_length
    if exchange.has_body and (length is None or length > sts.FORM_BYTES_MAX):
        raise Malformed(
            f"The form must have a length of at most {sts.FORM_BYTES_MAX} bytes.",
            reason="ValidationError",
        )
    form = sts.parse_form(await exchange.read_whole(sts.FORM_BYTES_MAX)) if length else {}
    if query.keys() & form.keys():
        raise Malformed("A parameter is given twice.", reason="ValidationError")
    return query | form
