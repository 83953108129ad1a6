"""Settings of the door for clients of Vault's Transit engine: `[doors.transit]`."""

from __future__ import annotations

from pydantic import Field, model_validator

from hyok.doors.listener import MutualListenerSettings


class TransitSettings(MutualListenerSettings, frozen=True):
    """`[doors.transit]`: encryption as a service, as Vault and OpenBao speak it."""

    port: int = Field(default=8200, ge=0, le=65535)
    mount: str = Field(default="transit", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    requests_per_second_max: int = Field(default=500, ge=1, le=100_000)
    failures_per_minute_max: int = Field(default=60, ge=1, le=100_000)

    @model_validator(mode="after")
    def _holds_together(self) -> TransitSettings:
        if self.mount in {"sys", "auth"}:
            raise ValueError("mount: sys and auth are Vault's own paths")
        return self
