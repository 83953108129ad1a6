"""The PROXY protocol: who the client is by what a balancer says, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from hyok.cli.certificates import make_development_certificates
from hyok.errors import Malformed
from hyok.http1 import proxy
from hyok.http1.limits import Limits
from hyok.http1.proxy import SIGNATURE, Told, parse_header, parse_networks
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hyok.http1.exchange import Exchange
    from hyok.http1.server import Server

LOOPBACK = parse_networks(["127.0.0.1"])
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def header(command: int = 0x21, family: int = 0x11, body: bytes = b"", more: bytes = b"") -> bytes:
    rest = body + more
    return struct.pack("!12sBBH", SIGNATURE, command, family, len(rest)) + rest


def tcp4(client: str, more: bytes = b"") -> bytes:
    addresses = socket.inet_aton(client) + socket.inet_aton("10.0.0.1")
    return header(body=addresses + struct.pack("!HH", 40_000, 443), more=more)


def tcp6(client: str) -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, client) + bytes(16)
    return header(family=0x21, body=addresses + struct.pack("!HH", 40_000, 443))


NOTE = b"\x03\x00\x04crc!"


@pytest.mark.parametrize(
    ("data", "client"),
    [
        (tcp4("192.0.2.7"), "192.0.2.7"),
        (tcp4("192.0.2.7", NOTE), "192.0.2.7"),
        (tcp6("2001:db8::7"), "2001:db8::7"),
        (header(command=0x20, family=0x00), None),
        (header(command=0x20, family=0x11, body=bytes(12)), None),
    ],
)
def test_a_header_tells_the_client_and_how_long_it_is(data: bytes, client: str | None) -> None:
    assert parse_header(data + ASK) == Told(len(data), client)
    assert all(parse_header(data[:some]) is None for some in range(len(data)))


@pytest.mark.parametrize(
    "data",
    [
        ASK,
        b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 443\r\n",  # version 1
        header(command=0x11, body=bytes(12)),  # a version that there is not
        header(command=0x22, body=bytes(12)),  # a command that there is not
        header(family=0x12, body=bytes(12)),  # UDP
        header(family=0x31, body=bytes(216)),  # a Unix socket
        header(family=0x00, body=b""),  # a client that is not told
        header(body=bytes(11)),  # shorter than its addresses
        header(family=0x21, body=bytes(35)),
        header(body=bytes(12), more=bytes(3000)),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_header(data)


@given(st.binary(max_size=80).map(lambda tail: SIGNATURE + tail) | st.binary(max_size=80))
def test_no_bytes_break_it(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        told = parse_header(data)
        assert told is None or told.length <= len(data)


async def tell(exchange: Exchange) -> None:
    await exchange.respond(200, [], exchange.head.peer.encode())


@pytest.fixture
async def door() -> AsyncIterator[Server]:
    pump = PumpPool(2)
    server = await serve(tell, pump=pump, balancers=LOOPBACK, limits=Limits(head_seconds_max=0.3))
    yield server
    await server.close()
    pump.close()


async def say(port: int, *pieces: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send the pieces one after another; return what is answered until one second is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number, piece in enumerate(pieces):
            writer.write(piece)
            await writer.drain()
            if tls is not None and not number:
                await writer.start_tls(tls, server_hostname="localhost")
            await asyncio.sleep(0.02)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(1):
                return await reader.read(1000)
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_the_client_is_the_one_that_the_balancer_names(door: Server) -> None:
    assert (await say(door.port, tcp4("192.0.2.7") + ASK)).endswith(b"192.0.2.7")
    assert (await say(door.port, tcp6("2001:db8::7"), ASK)).endswith(b"2001:db8::7")
    whole = tcp4("192.0.2.9", NOTE) + ASK
    assert (await say(door.port, whole[:5], whole[5:30], whole[30:])).endswith(b"192.0.2.9")
    assert (await say(door.port, header(command=0x20, family=0), ASK)).endswith(b"127.0.0.1")


async def test_without_a_header_there_is_no_answer(door: Server) -> None:
    assert await say(door.port, ASK) == b""
    assert await say(door.port, tcp4("192.0.2.7")[:20]) == b"", "too slow"


async def test_who_runs_this_is_told_why_nobody_gets_in(
    door: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "_told", {})
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert await say(door.port, ASK) == b""
    assert [(one["event"], one["peer"]) for one in lines] == [
        ("http1.no_proxy_header", "127.0.0.1")
    ]


async def test_a_balancer_of_ipv4_is_known_on_a_socket_of_ipv6() -> None:
    pump = PumpPool(2)
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    sock.setblocking(False)
    server = await serve(tell, pump=pump, sock=sock, balancers=LOOPBACK)
    try:
        assert (await say(server.port, tcp4("192.0.2.7") + ASK)).endswith(b"192.0.2.7")
    finally:
        await server.close()
        pump.close()


async def test_only_a_balancer_may_say_who_the_client_is() -> None:
    pump = PumpPool(2)
    server = await serve(tell, pump=pump, balancers=parse_networks(["192.0.2.0/24", "::1"]))
    try:
        assert await say(server.port, tcp4("192.0.2.7") + ASK) == b""
    finally:
        await server.close()
        pump.close()


async def test_the_limit_of_connections_is_of_each_client_and_not_of_the_balancer() -> None:
    pump = PumpPool(2)
    limits = Limits(connections_per_client_max=1)
    server = await serve(tell, pump=pump, balancers=LOOPBACK, limits=limits)
    try:
        _, held = await asyncio.open_connection("127.0.0.1", server.port)
        held.write(tcp4("192.0.2.7"))
        await asyncio.sleep(0.1)
        assert await say(server.port, tcp4("192.0.2.7") + ASK) == b""
        assert (await say(server.port, tcp4("192.0.2.8") + ASK)).endswith(b"192.0.2.8")
        held.close()
        await held.wait_closed()
    finally:
        await server.close()
        pump.close()


async def test_a_balancer_that_leaves_tls_alone_is_followed_by_tls(tmp_path: Path) -> None:
    make_development_certificates(tmp_path)
    settings = TlsSettings(tmp_path / "gateway.pem", tmp_path / "gateway.key")
    pump = PumpPool(2)
    server = await serve(tell, pump=pump, tls=settings, balancers=LOOPBACK)
    try:
        context = client_context(tmp_path / "ca.pem")
        assert (await say(server.port, tcp4("192.0.2.7"), ASK, tls=context)).endswith(b"192.0.2.7")
    finally:
        await server.close()
        pump.close()
