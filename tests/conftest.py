"""The order of the suite: what takes long begins first, so that the lanes end together."""

from __future__ import annotations

from pathlib import Path

import pytest

ORDER = ("fuzz", "compat", "e2e", "adversary", "faults", "conformance", "unit")
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders in this order; inside one, as they stand."""
    items.sort(key=lambda item: rank(item.path))


def rank(path: Path) -> int:
    folder = path.relative_to(TESTS).parts[0]
    return ORDER.index(folder) if folder in ORDER else len(ORDER)
