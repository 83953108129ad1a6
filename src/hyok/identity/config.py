"""Settings of token issuers and sessions: `[web_identity]` and `[[web_identity.issuers]]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

ISSUERS_MAX = 64

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Signatures with a public key only: with a shared secret whoever verifies could also sign."""


class IssuerSettings(BaseModel, extra="forbid", frozen=True):
    issuer: str = Field(max_length=255)
    jwks_uri: str = ""
    jwks_file: Path | None = None
    ca_file: Path | None = None
    bearer_token_file: Path | None = None
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)

    @field_validator("issuer", "jwks_uri")
    @classmethod
    def _is_private(cls, value: str) -> str:
        parts = urlsplit(value)
        whole = parts.scheme == "https" and parts.hostname and not parts.username
        if value and not (whole and value.isascii() and value.isprintable() and " " not in value):
            raise ValueError("must be an https:// address")
        return value

    @model_validator(mode="after")
    def _has_one_source(self) -> IssuerSettings:
        if not self.issuer or urlsplit(self.issuer).query or urlsplit(self.issuer).fragment:
            raise ValueError("issuer: give it as tokens have it: https, without query or fragment")
        network = self.jwks_uri or self.ca_file or self.bearer_token_file
        if self.jwks_file is not None and network:
            raise ValueError(
                "jwks_file: keys come from the file or from the network; leave out jwks_uri, "
                "ca_file and bearer_token_file"
            )
        return self


class WebIdentitySettings(BaseModel, extra="forbid", frozen=True):
    clock_skew_seconds: int = Field(default=60, ge=0, le=300)
    keys_refresh_seconds: int = Field(default=300, ge=10, le=86_400)
    keys_age_seconds_max: int = Field(default=3_600, ge=60, le=604_800)
    fetch_pause_seconds: float = Field(default=10.0, ge=1, le=3_600)
    fetch_seconds_max: float = Field(default=5.0, gt=0, le=60)
    failures_per_minute_max: int = Field(default=60, ge=1, le=100_000)
    issuers: tuple[IssuerSettings, ...] = Field(default=(), max_length=ISSUERS_MAX)

    @model_validator(mode="after")
    def _holds_together(self) -> WebIdentitySettings:
        if len({issuer.issuer for issuer in self.issuers}) != len(self.issuers):
            raise ValueError("web_identity.issuers: two entries are of one issuer")
        if self.keys_age_seconds_max < self.keys_refresh_seconds:
            raise ValueError("web_identity.keys_age_seconds_max is below keys_refresh_seconds")
        return self
