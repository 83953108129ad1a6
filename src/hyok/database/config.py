"""Settings of the database: `[database]`."""

from __future__ import annotations

from pydantic import BaseModel


class DatabaseSettings(BaseModel, extra="forbid", frozen=True):
    url: str = "sqlite:////var/lib/hyok/hyok.db"
