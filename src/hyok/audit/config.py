"""Settings of the security audit log: `[audit]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class AuditSettings(BaseModel, extra="forbid", frozen=True):
    file: Path = Path("/var/lib/hyok/audit/audit.jsonl")
    origin: str = Field(default="", pattern=r"^[!-*,-~]{0,200}$")
    checkpoint_records: int = Field(default=1000, ge=1, le=1_000_000)
    checkpoint_seconds: float = Field(default=60.0, ge=1, le=3600)
    key_version: int = Field(default=1, ge=1, le=9999)
