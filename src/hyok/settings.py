"""Settings of one installation: a TOML file, checked whole, secrets in files of their own.

Unknown settings are an error; a wrong one stops the start with a sentence and the setting's name.
`deploy/hyok.example.toml` explains every one, and a test compares it with these models.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hyok.errors import Malformed

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InstallationSettings(Section):
    name: str = Field(default="hyok", pattern=r"^[a-z0-9-]{1,32}$")
    mode: Literal["production", "development"] = "production"
    run_directory: Path = Path("/run/hyok")
    gateway_zone: str = Field(default="municipality", pattern=r"^[a-z0-9-]{1,64}$")


class GatewaySettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    base_domains: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("us-east-1",)
    workers: int = Field(default=1, ge=1, le=64)
    pump_threads: int = Field(default=64, ge=2, le=1024)
    drain_seconds: float = Field(default=20.0, ge=0, le=600)
    default_store: str = ""


class LimitSettings(Section):
    head_bytes_max: int = Field(default=32 << 10, ge=1 << 10, le=1 << 20)
    header_count_max: int = Field(default=128, ge=16, le=1024)
    head_seconds_max: float = Field(default=15.0, gt=0, le=300)
    idle_seconds_max: float = Field(default=60.0, gt=0, le=3600)
    body_bytes_per_second_min: int = Field(default=1024, ge=0)
    connections_per_client_max: int = Field(default=512, ge=1)
    requests_in_flight_max: int = Field(default=1024, ge=1)


class ManagementSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=9443, ge=0, le=65535)


class DatabaseSettings(Section):
    url: str = "sqlite:////var/lib/hyok/hyok.db"


class AuditSettings(Section):
    file: Path = Path("/var/lib/hyok/audit/audit.jsonl")


class TokenSettings(Section):
    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    label: str
    pin_file: Path
    module: Path | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class HsmSettings(Section):
    kind: Literal["pkcs11", "software"] = "pkcs11"
    profile: str = Field(default="softhsm", pattern=r"^[a-z0-9-]{1,32}$")
    profiles_directory: Path = Path("/usr/share/hyok/hsm/profiles")
    profiles: tuple[int, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    deadline_seconds: float = Field(default=5.0, gt=0, le=60)
    software_file: Path | None = None

    @model_validator(mode="after")
    def _has_keys(self) -> HsmSettings:
        if self.kind == "pkcs11" and not self.tokens:
            raise ValueError("hsm.tokens names no token; give at least one [[hsm.tokens]]")
        if self.kind == "software" and self.software_file is None:
            raise ValueError("hsm.software_file is missing")
        return self


class PolicySettings(Section):
    directory: Path = Path("/usr/share/hyok/policies")


class FileStoreSettings(Section):
    kind: Literal["files"]
    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    path: Path
    jurisdiction: str = "NL"
    control: str = "NL"
    parent: str = ""
    use_case: Literal["UC1", "clear"] = "UC1"


class S3StoreSettings(Section):
    kind: Literal["s3"]
    name: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    endpoint: str = Field(pattern=r"^https?://[^/?#@]+$")
    region: str = "us-east-1"
    addressing: Literal["path", "virtual-host"] = "path"
    credentials_file: Path | None = None
    credentials_profile: str = ""
    ca_file: Path | None = None
    jurisdiction: str
    control: str
    parent: str = ""
    use_case: Literal["UC1", "clear"] = "UC1"
    connections_max: int = Field(default=128, ge=1, le=4096)
    deadline_seconds: float = Field(default=30.0, gt=0, le=600)

    @model_validator(mode="after")
    def _is_private(self) -> S3StoreSettings:
        host = urlsplit(self.endpoint).hostname
        if self.endpoint.startswith("http:") and host not in LOOPBACK:
            raise ValueError("endpoint: plain http is for loopback only; use https")
        return self


StoreSettings = Annotated[FileStoreSettings | S3StoreSettings, Field(discriminator="kind")]


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = None


class Settings(Section):
    """The whole file."""

    installation: InstallationSettings = InstallationSettings()
    gateway: GatewaySettings = GatewaySettings()
    limits: LimitSettings = LimitSettings()
    management: ManagementSettings = ManagementSettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()
    hsm: HsmSettings
    policies: PolicySettings = PolicySettings()
    stores: tuple[StoreSettings, ...]
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _holds_together(self) -> Settings:
        names = [store.name for store in self.stores]
        if not names:
            raise ValueError("stores: name at least one [[stores]]")
        if len(set(names)) != len(names):
            raise ValueError("stores: two stores have one name")
        if self.gateway.default_store and self.gateway.default_store not in names:
            raise ValueError("gateway.default_store names no store of [[stores]]")
        if (self.gateway.tls_certificate is None) != (self.gateway.tls_key is None):
            raise ValueError("gateway.tls_certificate and gateway.tls_key go together")
        if self.installation.mode == "production":
            self._check_production()
        return self

    def _check_production(self) -> None:
        if self.hsm.kind == "software":
            raise ValueError(
                "hsm.kind = 'software' is for development only; production needs an HSM"
            )
        if any(token.label.startswith("hyok-dev") for token in self.hsm.tokens):
            raise ValueError("hsm.tokens: a development token (hyok-dev…) is refused in production")
        loopback = self.gateway.host in LOOPBACK
        if self.gateway.tls_certificate is None and not loopback:
            raise ValueError(
                "gateway.tls_certificate is missing; plain http is served on loopback only"
            )

    @property
    def default_store(self) -> str:
        """The store that CreateBucket takes: the named one, else the first."""
        return self.gateway.default_store or self.stores[0].name


def parse(text: str, source: str) -> Settings:
    """Return the settings of a TOML text.

    Raises:
        Malformed: every setting that is wrong, by name, with the reason (code HY-1001).
    """
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise Malformed(f"{source} is not TOML: {error}", code="HY-1001") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'settings'}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise Malformed(
            f"{source} has settings that cannot stand: " + "; ".join(lines),
            code="HY-1001",
            effect="Nothing was started.",
            next_step="correct the file; deploy/hyok.example.toml explains every setting",
        ) from error


def load(path: Path) -> Settings:
    """Return the settings of a file.

    Raises:
        Malformed: it cannot be read, or `parse` refuses it.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise Malformed(
            f"the settings file {path} cannot be read: {error.strerror}",
            code="HY-1002",
            effect="Nothing was started.",
        ) from error
    return parse(text, str(path))
