"""Settings of the door that encrypts payloads for any SaaS: `[doors.payloads]`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from hyok.doors.listener import MutualListenerSettings


class BsnTokenSettings(BaseModel, extra="forbid", frozen=True):
    """`[[doors.payloads.bsn_tokens]]`: a key that makes tokens of nine digits of BSNs."""

    key: str = Field(pattern=r"^[^/\s]{1,160}/[A-Za-z0-9-]{1,64}$")
    elfproef: Literal["fails", "passes"] = "fails"


class PayloadSettings(MutualListenerSettings, frozen=True):
    """`[doors.payloads]`: JWE tokens and fields of JSON documents over REST."""

    port: int = Field(default=8450, ge=0, le=65535)
    values_per_second_max: int = Field(default=2_000, ge=1, le=1_000_000)
    failures_per_minute_max: int = Field(default=60, ge=1, le=100_000)
    document_bytes_max: int = Field(default=8 << 20, ge=64 << 10, le=64 << 20)
    files_in_flight_max: int = Field(default=16, ge=1, le=10_000)
    document_values_max: int = Field(default=10_000, ge=1, le=100_000)
    equality_index: bool = False
    bsn_tokens: tuple[BsnTokenSettings, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> PayloadSettings:
        if len({one.key for one in self.bsn_tokens}) != len(self.bsn_tokens):
            raise ValueError("bsn_tokens: a key is there twice")
        return self
