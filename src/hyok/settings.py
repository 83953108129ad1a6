"""Settings of one installation: a TOML file, checked whole, secrets in files of their own.

Each folder states the model of its own tables in its `config.py`; here they are one file.  Unknown
settings are an error; a wrong one stops the start with a sentence and the setting's name.
`deploy/hyok.example.toml` explains every one, and a test compares it with these models.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from hyok.audit.config import AuditSettings
from hyok.backends.config import StoreSettings
from hyok.custody.config import PolicySettings
from hyok.database.config import DatabaseSettings
from hyok.doors.config import DoorSettings
from hyok.doors.listener import ListenerSettings
from hyok.errors import Malformed
from hyok.gateway.config import GatewaySettings, LimitSettings, ManagementSettings
from hyok.hsm.config import HsmSettings
from hyok.identity.config import WebIdentitySettings
from hyok.jobs.config import DAY_SECONDS, LifecycleSettings
from hyok.officer.config import OfficerSettings
from hyok.telemetry.config import LogSettings
from hyok.vocabulary import LOOPBACK


class InstallationSettings(BaseModel, extra="forbid", frozen=True):
    name: str = Field(default="hyok", pattern=r"^[a-z0-9-]{1,32}$")
    mode: Literal["production", "development"] = "production"
    run_directory: Path = Path("/run/hyok")
    gateway_zone: str = Field(default="municipality", pattern=r"^[a-z0-9-]{1,64}$")


class Settings(BaseModel, extra="forbid", frozen=True):
    """The whole file."""

    installation: InstallationSettings = InstallationSettings()
    gateway: GatewaySettings = GatewaySettings()
    limits: LimitSettings = LimitSettings()
    management: ManagementSettings = ManagementSettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()
    hsm: HsmSettings
    policies: PolicySettings = PolicySettings()
    web_identity: WebIdentitySettings = WebIdentitySettings()
    officers: OfficerSettings = OfficerSettings()
    doors: DoorSettings = DoorSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
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
        if self.audit.sequencer == "database" and self.database.url.startswith("sqlite"):
            raise ValueError(
                "audit.sequencer = 'database' needs PostgreSQL in database.url: SQLite is one "
                "host's, whose log needs no other order"
            )
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
        if self.lifecycle.day_seconds != DAY_SECONDS:
            raise ValueError(
                "lifecycle.day_seconds: a shorter day is for development only; objects would go "
                "before their time"
            )
        loopback = self.gateway.host in LOOPBACK
        if self.gateway.tls_certificate is None and not loopback:
            raise ValueError(
                "gateway.tls_certificate is missing; plain http is served on loopback only"
            )

        api = self.officers.api
        if api.enabled and api.tls_certificate is None and api.host not in LOOPBACK:
            raise ValueError(
                "officers.api.tls_certificate is missing; plain http is served on loopback only"
            )

        for name, door in self.doors.each.items():
            if not (door.enabled and isinstance(door, ListenerSettings)):
                continue
            if door.tls_certificate is None and door.host not in LOOPBACK:
                raise ValueError(
                    f"doors.{name}.tls_certificate is missing; plain http is served on loopback "
                    "only"
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
