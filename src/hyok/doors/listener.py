"""Where a door listens, and who may come to it: what the settings of all doors share."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator
from typing_extensions import override


class ServedSettings(BaseModel, extra="forbid", frozen=True):
    """A door with worker processes of its own, wherever it listens."""

    enabled: bool = False
    workers: int = Field(default=1, ge=1, le=64)
    deadline_ms: int = Field(default=5_000, ge=100, le=30_000)
    requests_in_flight_max: int = Field(default=64, ge=1, le=4_096)
    drain_seconds: float = Field(default=5.0, ge=0, le=60)


class ListenerSettings(ServedSettings, frozen=True):
    """A door that listens on a port, in clear or over TLS."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def authority(self) -> Path | None:
        """Who signs the certificates that clients must show; None: they show none."""
        return None

    @property
    def names(self) -> frozenset[str]:
        """The names in those certificates that are let in; empty: the door itself looks."""
        return frozenset()

    @property
    def only_tls_1_3(self) -> bool:
        """No older version of TLS, and of this one two suites alone?"""
        return False

    @model_validator(mode="after")
    def _has_whole_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self


class MutualListenerSettings(ListenerSettings, frozen=True):
    """A door whose clients may be told to show a certificate."""

    client_ca: Path | None = None
    client_names: tuple[str, ...] = ()

    @property
    @override
    def authority(self) -> Path | None:
        return self.client_ca

    @property
    @override
    def names(self) -> frozenset[str]:
        return frozenset(self.client_names)

    @model_validator(mode="after")
    def _has_whole_mutual_tls(self) -> Self:
        if self.client_ca is not None and self.tls_certificate is None:
            raise ValueError("client_ca: without tls_certificate nobody shows a certificate")
        if (self.client_ca is None) != (not self.client_names):
            raise ValueError(
                "client_ca and client_names go together: the authority alone lets in whoever it "
                "gave a certificate"
            )
        return self
