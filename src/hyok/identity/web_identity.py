"""WebIdentities: from a workload's token to a session of the app that trusts it.

`identify` proves whose token it is, `assume` decides what it is worth here.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.errors import Malformed, NotAuthenticated, Refused
from hyok.identity import apps, trusts
from hyok.identity.tokens import read_unverified, verify_token
from hyok.s3.sts import DURATION_SECONDS_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.database.engine import Database
    from hyok.identity.apps import App
    from hyok.identity.issuer_keys import IssuerKeys
    from hyok.identity.sessions import IssuedSession, Sessions
    from hyok.identity.tokens import WebIdentity
    from hyok.identity.trusts import Trust
    from hyok.s3.sts import RoleAsked


class WebIdentities:
    """Token issuers and the trusts of apps in them.

    Args:
        database: where trusts stand.
        sessions: issues sessions.
        issuers: the issuers of the settings, by name; no other is ever asked or believed.
        skew_seconds: by how much an issuer's clock may differ from ours.
        now_ms: unix milliseconds for the rows.
    """

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        issuers: Mapping[str, IssuerKeys],
        *,
        skew_seconds: float,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._issuers = issuers
        self._skew_s = skew_seconds
        self._now_ms = now_ms

    async def identify(self, token: str, now_ms: int) -> WebIdentity:
        """Return whose token this is.

        Raises:
            NotAuthenticated: it is not genuine, not for now, or of an issuer that is not in the
                settings (reason ``InvalidIdentityToken`` or ``ExpiredTokenException``).
            Unavailable: the issuer's keys cannot be fetched (reason ``IDPCommunicationError``).
        """
        said = read_unverified(token)
        issuer = self._issuers.get(said.issuer)
        if issuer is None:
            raise NotAuthenticated(
                "The token's issuer is not registered here.", reason="InvalidIdentityToken"
            )
        if said.algorithm not in issuer.algorithms:
            # Before any look at keys: such a token is not worth a fetch.
            raise NotAuthenticated(
                "The token is not signed the way its issuer signs.", reason="InvalidIdentityToken"
            )
        return verify_token(
            token,
            await issuer.find(said.key_id),
            issuer=issuer.issuer,
            algorithms=issuer.algorithms,
            now_s=now_ms / 1000,
            skew_s=self._skew_s,
        )

    async def assume(
        self,
        identity: WebIdentity,
        role: RoleAsked,
        session_name: str,
        duration_seconds: int | None,
        now_ms: int,
    ) -> tuple[App, Trust, IssuedSession]:
        """Return a session of the app that ``role`` names, and the trust that allowed it.

        Raises:
            Refused: no trust fits; which part does not is told only of the audience, to whoever
                holds a genuine token (reason ``AccessDenied``).
            NotAuthenticated: the token is for another audience (``InvalidIdentityToken``).
            Malformed: longer than the trust allows (``ValidationError``).
            Unavailable: the database or the HSM did not answer.
        """
        app, held = await self._database.read(
            lambda c: (apps.find_app(c, role.app_id), trusts.list_trusts(c, role.app_id))
        )
        known = app is not None and app.state == "active" and role.tenant in ("", app.tenant)
        fitting = [
            trust
            for trust in held
            if known
            and trust.state == "active"
            and trust.issuer == identity.issuer
            and trust.fits_subject(identity.subject)
        ]
        if app is None or not fitting:
            raise Refused(
                "Not authorized to perform sts:AssumeRoleWithWebIdentity", reason="AccessDenied"
            )
        fitting = [trust for trust in fitting if trust.audience in identity.audiences]
        if not fitting:
            raise NotAuthenticated(
                "The token is made for another audience.", reason="InvalidIdentityToken"
            )
        trust = max(fitting, key=lambda one: one.duration_seconds_max)
        seconds = duration_seconds or min(DURATION_SECONDS_DEFAULT, trust.duration_seconds_max)
        if seconds > trust.duration_seconds_max:
            raise Malformed(
                f"DurationSeconds is more than the {trust.duration_seconds_max} that this role "
                "allows.",
                reason="ValidationError",
            )
        return app, trust, await self._sessions.issue(trust, session_name, seconds, now_ms)

    # -- the people's side: who is trusted ---------------------------------------------------

    async def add_trust(self, trust: Trust) -> Trust:
        """Register a trust and return it as it stands.

        Raises:
            Malformed: a field cannot stand, or the issuer is not in the settings.
            NotFound: no active app of this id.
            Conflict: it is registered already.
        """
        trusts.check_trust(trust)
        if trust.issuer not in self._issuers:
            raise Malformed(
                f"The issuer {trust.issuer} is not in the settings.",
                effect="Nothing was registered.",
                next_step="name it in [[web_identity.issuers]], exactly as its tokens do",
            )
        fresh = replace(
            trust,
            trust_id=f"trust-{secrets.token_hex(8)}",
            state="active",
            created_ms=self._now_ms(),
        )
        await self._database.run(lambda c: trusts.add_trust(c, fresh))
        return fresh

    async def list_trusts(self, app_id: str | None = None) -> Sequence[Trust]:
        """Return the trusts of an app, or of all, revoked ones too."""
        return await self._database.read(lambda c: trusts.list_trusts(c, app_id))

    async def revoke_trust(self, trust_id: str) -> App:
        """Revoke a trust and its sessions: everywhere within five seconds; return its app.

        Raises:
            NotFound: no such trust.
        """
        now_ms = self._now_ms()
        app_id = await self._database.run(lambda c: trusts.revoke_trust(c, trust_id, now_ms))
        self._sessions.forget()
        app = await self._database.read(lambda c: apps.find_app(c, app_id))
        assert app is not None  # a foreign key holds it
        return app
