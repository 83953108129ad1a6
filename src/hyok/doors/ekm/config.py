"""Settings of the external key manager that Azure Managed HSM calls: `[doors.ekm]`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, field_validator, model_validator
from typing_extensions import override

from hyok.doors.listener import ListenerSettings

if TYPE_CHECKING:
    from collections.abc import Collection

NAME_CHARS_MAX = 64  # a common name has no more (RFC 5280, ub-common-name)


class EkmPoolSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.ekm.pools]]`: one Managed HSM pool, by the name in the certificate that it shows."""

    prefix: str = Field(default="", pattern=r"^(/[A-Za-z0-9-]+)*$", max_length=65)
    app: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    client_names: tuple[str, ...] = Field(min_length=1)
    requests_per_second_max: int = Field(default=500, ge=1, le=100_000)

    @field_validator("client_names")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not (1 <= len(name) <= NAME_CHARS_MAX and name.isascii() and name.isprintable()):
                raise ValueError("a common name is 1 to 64 printable characters of ASCII")
        return tuple(name.lower() for name in value)


class EkmSettings(ListenerSettings, frozen=True):
    """`[doors.ekm]`: who shows no certificate of a pool's name gets nothing, on any address."""

    port: int = Field(default=8449, ge=0, le=65535)
    deadline_ms: int = Field(default=220, ge=50, le=240)
    client_ca: Path | None = None
    pools: tuple[EkmPoolSettings, ...] = ()

    @property
    @override
    def authority(self) -> Path | None:
        return self.client_ca

    @property
    @override
    def only_tls_1_3(self) -> bool:
        return True

    @model_validator(mode="after")
    def _holds_together(self) -> EkmSettings:
        _check_once("prefix", [pool.prefix for pool in self.pools])
        _check_once("app", [pool.app for pool in self.pools])
        _check_once("client name", [name for pool in self.pools for name in pool.client_names])
        if self.enabled and not self.pools:
            raise ValueError("pools: name at least one [[doors.ekm.pools]]")
        if self.enabled and (self.client_ca is None or self.tls_certificate is None):
            raise ValueError(
                "client_ca, tls_certificate and tls_key: this door is mutual TLS alone"
            )
        return self


def _check_once(what: str, names: Collection[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"pools: one {what} stands twice; their keys would not be apart")
