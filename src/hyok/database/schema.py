"""Is the schema the newest?  Asked at every start, so without loading what migrates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

if TYPE_CHECKING:
    from sqlalchemy import Connection

NEWEST = "0019"
"""The last migration in `hyok.database.migrations`; a test compares them."""

_TABLE = "alembic_version"


def is_newest(connection: Connection) -> bool:
    """Say whether every migration was applied; nothing is written."""
    if not inspect(connection).has_table(_TABLE):
        return False
    applied = connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalars().all()  # noqa: S608 - our own name
    return list(applied) == [NEWEST]
