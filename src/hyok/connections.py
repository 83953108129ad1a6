"""From settings to what stands outside this process: HSM agents, audit writer, stores.

It needs neither gateway nor database, so the stand-alone decryptor builds on it as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.backends.filesystem import FileStore
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.private_pool import PrivatePool
from hyok.hsm.software import SoftwareHsm
from hyok.http1.tls import client_context
from hyok.sockets import agent_socket

if TYPE_CHECKING:
    from pathlib import Path

    from hyok.backends.config import StoreSettings
    from hyok.backends.port import ObjectStore
    from hyok.hsm.port import Hsm, WrapHsm
    from hyok.settings import Settings


def build_hsm(settings: Settings) -> WrapHsm:
    """Return the HSM: a pool over the agents' sockets, or software keys for development."""
    if settings.hsm.kind == "software":
        return SoftwareHsm(settings.hsm.software_file)
    return PrivatePool(
        [
            TokenSpec(token.name, str(agent_socket(settings, token.name)))
            for token in settings.hsm.tokens
        ],
        # An agent ends itself at its deadline; half a second later we should have heard of it.
        attempt_seconds=settings.hsm.deadline_seconds + 0.5,
    )


def build_token(settings: Settings, name: str) -> Hsm:
    """Return one token of the group as an HSM of its own, for questions about that token alone."""
    return HsmPool(
        [TokenSpec(name, str(agent_socket(settings, name)))],
        attempt_seconds=settings.hsm.deadline_seconds + 0.5,
        grace_seconds=1.0,
    )


def build_store(settings: StoreSettings, trials: Path | None = None) -> ObjectStore:
    """Return the store of these settings.

    Args:
        settings: one `[[stores]]`.
        trials: the folder where what races at stores showed is kept; None: nowhere.
    """
    if settings.kind == "files":
        return FileStore(settings.path)
    # Imports that take long, and that an installation without an S3 store does not need.
    from hyok.backends.resilient import ResilientStore  # noqa: PLC0415
    from hyok.backends.retries import Retries, RetryRules  # noqa: PLC0415
    from hyok.backends.s3 import S3Store, Sizes  # noqa: PLC0415
    from hyok.backends.s3_credentials import CredentialChain  # noqa: PLC0415
    from hyok.backends.s3_trial_file import TrialFile  # noqa: PLC0415
    from hyok.http1.client import Pool  # noqa: PLC0415

    context = client_context(settings.ca_file) if settings.endpoint.startswith("https") else None
    pool = Pool(
        settings.endpoint,
        context=context,
        connections_max=settings.connections_max,
        seconds_max=settings.deadline_seconds,
    )
    store = S3Store(
        pool=pool,
        host=urlsplit(settings.endpoint).netloc,
        credentials=CredentialChain(
            settings.region, settings.credentials_file, settings.credentials_profile
        ),
        virtual_host=settings.addressing == "virtual-host",
        sizes=Sizes(settings.single_put_bytes_max, settings.split_part_bytes),
        races=(
            TrialFile(trials / f"{settings.name}.json", settings.endpoint, time.time)
            if trials is not None
            else None
        ),
    )
    rules = RetryRules(
        attempts_max=settings.attempts_max,
        wait_seconds=settings.retry_wait_seconds,
        wait_seconds_max=settings.retry_wait_seconds_max,
        deadline_seconds=settings.retry_deadline_seconds,
    )
    return ResilientStore(store, Retries(rules))


def tls_suites() -> list[str]:
    """Return the cipher suites that our doors and clients offer, by OpenSSL's names."""
    return [str(suite["name"]) for suite in client_context().get_ciphers()]
