"""OidcClient: signing a person in at an identity provider, by authorization code with PKCE.

What a browser brings back is believed in nothing: only a token that the provider signed, for us, in
answer to this very attempt (nonce), says who it is.

Source: OpenID Connect Core 1.0 sections 3.1.2 and 3.1.3; RFC 7636 (PKCE); RFC 9207 (`iss` in the
answer); RFC 9700 (best current practice).
"""

from __future__ import annotations

import json
import secrets
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from hyok.errors import Malformed, NotAuthenticated, Refused, Unavailable
from hyok.identity.tokens import read_unverified, verify_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.identity.issuer_keys import IssuerKeys
    from hyok.identity.tokens import WebIdentity

ANSWER_CHARS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class OidcClient:
    """How we are known at one provider."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ("openid",)
    audiences: frozenset[str] = frozenset()  # of tokens that are shown to us; else the client id
    acr: frozenset[str] = frozenset()  # how surely it must have known the person; empty: any
    secret: str = field(default="", repr=False)
    cli_client_id: str = ""  # of programs on officers' own machines; empty: the same
    skew_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the provider is asked, as its configuration says."""

    authorization: str
    token: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in that has begun: kept by whoever began it, and good for one answer."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider handed over."""

    id_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)


def begin(client: OidcClient, endpoints: Endpoints, redirect_uri: str) -> tuple[str, Attempt]:
    """Return the address to send the person to, and what to keep until they are back."""
    attempt = Attempt(
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(48),
        redirect_uri,
    )
    asked = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(client.scopes),
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": _challenge(attempt.verifier),
        "code_challenge_method": "S256",
    }
    if client.acr:
        asked["acr_values"] = " ".join(sorted(client.acr))
    join = "&" if urlsplit(endpoints.authorization).query else "?"
    return f"{endpoints.authorization}{join}{urlencode(asked, quote_via=quote)}", attempt


def code_of(client: OidcClient, attempt: Attempt, answer: Mapping[str, str]) -> str:
    """Return the code of the provider's answer to ``attempt``.

    Raises:
        NotAuthenticated: it answers something else, or says no (code HY-2517).
    """
    if not compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
        raise no_sign_in("the answer belongs to another sign-in")
    if answer.get("iss", client.issuer) != client.issuer:
        raise no_sign_in("the answer is another provider's")
    if "error" in answer:
        word = "".join(c for c in answer["error"][:64] if c.isalnum() or c == "_")
        raise no_sign_in(f"the identity provider says {word}")
    code = answer.get("code", "")
    if not 1 <= len(code) <= ANSWER_CHARS_MAX:
        raise no_sign_in("the answer holds no code")
    return code


def code_form(client: OidcClient, attempt: Attempt, code: str) -> dict[str, str]:
    """Return what the provider is asked to exchange for tokens."""
    return {
        "grant_type": "authorization_code",
        "client_id": client.client_id,
        "code": code,
        "redirect_uri": attempt.redirect_uri,
        "code_verifier": attempt.verifier,
    }


def refresh_form(client: OidcClient, refresh_token: str) -> dict[str, str]:
    """Return what the provider is asked for a fresh token."""
    return {
        "grant_type": "refresh_token",
        "client_id": client.client_id,
        "refresh_token": refresh_token,
    }


def form_headers(client: OidcClient) -> dict[str, str]:
    """Return how we prove who we are where a secret was agreed on.  Source: RFC 6749, 2.3.1."""
    if not client.secret:
        return {}
    pair = f"{quote(client.client_id, safe='')}:{quote(client.secret, safe='')}"
    return {"authorization": "Basic " + b64encode(pair.encode()).decode()}


def parse_tokens(status: int, raw: bytes) -> Tokens:
    """Return the tokens of the provider's answer.

    Raises:
        NotAuthenticated: it does not take the code (code HY-2517).
        Unavailable: it is not itself.
    """
    if status >= 500 or status == 429:
        raise Unavailable(f"the identity provider answers with status {status}", code="HY-3401")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        found = None
    if status != 200 or not isinstance(found, dict):
        raise no_sign_in("the identity provider does not take the code")
    token, refresh = found.get("id_token"), found.get("refresh_token", "")
    if not isinstance(token, str) or not isinstance(refresh, str):
        raise no_sign_in("the identity provider hands over no ID token")
    return Tokens(token, refresh)


