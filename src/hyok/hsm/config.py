"""Settings of the HSM and its tokens: `[hsm]` and `[[hsm.tokens]]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, model_validator


class TokenSettings(BaseModel, extra="forbid", frozen=True):
    name: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    label: str
    pin_file: Path
    module: Path | None = None
    environment: dict[str, str] = Field(default_factory=dict)


class HsmSettings(BaseModel, extra="forbid", frozen=True):
    kind: Literal["pkcs11", "software"] = "pkcs11"
    profile: str = Field(default="softhsm", pattern=r"^[a-z0-9-]{1,32}$")
    profiles_directory: Path = Path("/usr/share/hyok/hsm/profiles")
    profiles: tuple[int, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    deadline_seconds: float = Field(default=5.0, gt=0, le=60)
    software_file: Path | None = None

    @model_validator(mode="after")
    def _has_keys(self) -> HsmSettings:
        if self.kind == "pkcs11" and not self.tokens:
            raise ValueError("hsm.tokens names no token; give at least one [[hsm.tokens]]")
        if len({token.name for token in self.tokens}) != len(self.tokens):
            raise ValueError("hsm.tokens: two tokens have one name")
        if self.kind == "software" and self.software_file is None:
            raise ValueError("hsm.software_file is missing")
        return self
