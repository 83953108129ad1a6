"""From settings to what stands outside this process: HSM agents, audit writer, stores, provider.

It needs neither gateway nor database, so the stand-alone decryptor builds on it as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hyok.audit.tiles import pinned_key
from hyok.backends.filesystem import FileStore
from hyok.backends.resilient import ResilientStore
from hyok.backends.retries import Retries, RetryRules
from hyok.backends.s3 import S3Store, Sizes
from hyok.custody.audit_key import hsm_key, key_name, software_key
from hyok.errors import Malformed
from hyok.hsm.pool import HsmPool, TokenSpec
from hyok.hsm.profile import parse_family
from hyok.hsm.software import SoftwareHsm
from hyok.hsm.supervise import AgentSpec
from hyok.http1.client import Pool
from hyok.http1.tls import client_context
from hyok.identity.config import IssuerSettings
from hyok.identity.issuer_keys import IssuerKeys, KeyTimes
from hyok.identity.oidc import OidcClient, OidcJudge, OidcSignIn, parse_endpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.backends.config import StoreSettings
    from hyok.backends.port import ObjectStore
    from hyok.custody.audit_key import AuditKey
    from hyok.hsm.config import TokenSettings
    from hyok.hsm.port import Hsm
    from hyok.identity.oidc import Endpoints
    from hyok.officer.config import OidcSettings
    from hyok.settings import Settings

FETCH_PAUSE_SECONDS = 10.0
"""Between the beginnings of two fetches of an identity provider's keys."""


def journal_socket(settings: Settings) -> Path:
    """Return where the audit writer listens."""
    return settings.installation.run_directory / "audit.sock"


def agent_socket(settings: Settings, token: str) -> Path:
    """Return where the agent of a token listens."""
    return settings.installation.run_directory / f"hsm-{token}.sock"


def audit_origin(settings: Settings) -> str:
    """Return the name of the audit log in its checkpoints."""
    return settings.audit.origin or f"hyok-audit/{settings.installation.name}"


def audit_key_name(settings: Settings) -> str:
    """Return the name of the key that signs checkpoints."""
    return key_name(settings.installation.name, settings.audit.key_version)


def audit_software_file(settings: Settings) -> Path | None:
    """Return the file of that key where no HSM holds it; None: an HSM does."""
    software = settings.hsm.software_file
    if settings.hsm.kind != "software" or software is None:
        return None
    return software.with_name(f"{software.stem}-audit.json")


def build_audit_key(settings: Settings) -> AuditKey:
    """Return the key that signs checkpoints."""
    name = audit_key_name(settings)
    pinned = pinned_key(settings.audit.file, name)
    software = audit_software_file(settings)
    if software is not None:
        return software_key(software, name, pinned)
    return hsm_key(
        [str(agent_socket(settings, token.name)) for token in settings.hsm.tokens], name, pinned
    )


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


def build_hsm(settings: Settings) -> Hsm:
    """Return the HSM: a pool over the agents' sockets, or software keys for development."""
    if settings.hsm.kind == "software":
        return SoftwareHsm(settings.hsm.software_file)
    return HsmPool(
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


def tls_suites() -> list[str]:
    """Return the cipher suites that our doors and clients offer, by OpenSSL's names."""
    return [str(suite["name"]) for suite in client_context().get_ciphers()]
