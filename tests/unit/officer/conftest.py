"""A door for each test, over a database of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.officer.door import Door, opened

from hyok.database.engine import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    database = Database(f"sqlite:///{tmp_path}/hyok.db")
    database.migrate()
    yield await opened(database)
    database.close()
