"""Where the signing keys of a directory come from: a file, or its own address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.doors.dke.tokens import ALGORITHMS
from hyok.identity.config import IssuerSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.doors.dke.config import DkeTenantSettings

FETCH_SECONDS_MAX = 3.0


def key_source(tenant: DkeTenantSettings) -> Callable[[], Awaitable[bytes]]:
    """Return what fetches the key set of a directory."""
    # Half a second of imports that no other door needs.
    from hyok.identity.issuer_fetch import source_of  # noqa: PLC0415

    source = IssuerSettings(
        issuer=tenant.issuers[0],
        jwks_uri="" if tenant.jwks_file else tenant.keys_address,
        jwks_file=tenant.jwks_file,
        ca_file=tenant.ca_file,
        algorithms=ALGORITHMS,
    )
    return source_of(source, FETCH_SECONDS_MAX)
