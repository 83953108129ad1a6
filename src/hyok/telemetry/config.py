"""Settings of the log: `[log]`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel


class LogSettings(BaseModel, extra="forbid", frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    file: Path | None = None
