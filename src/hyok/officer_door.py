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
from hyok.errors import HyokError
from hyok.identity.guesses import FailureLimit
from hyok.identity.passkeys import Site
from hyok.officer.api.services import Services
from hyok.officer.challenges import LIFE_MS, Challenges, Waiting
from hyok.officer.door import build_door
from hyok.officer.sessions import SessionBook, SessionTimes
from hyok.sign_in import build_sign_in
from hyok.wiring import clock_ms, open_core

if TYPE_CHECKING:
    from hyok.officer.api.guard import Guard
    from hyok.officer.config import OfficerApiSettings, OfficerSettings
    from hyok.settings import Settings
    from hyok.wiring import Core

log = structlog.get_logger("hyok.officer")

MINUTE_MS = 60_000
POLICY_SECONDS = 1.0
HEAD_BYTES_MAX = 65_536


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
        sign_in=build_sign_in(settings.oidc, clock_ms),
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


async def _keep_policy(core: Core) -> None:
    """Decide by the policy that is in force, as the gateways do."""
    while True:
        with contextlib.suppress(HyokError):
            await core.policy.look()
        await asyncio.sleep(POLICY_SECONDS)


def build_server(app: Guard, api: OfficerApiSettings) -> Server:
    """Return the server of the door.

    Its TLS is rustls: 1.2 and 1.3, forward secrecy and authenticated ciphers, nothing else.
    """
    return Server(
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


async def run_officer_door(settings: Settings, stop: asyncio.Event) -> None:
    """Serve officers until ``stop``."""
    core = open_core(settings)
    api = settings.officers.api
    app = build_door(build_services(core), body_bytes_max=api.body_bytes_max)
    server = build_server(app, api)
    policy = asyncio.create_task(_keep_policy(core))
    serving = asyncio.create_task(server.serve())
    ending = asyncio.create_task(stop.wait())
    log.info("officer_api.started", host=api.host, port=api.port)
    try:
        await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            server.stop()  # type: ignore[no-untyped-call]  # Granian's own
        await serving  # raises what broke it
    finally:
        policy.cancel()
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ending
        await core.close()
    log.info("officer_api.ended")
