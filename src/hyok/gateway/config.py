"""Settings of the S3 door: `[gateway]`, `[limits]` and `[management]`."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

from pydantic import BaseModel, Field, field_validator


class GatewaySettings(BaseModel, extra="forbid", frozen=True):
    host: str = "127.0.0.1"
    port: int = Field(default=8443, ge=0, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    proxy_protocol_from: tuple[str, ...] = ()
    base_domains: tuple[str, ...] = ()
    regions: tuple[str, ...] = ("us-east-1",)
    workers: int = Field(default=1, ge=1, le=64)
    pump_threads: int = Field(default=64, ge=2, le=1024)
    patience_seconds: float = Field(default=10.0, gt=0, le=300)
    drain_seconds: float = Field(default=20.0, ge=0, le=600)
    default_store: str = ""

    @field_validator("proxy_protocol_from")
    @classmethod
    def _are_networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            ip_network(text)  # a ValueError of its own says what is wrong
        return texts


class LimitSettings(BaseModel, extra="forbid", frozen=True):
    head_bytes_max: int = Field(default=32 << 10, ge=1 << 10, le=1 << 20)
    header_count_max: int = Field(default=128, ge=16, le=1024)
    head_seconds_max: float = Field(default=15.0, gt=0, le=300)
    idle_seconds_max: float = Field(default=60.0, gt=0, le=3600)
    body_bytes_per_second_min: int = Field(default=1024, ge=0)
    connections_per_client_max: int = Field(default=512, ge=1)
    requests_in_flight_max: int = Field(default=1024, ge=1)


class ManagementSettings(BaseModel, extra="forbid", frozen=True):
    host: str = "127.0.0.1"
    port: int = Field(default=9443, ge=0, le=65535)
