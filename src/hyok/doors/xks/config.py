"""Settings of the external key store proxy that AWS KMS calls: `[doors.xks]`."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator, model_validator

from hyok.doors.listener import MutualListenerSettings


class XksStoreSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.xks.stores]]`: one key store of AWS KMS."""

    prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9_-]+)*$", max_length=117)
    app: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    regions: tuple[str, ...] = Field(min_length=1)
    requests_per_second_max: int = Field(default=1_800, ge=1, le=100_000)
    client_names: tuple[str, ...] = ()

    @field_validator("client_names")
    @classmethod
    def _are_in_lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in value)

    @field_validator("regions")
    @classmethod
    def _are_regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(region.isascii() and region.replace("-", "").isalnum() for region in value):
            raise ValueError("a region is written as AWS does: eu-central-1")
        return value


class XksSettings(MutualListenerSettings, frozen=True):
    """`[doors.xks]`: the external key store proxy that AWS KMS calls."""

    port: int = Field(default=8446, ge=0, le=65535)
    deadline_ms: int = Field(default=220, ge=50, le=240)
    stores: tuple[XksStoreSettings, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> XksSettings:
        prefixes = [store.prefix for store in self.stores]
        if len(set(prefixes)) != len(prefixes):
            raise ValueError("stores: two stores have one prefix")
        apps = [store.app for store in self.stores]
        if len(set(apps)) != len(apps):
            raise ValueError("stores: two stores have one app; their keys would not be apart")
        if self.client_ca is None and any(store.client_names for store in self.stores):
            raise ValueError("stores: client_names of a store need client_ca of the door")
        if self.enabled and not self.stores:
            raise ValueError("stores: name at least one [[doors.xks.stores]]")
        return self

    def store_of(self, prefix: str) -> XksStoreSettings | None:
        """Return the store of this prefix; None: there is none."""
        return next((store for store in self.stores if store.prefix == prefix), None)
