"""Bearers: who stands behind the token of a request, static or of a Kubernetes login.

A login's token is `hys.ACCESS_KEY.SECRET.SESSION`: a session as the S3 door gives it out, with its
secret, so that neither what a session shows there nor a static token alone is worth anything here.
Doors that take tokens take the same ones.

Source: docs/keyservices/transit.md; docs/adr/0033.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hyok.errors import NotAuthenticated
from hyok.identity.door_tokens import unknown_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.identity.access_keys import Credential
    from hyok.identity.door_tokens import Bearer
    from hyok.identity.sessions import IssuedSession
    from hyok.vocabulary import Principal

SESSION_PREFIX = "hys."
TOKEN_CHARS_MAX = 4096


class Tokens(Protocol):
    """Finds static tokens; `hyok.identity.door_tokens` does."""

    async def find(self, token: str) -> Bearer: ...


class Sessions(Protocol):
    """Finds sessions; `hyok.identity.sessions` does."""

    async def find(self, access_key: str, token: str, now_ms: int) -> Credential: ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a request comes from."""

    principal: Principal
    via: str  # token | kubernetes
    accessor: str  # names the token in logs and lists; lets nobody in
    expires_ms: int


class Bearers:
    """Knows both kinds of tokens."""

    def __init__(self, tokens: Tokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def find(self, token: str, now_ms: int) -> Holder:
        """Return whom a token stands for.

        Raises:
            NotAuthenticated: nobody; one answer to every cause.
            Unavailable: it cannot be known now.
        """
        if not token.startswith(SESSION_PREFIX):
            found = await self._tokens.find(token)
            return Holder(found.principal, "token", found.token_id, found.expires_ms)
        parts = token.split(".")
        if len(parts) != 4:
            raise unknown_token()
        _, access_key, secret, sealed = parts
        try:
            session = await self._sessions.find(access_key, sealed, now_ms)
        except NotAuthenticated as error:
            raise unknown_token() from error
        known = session.secret.get_secret_value()
        if not hmac.compare_digest(known.encode(), secret.encode()) or session.expires_ms is None:
            raise unknown_token()
        return Holder(session.principal, "kubernetes", access_key, session.expires_ms)


def token_of_session(session: IssuedSession) -> str:
    """Return the token of a login."""
    secret, sealed = session.secret.get_secret_value(), session.token.get_secret_value()
    return f"{SESSION_PREFIX}{session.access_key}.{secret}.{sealed}"


def token_in(headers: Sequence[tuple[bytes, bytes]], also: frozenset[bytes] = frozenset()) -> str:
    """Return the token that a request shows; the same one may be shown twice.

    ``also``: headers beside `Authorization` in which it may stand.

    Raises:
        NotAuthenticated: none, or different ones.
    """
    shown = {value for name, value in headers if name in also and value}
    for name, value in headers:
        kind, _, word = value.partition(b" ")
        if name == b"authorization" and kind.lower() == b"bearer":
            shown.add(word.strip())
    if len(shown) != 1:
        raise unknown_token()
    (found,) = shown
    if len(found) > TOKEN_CHARS_MAX or not found.isascii():
        raise unknown_token()
    return found.decode("ascii")
