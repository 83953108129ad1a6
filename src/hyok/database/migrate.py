"""Migrations: from any released schema to the newest, inside the caller's transaction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def upgrade(connection: Connection, to: str = "head") -> None:
    """Apply every migration that is missing.  The caller holds the write lock and commits.

    ``to``: no further than this one.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))  # large tables take long
    command.upgrade(_config(connection), to)


def newest() -> str:
    """Return the identifier of the newest migration."""
    head = ScriptDirectory.from_config(_config(None)).get_current_head()
    assert head is not None
    return head


def versions() -> Sequence[str]:
    """Return the identifiers of all migrations, the first one first."""
    scripts = ScriptDirectory.from_config(_config(None))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _config(connection: Connection | None) -> Config:
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
