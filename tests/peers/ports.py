"""Ports for servers that a test starts: none that a client's connection is given meanwhile.

Between being chosen and being listened on a port is nobody's.  Those that the kernel gives to
whoever asks for any are given to connections too, of which a suite has thousands: a server that
comes up twenty seconds later then finds its port taken.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
from contextlib import suppress

FIRST, PORTS = 10_240, 10_240
"""Below Linux's ephemeral ports, which begin at 32768, and so are these and 10,000 more."""

TWIN = 10_000
"""SeaweedFS listens that far above each of its ports as well."""

BLOCK = 16
"""hyok's workers listen on the ports behind the first one."""

LANES = 4
_BLOCKS = PORTS // BLOCK // LANES


def _lane() -> int:
    """Return which ports are this process's: those of lanes side by side are different ones."""
    number = re.search(r"\d+$", os.environ.get("PYTEST_XDIST_WORKER", ""))
    return int(number[0]) % LANES if number else LANES - 1


_turn = itertools.count(os.getpid())


def free_port() -> int:
    """Return a port on which nobody listens on loopback, nor on its twin."""
    for _ in range(_BLOCKS):
        port = FIRST + (next(_turn) % _BLOCKS * LANES + _lane()) * BLOCK
        if _is_free(port) and _is_free(port + TWIN):
            return port
    raise OSError("no port is free for a server of the tests")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        # As servers do: connections that ended a moment ago keep nobody away.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False
