"""From settings to the identity provider at which officers sign in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.identity.config import IssuerSettings
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.oidc import OidcClient, OidcJudge, OidcSignIn, parse_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.identity.oidc import Endpoints
    from hyok.officer.config import OidcSettings

FETCH_PAUSE_SECONDS = 10.0
"""Between the beginnings of two fetches of an identity provider's keys."""


def build_sign_in(settings: OidcSettings, clock_ms: Callable[[], int]) -> OidcSignIn | None:
    """Return what signs officers in; None where no identity provider is named.

    Raises:
        Malformed: the client's secret cannot be read.
    """
    if not settings.issuer:
        return None
    # Half a second of imports that nobody needs who has no identity provider.
    from hyok.identity.issuer_fetch import (  # noqa: PLC0415
        fetch_configuration,
        fetch_key_set,
        post_form,
    )

    issuer = IssuerSettings(
        issuer=settings.issuer, ca_file=settings.ca_file, algorithms=settings.algorithms
    )
    seconds = settings.fetch_seconds_max
    client = OidcClient(
        issuer=settings.issuer,
        client_id=settings.client_id,
        cli_client_id=settings.cli_client_id,
        scopes=settings.scopes,
        audiences=frozenset(settings.audiences),
        acr=frozenset(settings.acr),
        secret=_secret(settings),
        skew_s=settings.clock_skew_seconds,
    )
    keys = IssuerKeys(
        settings.issuer,
        settings.algorithms,
        lambda: fetch_key_set(issuer, seconds),
        KeyTimes(
            refresh=settings.keys_refresh_seconds,
            age_max=settings.keys_age_seconds_max,
            pause=FETCH_PAUSE_SECONDS,
        ),
    )

    async def discover() -> Endpoints:
        return parse_endpoints(await fetch_configuration(issuer, seconds), issuer.issuer)

    async def post(
        address: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        return await post_form(issuer, address, form, headers, seconds)

    return OidcSignIn(OidcJudge(client, keys, clock_ms), discover, post)


def _secret(settings: OidcSettings) -> str:
    if settings.client_secret_file is None:
        return ""
    try:
        return settings.client_secret_file.read_text().strip()
    except OSError as error:
        raise Malformed(
            f"officers.oidc.client_secret_file cannot be read: {error.strerror}", code="HY-1002"
        ) from error
