"""Ports that nobody listens on."""

from __future__ import annotations

import pytest
from tests.peers.ports import free_port


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Return two; the second is above the first ports that everybody may use."""
    return free_port(), free_port()
