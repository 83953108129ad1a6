"""Settings of officers: what they are told, where they sign in, and their API: `[officers]`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

from hyok.identity.config import Algorithm
from hyok.vocabulary import LOOPBACK


class OidcSettings(BaseModel, extra="forbid", frozen=True):
    """`[officers.oidc]`: the identity provider that knows the officers."""

    issuer: str = Field(default="", max_length=200)  # empty: nobody signs in there
    client_id: str = Field(default="", max_length=200)
    client_secret_file: Path | None = None
    cli_client_id: str = Field(default="", max_length=200)  # empty: client_id
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("openid",)
    acr: tuple[str, ...] = ()
    algorithms: tuple[Algorithm, ...] = Field(default=("PS256", "ES256", "RS256"), min_length=1)
    ca_file: Path | None = None
    clock_skew_seconds: int = Field(default=60, ge=0, le=300)
    keys_refresh_seconds: int = Field(default=300, ge=10, le=86_400)
    keys_age_seconds_max: int = Field(default=3_600, ge=60, le=604_800)
    fetch_seconds_max: float = Field(default=5.0, gt=0, le=60)

    @model_validator(mode="after")
    def _holds_together(self) -> OidcSettings:
        parts = urlsplit(self.issuer)
        if self.issuer and (parts.scheme != "https" or not parts.hostname or parts.query):
            raise ValueError("issuer: give it as tokens have it: https, without a query")
        if bool(self.issuer) is not bool(self.client_id):
            raise ValueError("issuer and client_id go together")
        if "openid" not in self.scopes:
            raise ValueError("scopes: without openid there is no ID token")
        return self


class OfficerApiSettings(BaseModel, extra="forbid", frozen=True):
    """`[officers.api]`: the officers' door."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8444, ge=0, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    public_url: str = "https://localhost:8444"
    rp_id: str = Field(default="", max_length=253)  # empty: the host of public_url
    synced_passkeys: bool = False
    session_minutes_max: int = Field(default=480, ge=5, le=1_440)
    idle_minutes_max: int = Field(default=15, ge=1, le=240)
    failures_per_minute_max: int = Field(default=60, ge=1, le=10_000)
    head_seconds_max: float = Field(default=10.0, gt=0, le=60)
    body_bytes_max: int = Field(default=131_072, ge=1_024, le=1_048_576)
    requests_in_flight_max: int = Field(default=64, ge=1, le=1_024)

    @field_validator("public_url")
    @classmethod
    def _is_an_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        private = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in ("localhost", *LOOPBACK)
        )
        if not (private and parts.hostname and f"{parts.scheme}://{parts.netloc}" == value):
            raise ValueError("must be an https:// address without a path, as browsers see it")
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> OfficerApiSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        host = urlsplit(self.public_url).hostname or ""
        if self.rp_id and host != self.rp_id and not host.endswith("." + self.rp_id):
            raise ValueError("rp_id must be the host of public_url, or a domain above it")
        return self

    @property
    def site(self) -> str:
        """The name that authenticators know us by."""
        return self.rp_id or urlsplit(self.public_url).hostname or ""


class OfficerSettings(BaseModel, extra="forbid", frozen=True):
    hook_command: tuple[str, ...] = ()
    hook_url: str = ""
    hook_seconds_max: float = Field(default=5.0, gt=0, le=60)
    oidc: OidcSettings = OidcSettings()
    api: OfficerApiSettings = OfficerApiSettings()

    @field_validator("hook_url")
    @classmethod
    def _is_private(cls, value: str) -> str:
        parts = urlsplit(value)
        plain = parts.scheme == "http" and parts.hostname in LOOPBACK
        if value and not (parts.hostname and (parts.scheme == "https" or plain)):
            raise ValueError("must be an https:// address, or http:// on this host")
        return value
