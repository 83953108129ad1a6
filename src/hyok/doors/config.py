"""Settings of the doors for clouds and SaaS: `[doors.xks]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field, field_validator, model_validator


class XksStoreSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.xks.stores]]`: one key store of AWS KMS."""

    prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-]+)*$", max_length=117)
    app: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    regions: tuple[str, ...] = Field(min_length=1)
    requests_per_second_max: int = Field(default=1_800, ge=1, le=100_000)

    @field_validator("regions")
    @classmethod
    def _are_regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(region.isascii() and region.replace("-", "").isalnum() for region in value):
            raise ValueError("a region is written as AWS does: eu-central-1")
        return value


class XksSettings(BaseModel, extra="forbid", frozen=True):
    """`[doors.xks]`: the external key store proxy that AWS KMS calls."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8446, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    client_names: tuple[str, ...] = ()
    deadline_ms: int = Field(default=220, ge=50, le=240)
    requests_in_flight_max: int = Field(default=64, ge=1, le=4_096)
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    stores: tuple[XksStoreSettings, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> XksSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.client_ca is not None and self.tls_certificate is None:
            raise ValueError("client_ca: without tls_certificate nobody shows a certificate")
        if (self.client_ca is None) != (not self.client_names):
            raise ValueError(
                "client_ca and client_names go together: the authority alone lets in whoever it "
                "gave a certificate"
            )
        prefixes = [store.prefix for store in self.stores]
        if len(set(prefixes)) != len(prefixes):
            raise ValueError("stores: two stores have one prefix")
        apps = [store.app for store in self.stores]
        if len(set(apps)) != len(apps):
            raise ValueError("stores: two stores have one app; their keys would not be apart")
        if self.enabled and not self.stores:
            raise ValueError("stores: name at least one [[doors.xks.stores]]")
        return self

    def store_of(self, prefix: str) -> XksStoreSettings | None:
        """Return the store of this prefix; None: there is none."""
        return next((store for store in self.stores if store.prefix == prefix), None)


class DoorSettings(BaseModel, extra="forbid", frozen=True):
    xks: XksSettings = XksSettings()
