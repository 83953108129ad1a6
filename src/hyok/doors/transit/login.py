"""Logins: a workload of Kubernetes shows its service account's token and gets one of ours.

The role is the name of an app, and the app's trusts (`hyok apps trust add`) say whose tokens may
act as it.  Every decision is in the audit log before the answer.

Source: HashiCorp Vault, "Kubernetes auth method (API)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hyok.audit.record import AuditRecord
from hyok.doors.bearers import Holder, token_of_session
from hyok.doors.transit import wire
from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused, Unavailable
from hyok.identity.door_tokens import GRANT
from hyok.s3.sts import RoleAsked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.audit.port import Journal
    from hyok.identity.apps import App
    from hyok.identity.sessions import IssuedSession
    from hyok.identity.tokens import WebIdentity
    from hyok.identity.trusts import Trust

ACTION = "door:login"
NAME = "kubernetes"
JWT_CHARS_MAX = 8192


class Identities(Protocol):
    """Judges tokens and issues sessions; `hyok.identity.web_identity` does."""

    async def identify(self, token: str, now_ms: int) -> WebIdentity: ...

    async def assume(
        self,
        identity: WebIdentity,
        role: RoleAsked,
        session_name: str,
        duration_seconds: int | None,
        now_ms: int,
    ) -> tuple[App, Trust, IssuedSession]: ...


class Logins:
    """Turns a service account's token into one of this door.

    Args:
        identities: judges tokens.
        journal: where decisions are recorded.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self, identities: Identities, journal: Journal, clock_ms: Callable[[], int]
    ) -> None:
        self._identities = identities
        self._journal = journal
        self._clock_ms = clock_ms

    async def login(
        self, body: Mapping[str, object], request_id: str, origin: str
    ) -> tuple[str, Holder]:
        """Return a new token, and whom it stands for.

        Raises:
            NotAuthenticated: the token is not genuine or not for now, or no app of this name
                trusts it; one answer to every cause (code HY-2678).
            Malformed: role or jwt are missing.
            Unavailable: the issuer, the database or the HSM did not answer.
        """
        role, jwt = wire.text_of(body, "role"), wire.text_of(body, "jwt")
        if not role:
            raise wire.malformed("missing role")
        if not jwt or len(jwt) > JWT_CHARS_MAX:
            raise wire.malformed("missing jwt")
        facts: list[str] = []
        try:
            token, holder = await self._assume(role, jwt, facts)
        except HyokError as error:
            outcome = "failed" if isinstance(error, Unavailable) else "denied"
            await self._record(request_id, origin, facts, outcome, error=error)
            if isinstance(error, NotAuthenticated | Refused | Malformed):
                raise NotAuthenticated(
                    "No app of this name trusts this token.", code="HY-2678"
                ) from error
            raise
        await self._record(request_id, origin, facts, "done", holder)
        return token, holder

    async def _assume(self, role: str, jwt: str, facts: list[str]) -> tuple[str, Holder]:
        now_ms = self._clock_ms()
        identity = await self._identities.identify(jwt, now_ms)
        facts += [f"issuer:{identity.issuer}", f"subject:{identity.subject}"]
        app, trust, session = await self._identities.assume(
            identity, RoleAsked(tenant="", app_id=role), "transit", None, now_ms
        )
        facts += [f"role:{app.app_id}", f"trust:{trust.trust_id}"]
        if app.grants != {GRANT}:
            raise Refused("The app is for more than keys of doors.", reason="AccessDenied")
        holder = Holder(app.principal, NAME, session.access_key, session.expires_ms)
        return token_of_session(session), holder

    async def _record(
        self,
        request_id: str,
        origin: str,
        facts: list[str],
        outcome: str,
        holder: Holder | None = None,
        error: HyokError | None = None,
    ) -> None:
        """Record the decision; durable on return."""
        await self._journal.record(
            AuditRecord(
                at_ms=self._clock_ms(),
                phase="conclude",
                action=ACTION,
                outcome=outcome,
                actor=holder.principal.id if holder is not None else "anonymous",
                tenant=holder.principal.tenant if holder is not None else "",
                origin=origin,
                request_id=request_id,
                session=holder.accessor if holder is not None else "",
                reasons=tuple(facts),
                error=""
                if error is None
                else f"{type(error).__name__}:{error.reason or error.code}",
            ),
            durable=True,
        )
