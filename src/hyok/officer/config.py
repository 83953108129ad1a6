"""Settings of what officers are told: `[officers]`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from hyok.vocabulary import LOOPBACK


class OfficerSettings(BaseModel, extra="forbid", frozen=True):
    hook_command: tuple[str, ...] = ()
    hook_url: str = ""
    hook_seconds_max: float = Field(default=5.0, gt=0, le=60)

    @field_validator("hook_url")
    @classmethod
    def _is_private(cls, value: str) -> str:
        parts = urlsplit(value)
        plain = parts.scheme == "http" and parts.hostname in LOOPBACK
        if value and not (parts.hostname and (parts.scheme == "https" or plain)):
            raise ValueError("must be an https:// address, or http:// on this host")
        return value
