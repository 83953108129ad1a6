"""Where keys are fetched from, and how other key services are asked: imported when needed.

The client for https takes half a second to import, which no other door needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.doors.kacls.config import AuthorizationSettings
from hyok.doors.kacls.tokens import ALGORITHMS
from hyok.identity.config import IssuerSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hyok.doors.kacls.config import ProviderSettings, ServiceSettings

FETCH_SECONDS_MAX = 3.0


def key_source(
    issuer: str, signer: AuthorizationSettings | ProviderSettings
) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches the key set of a signer."""
    from hyok.identity.issuer_fetch import source_of  # noqa: PLC0415

    uri = signer.jwks_uri
    if isinstance(signer, AuthorizationSettings):
        uri = signer.keys_address
    source = IssuerSettings(
        # Google names itself by a mail address; where its keys are is an address in any case.
        issuer=issuer if issuer.startswith("https://") else uri,
        jwks_uri="" if signer.jwks_file else uri,
        jwks_file=signer.jwks_file,
        ca_file=signer.ca_file,
        algorithms=ALGORITHMS,
    )
    return source_of(source, FETCH_SECONDS_MAX)


def certs_source(service: ServiceSettings) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches the key set of another key service."""

    async def fetch() -> bytes:
        from hyok.doors.kacls.peers import certs_of  # noqa: PLC0415

        return await certs_of(service)

    return fetch


async def unwrap_at(service: ServiceSettings, body: Mapping[str, str], seconds_max: float) -> bytes:
    """Return the key that another service unwraps.

    Raises:
        Unavailable: it does not answer, or not with a key (code HY-2688).
    """
    from hyok.doors.kacls import peers  # noqa: PLC0415

    return await peers.unwrap_at(service, body, seconds_max)