def parse_endpoints(raw: bytes, issuer: str) -> Endpoints:
    """Return where a provider is asked.

    Raises:
        Malformed: its configuration cannot stand.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("The identity provider's configuration is not JSON.") from None
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise Malformed("The configuration found there is another provider's.")
    addresses = [found.get("authorization_endpoint"), found.get("token_endpoint")]
    for address in addresses:
        if not isinstance(address, str) or urlsplit(address).scheme != "https":
            raise Malformed("The identity provider names no https address to sign in at.")
    methods = found.get("code_challenge_methods_supported", ["S256"])
    if not isinstance(methods, list) or "S256" not in methods:
        raise Malformed("The identity provider takes no PKCE with S256.")
    return Endpoints(str(addresses[0]), str(addresses[1]))


class OidcJudge:
    """Says whose a token is.  One in each process.

    Args:
        client: how we are known.
        keys: the provider's signing keys, remembered and fetched anew.
        clock_ms: unix time in milliseconds.
    """

    def __init__(self, client: OidcClient, keys: IssuerKeys, clock_ms: Callable[[], int]) -> None:
        self.client = client
        self._keys = keys
        self._clock_ms = clock_ms

    async def shown(self, token: str) -> WebIdentity:
        """Return whose token this is that somebody shows us as theirs.

        Raises:
            NotAuthenticated: it is not genuine, not for us, or has expired.
            Refused: the provider was not sure enough of the person (code HY-2518).
            Unavailable: the provider's keys cannot be fetched.
        """
        found = await self._genuine(token)
        ours = {self.client.client_id, self.client.cli_client_id or self.client.client_id}
        if not found.audiences & (self.client.audiences or ours):
            raise no_sign_in("the token is made for another audience")
        self._check_acr(found)
        return found

    async def answered(self, token: str, nonce: str) -> WebIdentity:
        """Return whose ID token this is, handed over in answer to the attempt of ``nonce``.

        Raises:
            As `shown`, and NotAuthenticated: it answers another attempt.
        """
        found = await self._genuine(token)
        client_id = self.client.client_id
        others = len(found.audiences) > 1 or "azp" in found.claims
        if client_id not in found.audiences or (others and found.claims.get("azp") != client_id):
            raise no_sign_in("the token is made for another audience")
        said = found.claims.get("nonce")
        if not isinstance(said, str) or not compare_digest(said.encode(), nonce.encode()):
            raise no_sign_in("the token answers another sign-in")
        self._check_acr(found)
        return found

    async def _genuine(self, token: str) -> WebIdentity:
        said = read_unverified(token)
        if said.issuer != self.client.issuer or said.algorithm not in self._keys.algorithms:
            raise no_sign_in("the token is another issuer's")
        return verify_token(
            token,
            await self._keys.find(said.key_id),
            issuer=self.client.issuer,
            algorithms=self._keys.algorithms,
            now_s=self._clock_ms() / 1000,
            skew_s=self.client.skew_s,
        )

    def _check_acr(self, found: WebIdentity) -> None:
        if self.client.acr and found.claims.get("acr") not in self.client.acr:
            raise Refused(
                "The identity provider was not sure enough who this is (acr).",
                code="HY-2518",
                effect="Nothing was changed.",
                next_step="sign in with the stronger means that the provider offers",
            )


class OidcSignIn:
    """The whole exchange, for whoever can reach the provider.

    Args:
        judge: says whose a token is.
        discover: returns where the provider is asked.
        post: sends a form with headers to an address; returns status and body.
    """

    def __init__(
        self,
        judge: OidcJudge,
        discover: Callable[[], Awaitable[Endpoints]],
        post: Callable[[str, Mapping[str, str], Mapping[str, str]], Awaitable[tuple[int, bytes]]],
    ) -> None:
        self.judge = judge
        self._discover = discover
        self._post = post

    async def begin(self, redirect_uri: str) -> tuple[str, Attempt]:
        """Return the address to send the person to, and what to keep until they are back."""
        return begin(self.judge.client, await self._discover(), redirect_uri)

    async def finish(
        self, attempt: Attempt, answer: Mapping[str, str]
    ) -> tuple[WebIdentity, Tokens]:
        """Return who signed in.

        Raises:
            NotAuthenticated, Refused, Unavailable: nobody did.
        """
        client = self.judge.client
        code = code_of(client, attempt, answer)
        tokens = await self._ask(code_form(client, attempt, code))
        return await self.judge.answered(tokens.id_token, attempt.nonce), tokens

    async def refresh(self, refresh_token: str) -> tuple[WebIdentity, Tokens]:
        """Return the person again, with fresh tokens.

        Raises:
            NotAuthenticated: the provider wants them to sign in anew.
        """
        tokens = await self._ask(refresh_form(self.judge.client, refresh_token))
        return await self.judge.shown(tokens.id_token), tokens

    async def _ask(self, form: Mapping[str, str]) -> Tokens:
        endpoints = await self._discover()
        status, raw = await self._post(endpoints.token, form, form_headers(self.judge.client))
        return parse_tokens(status, raw)


def claims_digest(claims: Mapping[str, object]) -> str:
    """Return the SHA-256 of a token's claims, hex."""
    text = json.dumps(claims, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def no_sign_in(cause: str) -> NotAuthenticated:
    """Return the error of a sign-in that failed."""
    return NotAuthenticated(
        f"Signing in failed: {cause}.",
        code="HY-2517",
        effect="Nobody was signed in.",
        next_step="sign in anew",
    )


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
