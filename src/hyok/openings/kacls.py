"""The door that browsers and Google's services call."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from hyok import __version__
from hyok.doors.kacls import jws
from hyok.doors.kacls.config import MIGRATION_AUDIENCE
from hyok.doors.kacls.door import ANSWER_SECONDS, KaclsDoor
from hyok.doors.kacls.private import PrivateOperations
from hyok.doors.kacls.quotas import Quotas
from hyok.doors.kacls.rules import address
from hyok.doors.kacls.sources import certs_source, key_source, unwrap_at
from hyok.doors.kacls.tokens import ALGORITHMS, Signer, TokenJudge
from hyok.doors.turns import Turns
from hyok.errors import HyokError, Unavailable
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.openings.opening import Opening
from hyok.wiring import clock_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from hyok.doors.kacls.config import KaclsSettings
    from hyok.doors.trials import Trials
    from hyok.identity.jwks import VerifyingKey
    from hyok.openings.opening import Handle
    from hyok.telemetry.metrics import Metrics
    from hyok.wiring import Core

KEYS_PAUSE_SECONDS = 10.0
"""Between two fetches of a signer's keys, however many unknown key ids come."""


def build_tokens(
    settings: KaclsSettings, own_keys: Callable[[], Awaitable[Sequence[VerifyingKey]]]
) -> TokenJudge:
    """Return what judges tokens of the issuers in the settings."""
    times = KeyTimes(
        refresh=settings.keys_refresh_seconds,
        age_max=settings.keys_age_seconds_max,
        pause=KEYS_PAUSE_SECONDS,
    )
    made_for = frozenset({settings.authorization_audience})
    return TokenJudge(
        authorizations={
            one.issuer: Signer(
                IssuerKeys(one.issuer, ALGORITHMS, key_source(one.issuer, one), times),
                made_for,
                one.application,
            )
            for one in settings.authorizations
        },
        providers={
            one.issuer: Signer(
                IssuerKeys(one.issuer, ALGORITHMS, key_source(one.issuer, one), times),
                frozenset(one.audiences),
                guests=one.guests,
            )
            for one in settings.providers
        },
        services={
            issuer: Signer(keys, frozenset({MIGRATION_AUDIENCE}))
            for one in settings.services
            if one.may_unwrap
            for keys in [IssuerKeys(one.url, ALGORITHMS, certs_source(one), times)]
            # A service may write its own address with or without a slash at its end.
            for issuer in (address(one.url), address(one.url) + "/")
        },
        own_url=settings.public_url,
        own_keys=own_keys,
        own_audience=settings.delegated_audience,
        skew_seconds=settings.clock_skew_seconds,
        clock_ms=clock_ms,
    )


def build(core: Core, _trials: Trials, metrics: Metrics) -> Handle:
    """Return what answers browsers and Google."""
    settings = core.settings.doors.kacls

    async def own_keys() -> Sequence[VerifyingKey]:
        if not settings.signing_key:
            return ()
        try:
            return jws.verifying(await operations.public_keys())
        except Unavailable:
            raise
        except HyokError:
            return ()

    turns = Turns(
        in_flight_max=settings.requests_in_flight_max,
        answer_seconds=ANSWER_SECONDS,
        reachable=lambda: core.watch.reachable,
    )
    operations = PrivateOperations(
        settings,
        tokens=build_tokens(settings, own_keys),
        apps=core.access_keys,
        custody=core.doors,
        grants=core.break_glass.book,
        quotas=Quotas(
            settings.requests_per_second_max,
            settings.requests_per_user_max,
            time.monotonic,
            1 / settings.workers,
        ),
        unwrap=unwrap_at,
        check_reachable=turns.check_reachable,
        clock_ms=clock_ms,
    )
    door = KaclsDoor(
        settings,
        operations=operations,
        turns=turns,
        version=__version__,
        meter=metrics,
        new_id=lambda: secrets.token_hex(8).upper(),
    )
    return door.handle


OPENING = Opening(build)
