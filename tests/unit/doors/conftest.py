"""Ports that nobody listens on."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Return two; the second is above the first ports that everybody may use."""
    found = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return found[0], found[1]
