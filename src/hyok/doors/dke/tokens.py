"""TokenJudge: is this an Entra ID token of one of our directories, made for this key store?

The signature is PyJWT's to judge, over RS256 and nothing else, with keys that the directory itself
publishes: what a token's own header says of keys (`jku`, `x5u`, `jwk`, `x5c`) is never looked at.

Source: Microsoft "Access tokens in the Microsoft identity platform"; RFC 8725.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import HyokError, NotAuthenticated, Unavailable
from hyok.identity.tokens import read_unverified, verify_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.identity.issuer_keys import IssuerKeys
    from hyok.identity.tokens import WebIdentity

ALGORITHMS = ("RS256",)


@dataclass(frozen=True, slots=True)
class Directory:
    """One tenant of Entra ID, and its keys."""

    tenant_id: str
    keys: IssuerKeys


class TokenJudge:
    """One in each process.

    Args:
        directories: by the issuer that their tokens name.
        audiences: of tokens that are made for us, and for nobody else beside.
        skew_seconds: by how much the directory's clock may differ from ours.
        clock_ms: unix time in milliseconds.
    """

    def __init__(
        self,
        directories: Mapping[str, Directory],
        *,
        audiences: frozenset[str],
        skew_seconds: float,
        clock_ms: Callable[[], int],
    ) -> None:
        self._directories = directories
        self._audiences = audiences
        self._skew_seconds = skew_seconds
        self._clock_ms = clock_ms

    async def judge(self, token: str) -> WebIdentity:
        """Return whose token this is.

        Raises:
            NotAuthenticated: it is not genuine, not for us, or not for now (code HY-2640).
            Unavailable: the directory's keys cannot be fetched, and what is remembered is too old.
        """
        try:
            return await self._judge(token)
        except Unavailable:
            raise
        except HyokError as error:
            raise _refused(error.cause) from error

    async def _judge(self, token: str) -> WebIdentity:
        said = read_unverified(token)
        directory = self._directories.get(said.issuer)
        if directory is None or said.algorithm not in ALGORITHMS:
            # Before any look at keys: such a token is not worth a fetch.
            raise _refused("The token is of no directory of ours, or not signed as theirs are.")
        found = verify_token(
            token,
            await directory.keys.find(said.key_id),
            issuer=said.issuer,
            algorithms=ALGORITHMS,
            now_s=self._clock_ms() / 1000,
            skew_s=self._skew_seconds,
        )
        if not found.audiences <= self._audiences:
            raise _refused("The token is made for another audience.")
        if found.claims.get("tid") != directory.tenant_id:
            raise _refused("The token is another directory's.")
        return found


def _refused(cause: str) -> NotAuthenticated:
    return NotAuthenticated(cause, reason="AuthenticationFailed", code="HY-2640")
