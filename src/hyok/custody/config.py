"""Settings of the policy that custody decides by: `[policies]`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel


class PolicySettings(BaseModel, extra="forbid", frozen=True):
    directory: Path = Path("/usr/share/hyok/policies")
