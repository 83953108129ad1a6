"""Settings of Microsoft's Double Key Encryption: `[doors.dke]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from hyok.doors.listener import ListenerSettings

_GUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_LOGIN = "https://login.microsoftonline.com"


class DkeTenantSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.dke.tenants]]`: one directory of Microsoft Entra ID whose people may come."""

    id: str = Field(pattern=_GUID)
    jwks_uri: str = ""
    jwks_file: Path | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> DkeTenantSettings:
        if self.jwks_file is not None and (self.jwks_uri or self.ca_file):
            raise ValueError("jwks_file: keys come from the file or from the network")
        return self

    @property
    def keys_address(self) -> str:
        """Where its signing keys are published."""
        return self.jwks_uri or f"{_LOGIN}/{self.id}/discovery/v2.0/keys"

    @property
    def issuers(self) -> tuple[str, str]:
        """How tokens of it name their issuer: version 1, version 2."""
        return f"https://sts.windows.net/{self.id}/", f"{_LOGIN}/{self.id}/v2.0"


class DkeKeySettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.dke.keys]]`: one sensitivity label's key, and who may open with it."""

    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    label: str = Field(min_length=1, max_length=256)
    classification: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    people: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    @field_validator("people")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            name, _, domain = address.rpartition("@")
            if "@" not in address or not domain or "@" in name or address != address.strip():
                raise ValueError(f"{address!r} is no mail address, nor @ and a whole domain")
        return tuple(address.lower() for address in value)

    @model_validator(mode="after")
    def _is_for_somebody(self) -> DkeKeySettings:
        if not self.people and not self.roles:
            raise ValueError(f"keys {self.name}: name people or roles; nobody else opens anything")
        return self


class DkeSettings(ListenerSettings, frozen=True):
    """`[doors.dke]`: the key store that Office calls."""

    port: int = Field(default=8447, ge=0, le=65535)
    public_url: str = ""
    audience: str = ""
    client_id: str = Field(default="", pattern=f"{_GUID}|^$")
    authorization_uri: str = "https://login.windows.net/common/oauth2/authorize"
    app: str = ""
    mail_claims: tuple[Literal["email", "upn", "preferred_username"], ...] = ("email", "upn")
    clock_skew_seconds: int = Field(default=60, ge=0, le=300)
    keys_refresh_seconds: int = Field(default=3_600, ge=60, le=86_400)
    keys_age_seconds_max: int = Field(default=86_400, ge=60, le=604_800)
    cache_hours: int = Field(default=24, ge=0, le=168)
    requests_per_second_max: int = Field(default=200, ge=1, le=100_000)
    tenants: tuple[DkeTenantSettings, ...] = ()
    keys: tuple[DkeKeySettings, ...] = ()

    @field_validator("public_url")
    @classmethod
    def _is_a_root(cls, value: str) -> str:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and not parts.username
        if value and (not whole or parts.path or parts.query or parts.fragment):
            raise ValueError("public_url: https and a host name, without a path or a slash behind")
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> DkeSettings:
        if self.keys_age_seconds_max < self.keys_refresh_seconds:
            raise ValueError("keys_age_seconds_max is below keys_refresh_seconds")
        for named in ([key.name.lower() for key in self.keys], [one.id for one in self.tenants]):
            if len(set(named)) != len(named):
                raise ValueError("keys, tenants: two entries have one name")
        if self.enabled:
            wanted = (self.public_url, self.app, self.tenants, self.keys)
            if not all(wanted):
                raise ValueError("public_url, app, tenants and keys are wanted")
            host = urlsplit(self.public_url).hostname
            if self.audience and urlsplit(self.audience).hostname != host:
                raise ValueError("audience: Office wants it at the host of public_url")
        return self

    @property
    def resource(self) -> str:
        """What tokens are made for."""
        return self.audience or self.public_url

    @property
    def audiences(self) -> frozenset[str]:
        """What tokens may name as made for us: by our address, or (version 2) by our client id."""
        return frozenset({self.resource, self.client_id}) - {""}

    def key_of(self, name: str) -> DkeKeySettings | None:
        """Return the settings of a key; None: it is not served."""
        return next((key for key in self.keys if key.name == name), None)
