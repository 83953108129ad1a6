"""Settings of the door for the API servers of Kubernetes: `[doors.kubernetes]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from hyok.doors.listener import ServedSettings

SOCKET_BYTES_MAX = 107
"""What the kernel takes as the name of a Unix socket."""


class KubernetesSettings(ServedSettings, frozen=True):
    """`[doors.kubernetes]`: the KMS plugin of a cluster, on the host of its API server."""

    socket: Path = Path("/run/hyok-kms/kms.sock")
    group: str = Field(default="", pattern=r"^([a-z_][a-z0-9_.-]{0,31})?$")
    workers: int = Field(default=1, ge=1, le=1)  # one process listens on a Unix socket
    app: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9_.-]{0,63})?$")
    key: str = Field(default="", pattern=r"^[A-Za-z0-9-]{0,64}$")
    classification: str = Field(default="", pattern=r"^[a-z0-9_-]{0,64}$")
    deadline_ms: int = Field(default=2_500, ge=100, le=2_900)  # an API server waits 3 s
    requests_in_flight_max: int = Field(default=32, ge=1, le=1_024)
    requests_per_second_max: int = Field(default=200, ge=1, le=100_000)
    drain_seconds: float = Field(default=3.0, ge=0, le=60)

    @field_validator("socket")
    @classmethod
    def _is_a_place(cls, value: Path) -> Path:
        if not value.is_absolute() or ".." in value.parts or len(str(value)) > SOCKET_BYTES_MAX:
            raise ValueError(f"socket: a whole path of at most {SOCKET_BYTES_MAX} bytes")
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> KubernetesSettings:
        if self.enabled and not (self.app and self.key and self.classification):
            raise ValueError("app, key and classification are wanted")
        return self
