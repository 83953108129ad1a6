"""The PROXY protocol, version 2: who the client is, told by the balancer in front of the door.

Where a TLS terminator or a balancer connects in the clients' stead, limits for each client, guesses
and records would all be about the balancer.  Its first bytes say otherwise, and only from addresses
that the settings name: anybody else could say anything.

Source: The PROXY protocol, versions 1 and 2 (haproxy.org), sections 2.2 and 2.2.1.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import structlog
from typing_extensions import override

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

log = structlog.get_logger("hyok.http1")

TOLD_AGAIN_SECONDS = 60.0
_told: dict[str, float] = {}

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HEADER_BYTES_MAX = 16 + 2048
"""Addresses take 36 bytes; the rest is for a balancer's own notes, which are skipped."""

_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_BYTES = {_TCP4: 4, _TCP6: 16}


@dataclass(frozen=True, slots=True)
class Told:
    """A whole header: its length in bytes, and the client's address; None: the balancer's own."""

    length: int
    client: str | None


def parse_header(data: bytes) -> Told | None:
    """Return what the first bytes of a connection say; None: more are needed.

    Raises:
        Malformed: they are no header of version 2 about a TCP connection.
    """
    if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
        raise Malformed("the connection begins with no PROXY header of version 2")
    if len(data) < _FIXED.size:
        return None
    _, command, family, rest = _FIXED.unpack_from(data)
    length = _FIXED.size + rest
    if command not in {_LOCAL, _PROXY} or length > HEADER_BYTES_MAX:
        raise Malformed("the PROXY header has an unknown command, or is too long")
    if len(data) < length:
        return None
    if command == _LOCAL:  # a health check of the balancer; addresses mean nothing (section 2.2)
        return Told(length, None)
    size = _ADDRESS_BYTES.get(family, 0)
    if not size or rest < 2 * size + 4:
        raise Malformed("the PROXY header is not about a TCP connection over IPv4 or IPv6")
    client = ipaddress.ip_address(data[_FIXED.size : _FIXED.size + size])
    return Told(length, str(client))


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks of a setting: addresses, or networks as ``10.1.0.0/16``.

    Raises:
        ValueError: one is neither.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def _address_of(peername: object) -> Address | None:
    """Return the address of a peer; an IPv4 one on a socket of IPv6 as what it is."""
    if not isinstance(peername, tuple):  # it is gone already
        return None
    address = ipaddress.ip_address(str(peername[0]).partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


class Preamble(asyncio.BufferedProtocol):
    """The first bytes of a connection from a balancer; afterwards another protocol goes on.

    A connection from elsewhere, one that begins otherwise and one that is too slow are closed: no
    answer would be right, since nobody knows whom it is for.
    """

    def __init__(
        self,
        trusted: Sequence[Network],
        seconds_max: float,
        follow: Callable[[str | None], asyncio.BufferedProtocol],
    ) -> None:
        """``follow`` makes the protocol that goes on, of the client's address; None: the peer's."""
        self._trusted = trusted
        self._seconds_max = seconds_max
        self._follow = follow
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(HEADER_BYTES_MAX)
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = _address_of(transport.get_extra_info("peername"))
        if peer is None or not any(peer in network for network in self._trusted):
            self._close("http1.not_a_balancer", peer)
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds_max, self._transport.abort)

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._held :]

    @override
    def buffer_updated(self, nbytes: int) -> None:
        assert self._transport is not None
        self._held += nbytes
        held = bytes(self._buffer[: self._held])
        try:
            told = parse_header(held)
        except Malformed:
            name = self._transport.get_extra_info("peername")
            self._close("http1.no_proxy_header", _address_of(name))
            return
        if told is not None and not self._transport.is_closing():
            self._go_on(told.client, held[told.length :])

    def _close(self, event: str, peer: Address | None) -> None:
        """Close, and tell whoever runs this, who is told nowhere else; not of each connection."""
        assert self._transport is not None
        self._transport.abort()
        now = time.monotonic()
        if now >= _told.get(event, float("-inf")) + TOLD_AGAIN_SECONDS:
            _told[event] = now
            log.warning(event, peer=str(peer), next_step="gateway.proxy_protocol_from")

    def _go_on(self, client: str | None, rest: bytes) -> None:
        assert self._transport is not None
        if self._timer is not None:
            self._timer.cancel()
        protocol = self._follow(client)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        while rest and not self._transport.is_closing():
            room = memoryview(protocol.get_buffer(len(rest)))
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            protocol.buffer_updated(count)
            rest = rest[count:]

    @override
    def eof_received(self) -> None:
        return None  # the transport closes itself

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
