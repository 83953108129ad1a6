"""Settings of the database: `[database]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from hyok.database import postgresql


def _usable(url: str) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("this is no URL of a database") from None
    if parsed.drivername == "postgresql+psycopg":
        postgresql.check_url(parsed)
    elif parsed.drivername != "sqlite":
        raise ValueError("it must begin with sqlite:/// or postgresql+psycopg://")
    return url


class DatabaseSettings(BaseModel, extra="forbid", frozen=True):
    url: Annotated[str, AfterValidator(_usable)] = "sqlite:////var/lib/hyok/hyok.db"
