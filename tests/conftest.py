"""The order of the suite: what takes long begins first, so that the lanes end together.

No property fails because the machine is busy: what must be quick has a test that measures it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# What structlog does by itself draws every traceback in colours, which takes seconds a piece.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(default=repr),
    ]
)

ORDER = ("fuzz", "compat", "e2e", "adversary", "faults", "conformance", "unit")
TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders in this order; inside one, as they stand."""
    items.sort(key=lambda item: rank(item.path))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell who runs the suite which tests failed, where that is asked for."""
    wanted = os.environ.get("HYOK_TELL_FAILED")
    told = session.config.pluginmanager.get_plugin("terminalreporter")
    if not wanted or told is None or hasattr(session.config, "workerinput"):
        return
    bad = [*told.stats.get("failed", ()), *told.stats.get("error", ())]
    Path(wanted).write_text(json.dumps(sorted({report.nodeid for report in bad})))


def rank(path: Path) -> int:
    folder = path.relative_to(TESTS).parts[0]
    return ORDER.index(folder) if folder in ORDER else len(ORDER)
