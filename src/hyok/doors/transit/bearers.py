"""Where clients of Vault show their token, and the namespace beside it.

Source: docs/keyservices/transit.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.doors import bearers
from hyok.identity.door_tokens import unknown_token

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADERS = frozenset({b"x-vault-token"})


def token_in(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the token that a request shows; the same one may be shown twice.

    Raises:
        NotAuthenticated: none, or different ones.
    """
    return bearers.token_in(headers, _HEADERS)


def check_namespace(headers: Sequence[tuple[bytes, bytes]], tenant: str) -> None:
    """Return quietly if the namespace asked for, where one is, is the tenant of the token.

    Raises:
        NotAuthenticated: it is another one.
    """
    for name, value in headers:
        if name == b"x-vault-namespace":
            asked = value.decode("latin-1").strip("/")
            if asked and asked != tenant:
                raise unknown_token()
