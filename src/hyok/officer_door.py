"""The officers' door, put together over everything below it, and served until it has to stop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import structlog
from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from hyok.acts import build_actions
from hyok.audit.search import find
from hyok.custody.authenticators import AuthenticatorBook
from hyok.errors import Malformed
from hyok.identity.config import IssuerSettings
from hyok.identity.guesses import FailureLimit
from hyok.identity.issuer_fetch import fetch_configuration, fetch_key_set, post_form
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.oidc import OidcClient, OidcJudge, OidcSignIn, parse_endpoints
from hyok.identity.passkeys import Site
from hyok.officer.api.services import Services
from hyok.officer.challenges import LIFE_MS, Challenges, Waiting
from hyok.officer.door import build_door
from hyok.officer.sessions import SessionBook, SessionTimes
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.identity.oidc import Endpoints
    from hyok.officer.config import OfficerSettings, OidcSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

log = structlog.get_logger("hyok.officer")

MINUTE_MS = 60_000
FETCH_PAUSE_SECONDS = 10.0
HEAD_BYTES_MAX = 65_536


def build_sign_in(settings: OidcSettings) -> OidcSignIn | None:
    """Return what signs officers in; None where no identity provider is named.

    Raises:
        Malformed: the client's secret cannot be read.
    """
    if not settings.issuer:
        return None
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


def build_services(core: Core) -> Services:
    """Return what the door stands on."""
    settings = core.settings.officers
    return Services(
        actions=build_actions(core),
        break_glass=core.break_glass,
        authenticators=AuthenticatorBook(core.database),
        challenges=Challenges(secrets.token_bytes, clock_ms),
        attempts=Waiting(LIFE_MS, clock_ms),
        sessions=SessionBook(
            core.database, core.box, _times(settings), secrets.token_bytes, clock_ms
        ),
        sign_in=build_sign_in(settings.oidc),
        box=core.box,
        registry=core.registry,
        access_keys=core.access_keys,
        keks=core.keks,
        classifications=core.classifications,
        records=lambda request_id: find(core.settings.audit.file, request_id),
        journal=core.journal,
        failures=FailureLimit(settings.api.failures_per_minute_max, time.monotonic),
        site=Site(settings.api.site, settings.api.public_url, settings.api.synced_passkeys),
        development=core.settings.installation.mode == "development",
        clock_ms=clock_ms,
        entropy=secrets.token_bytes,
    )


def _times(settings: OfficerSettings) -> SessionTimes:
    api = settings.api
    return SessionTimes(api.session_minutes_max * MINUTE_MS, api.idle_minutes_max * MINUTE_MS)


async def run_officer_door(settings: Settings, stop: asyncio.Event) -> None:
    """Serve officers until ``stop``."""
    core = open_core(settings)
    api = settings.officers.api
    app = build_door(build_services(core), body_bytes_max=api.body_bytes_max)
    server = Server(
        app,
        address=api.host,
        port=api.port,
        interface=Interfaces.ASGINL,
        backpressure=api.requests_in_flight_max,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(api.head_seconds_max * 1000), max_buffer_size=HEAD_BYTES_MAX
        ),
        websockets=False,
        log_enabled=False,
        ssl_cert=api.tls_certificate,
        ssl_key=api.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    serving = asyncio.create_task(server.serve())
    ending = asyncio.create_task(stop.wait())
    log.info("officer_api.started", host=api.host, port=api.port)
    try:
        await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            server.stop()  # type: ignore[no-untyped-call]  # Granian's own
        await serving  # raises what broke it
    finally:
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ending
        await core.close()
    log.info("officer_api.ended")
