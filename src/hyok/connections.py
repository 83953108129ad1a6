"""From settings to what stands outside this process: HSM agents, audit writer, stores.

It needs neither gateway nor database, so the stand-alone decryptor builds on it as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.backends.filesystem import FileStore
from hyok.backends.resilient import ResilientStore
from hyok.backends.retries import Retries, RetryRules
from hyok.backends.s3 import S3Store, Sizes
from hyok.errors import Malformed
from hyok.hsm.door_pool import DoorPool
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.profile import parse_family
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import AgentSpec
from hyok.http1.client import Pool
from hyok.http1.tls import client_context

if TYPE_CHECKING:
    from hyok.backends.config import StoreSettings
    from hyok.backends.port import ObjectStore
    from hyok.hsm.config import TokenSettings
    from hyok.hsm.port import DoorHsm, Hsm
    from hyok.settings import Settings


def journal_socket(settings: Settings) -> Path:
    """Return where the audit writer listens."""
    return settings.installation.run_directory / "audit.sock"


def agent_socket(settings: Settings, token: str) -> Path:
    """Return where the agent of a token listens."""
    return settings.installation.run_directory / f"hsm-{token}.sock"


def agent_specs(settings: Settings) -> list[AgentSpec]:
    """Return how to start the agents of this host; none for software keys.

    Raises:
        Malformed: the HSM family's profile cannot be read, or names no module.
    """
    if settings.hsm.kind == "software":
        return []
    path = settings.hsm.profiles_directory / f"{settings.hsm.profile}.toml"
    try:
        family = parse_family(path.read_text())
    except OSError as error:
        raise Malformed(f"the HSM profile {path} cannot be read", code="HY-1003") from error
    specs = []
    for token in settings.hsm.tokens:
        known = [found for found in family.modules if Path(found).exists()]
        module = str(token.module) if token.module is not None else next(iter(known), "")
        if not module:
            raise Malformed(
                f"hsm.tokens.{token.name}.module is missing and the profile "
                f"{settings.hsm.profile} names none that is installed",
                code="HY-1003",
            )
        specs.append(
            AgentSpec(
                name=token.name,
                socket_path=str(agent_socket(settings, token.name)),
                module=module,
                token_label=token.label,
                dialect=family.dialect(settings.hsm.profiles, directory=_folder_of(token)),
                pin_file=str(token.pin_file),
                environment=token.environment,
                deadline_seconds=settings.hsm.deadline_seconds,
            )
        )
    return specs


def _folder_of(token: TokenSettings) -> str:
    """Return the folder of a token that is files, for modules that want it at start."""
    return token.environment.get("HYOK_TOKEN_DIRECTORY", "")


def build_hsm(settings: Settings) -> DoorHsm:
    """Return the HSM: a pool over the agents' sockets, or software keys for development."""
    if settings.hsm.kind == "software":
        return SoftwareHsm(settings.hsm.software_file)
    return DoorPool(
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


def build_store(settings: StoreSettings) -> ObjectStore:
    """Return the store of these settings."""
    if settings.kind == "files":
        return FileStore(settings.path)
    # Half a second of imports that an installation without an S3 store does not need.
    from hyok.backends.s3_credentials import CredentialChain  # noqa: PLC0415

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
