"""FailureLimit: how often one client may fail before it has to wait.

Only failures count, so that a busy client is never held up for being busy.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS_MAX = 10_000
"""Clients remembered; the one that failed longest ago is forgotten first."""

IPV6_BITS = 64
"""One subscriber has as many addresses as it likes below this prefix."""


class FailureLimit:
    """A bucket of failures for each client; it empties evenly over a minute.

    Args:
        per_minute: failures that one client has.
        monotonic: seconds that never go back.
    """

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # failures, as of when

    def is_over(self, peer: str) -> bool:
        """Has this client failed too often of late?"""
        return self._level(_client(peer)) > self._per_minute - 1

    def note(self, peer: str) -> None:
        """Count one failure."""
        client = _client(peer)
        self._held[client] = (self._level(client) + 1, self._monotonic())
        self._held.move_to_end(client)
        if len(self._held) > CLIENTS_MAX:
            self._held.popitem(last=False)

    def _level(self, client: str) -> float:
        failures, at = self._held.get(client, (0.0, 0.0))
        return max(0.0, failures - (self._monotonic() - at) * self._per_minute / 60)


def _client(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, IPV6_BITS), strict=False))
    return str(address)
