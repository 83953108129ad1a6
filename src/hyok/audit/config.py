"""Settings of the security audit log and of what is exported from it: `[audit]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, model_validator

from hyok.vocabulary import LOOPBACK

_POSTED = ("https", "http", "file")
SCHEMES = {"syslog": ("tls", "tcp"), "ocsf": _POSTED, "ldv": _POSTED, "adl": _POSTED}
PORTS = {"tls": 6514, "tcp": 601}


class ExportSettings(BaseModel, extra="forbid", frozen=True):
    """One receiver of the log: `[[audit.exports]]`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    format: Literal["syslog", "ocsf", "ldv", "adl"]
    to: str
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    authorization_file: Path | None = None
    body: Literal["lines", "array", "otlp"] = "lines"
    begin: Literal["oldest", "newest"] = "oldest"
    batch_records: int = Field(default=500, ge=1, le=10_000)
    seconds_max: float = Field(default=30.0, gt=0, le=600)
    acknowledge: Literal["close", "sent"] = "close"
    resend_seconds: float = Field(default=10.0, ge=0, le=3600)
    enterprise: int = Field(default=32473, ge=1, le=2**31 - 1)

    @property
    def address(self) -> SplitResult:
        """Where it goes, in its parts."""
        return urlsplit(self.to)

    @property
    def port(self) -> int:
        """The TCP port of a syslog receiver."""
        return self.address.port or PORTS[self.address.scheme]

    @model_validator(mode="after")
    def _holds_together(self) -> ExportSettings:
        parts = self.address
        schemes = SCHEMES[self.format]
        if parts.scheme not in schemes:
            raise ValueError(f"to: {self.format} goes to {' or '.join(schemes)}, not {self.to}")
        if self.body == "otlp" and self.format != "ldv":
            raise ValueError("body: otlp is for ldv, whose records are spans")
        if parts.scheme == "file":
            if parts.netloc or not parts.path.startswith("/"):
                raise ValueError("to: write a file as file:///folder/name")
            return self
        if parts.hostname is None or parts.username is not None or parts.fragment:
            raise ValueError(f"to: {self.to} names no host, or more than that")
        if parts.scheme in {"tcp", "http"} and parts.hostname not in LOOPBACK:
            raise ValueError(f"to: {parts.scheme} is spoken on loopback only; take tls or https")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        return self


class AuditSettings(BaseModel, extra="forbid", frozen=True):
    file: Path = Path("/var/lib/hyok/audit/audit.jsonl")
    sequencer: Literal["host", "database"] = "host"
    host: str = Field(default="", pattern=r"^[!-~]{0,200}$")
    origin: str = Field(default="", pattern=r"^[!-*,-~]{0,200}$")
    checkpoint_records: int = Field(default=1000, ge=1, le=1_000_000)
    checkpoint_seconds: float = Field(default=60.0, ge=1, le=3600)
    key_version: int = Field(default=1, ge=1, le=9999)
    exports: tuple[ExportSettings, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> AuditSettings:
        names = [export.name for export in self.exports]
        if len(set(names)) != len(names):
            raise ValueError("exports: two exports have one name")
        return self
