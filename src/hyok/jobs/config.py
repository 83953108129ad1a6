"""Settings of work that comes by itself: `[lifecycle]`."""

from __future__ import annotations

from pydantic import BaseModel, Field

DAY_SECONDS = 86_400


class LifecycleSettings(BaseModel, extra="forbid", frozen=True):
    day_seconds: int = Field(default=DAY_SECONDS, ge=1, le=DAY_SECONDS)
