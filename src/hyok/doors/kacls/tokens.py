"""TokenJudge: is this token genuine, made for us, and for now?  Whose it is says its issuer.

The signature is PyJWT's to judge, over RS256 and nothing else, with keys of the issuers in the
settings: what a token's own header says of keys is never looked at.

Source: Google "Client-side encryption API", tokens; RFC 8725.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.doors.kacls.claims import authentication_of, authorization_of
from hyok.errors import HyokError, NotAuthenticated, Unavailable
from hyok.identity.tokens import audiences_of, read_unverified, verify_claims

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from hyok.doors.kacls.claims import Application, Authentication, Authorization
    from hyok.identity.issuer_keys import IssuerKeys
    from hyok.identity.jwks import VerifyingKey

ALGORITHMS = ("RS256",)


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody whose tokens count, and for whom they have to be made."""

    keys: IssuerKeys
    audiences: frozenset[str]
    application: Application | None = None  # of an authorization
    guests: bool = False


@dataclass(frozen=True, slots=True)
class Migration:
    """What another key service says when it moves a key."""

    service: str
    kacls_url: str
    resource_name: str


class TokenJudge:
    """One in each process.

    Args:
        authorizations: who signs for Google, by the issuer that tokens name.
        providers: who knows users, the same.
        services: other key services that may have keys unwrapped, the same.
        own_url: our address, the issuer of tokens for delegates.
        own_keys: returns the public keys of this service itself.
        own_audience: of tokens for delegates.
        skew_seconds: by how much a signer's clock may differ from ours.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        *,
        authorizations: Mapping[str, Signer],
        providers: Mapping[str, Signer],
        services: Mapping[str, Signer],
        own_url: str,
        own_keys: Callable[[], Awaitable[Sequence[VerifyingKey]]],
        own_audience: str,
        skew_seconds: float,
        clock_ms: Callable[[], int],
    ) -> None:
        self._authorizations = authorizations
        self._providers = providers
        self._services = services
        self._own_url = own_url
        self._own_keys = own_keys
        self._own_audience = own_audience
        self._skew_seconds = skew_seconds
        self._clock_ms = clock_ms

    async def authorization(self, token: str) -> Authorization:
        """Return what Google says may be done.

        Raises:
            NotAuthenticated: it is not genuine, not for us, or not for now (code HY-2680).
            Unavailable: the issuer's keys cannot be fetched, and what is remembered is too old.
        """
        signer, claims = await self._judge(token, self._authorizations)
        assert signer.application is not None
        return authorization_of(claims, signer.application)

    async def authentication(self, token: str) -> Authentication:
        """Return whom the token of an identity provider names, or one of ours for a delegate.

        Raises:
            HyokError: as `authorization` does.
        """
        if self._issuer(token) == self._own_url:
            keys = await self._own_keys()
            claims = self._verified(token, keys, self._own_url, frozenset({self._own_audience}))
            return authentication_of(claims, own=True)
        signer, claims = await self._judge(token, self._providers)
        return authentication_of(claims, guest=signer.guests)

    async def migration(self, token: str) -> Migration:
        """Return what another key service asks for.

        Raises:
            HyokError: as `authorization` does.
        """
        _, claims = await self._judge(token, self._services)
        texts = [claims.get(name) for name in ("iss", "kacls_url", "resource_name")]
        service, url, name = (one if isinstance(one, str) else "" for one in texts)
        if not url or not name:
            raise _refused("The token names no key service, or no resource.")
        return Migration(service, url, name)

    def is_of_a_service(self, token: str) -> bool:
        """Say whether a token claims to be another key service's; nothing is proven by it."""
        return self._issuer(token) in self._services

    def _issuer(self, token: str) -> str:
        try:
            return read_unverified(token).issuer
        except HyokError as error:
            raise _refused(error.cause) from error

    async def _judge(
        self, token: str, signers: Mapping[str, Signer]
    ) -> tuple[Signer, Mapping[str, object]]:
        try:
            said = read_unverified(token)
            signer = signers.get(said.issuer)
            if signer is None or said.algorithm not in ALGORITHMS:
                # Before any look at keys: such a token is not worth a fetch.
                raise _refused("The token is of nobody who signs for this, or not as they sign.")
            keys = await signer.keys.find(said.key_id)
            return signer, self._verified(token, keys, said.issuer, signer.audiences)
        except Unavailable:
            raise
        except HyokError as error:
            raise _refused(error.cause) from error

    def _verified(
        self, token: str, keys: Sequence[VerifyingKey], issuer: str, audiences: frozenset[str]
    ) -> Mapping[str, object]:
        try:
            claims = verify_claims(
                token,
                keys,
                issuer=issuer,
                algorithms=ALGORITHMS,
                now_s=self._clock_ms() / 1000,
                skew_s=self._skew_seconds,
            )
            made_for = audiences_of(claims)
        except HyokError as error:
            raise _refused(error.cause) from error
        if not made_for <= audiences:
            raise _refused("The token is made for another audience.")
        if "iat" not in claims:
            raise _refused("The token does not say when it was made (iat).")
        return claims


def _refused(cause: str) -> NotAuthenticated:
    return NotAuthenticated(cause, reason="AuthenticationFailed", code="HY-2680")
