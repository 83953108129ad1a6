"""Settings of the security audit log: `[audit]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel


class AuditSettings(BaseModel, extra="forbid", frozen=True):
    file: Path = Path("/var/lib/hyok/audit/audit.jsonl")
