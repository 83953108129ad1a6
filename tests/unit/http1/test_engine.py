"""The engine against itself and raw sockets: bodies both ways, TLS, limits, and honest endings."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from hyok.cli.certificates import make_development_certificates
from hyok.errors import Malformed, Unavailable
from hyok.http1.client import Pool
from hyok.http1.limits import Limits
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings, client_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from hyok.http1.exchange import Exchange, Wire
    from hyok.http1.server import Server

HOST = [("host", "localhost")]
PIECE = 262_144
BROKEN: list[bytes] = []
"""Answers that a handler was told nobody took."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_development_certificates(folder)
    return folder


@pytest.fixture
def pump() -> Iterator[PumpPool]:
    pool = PumpPool(8)
    yield pool
    pool.close()


def body_of(size: int) -> bytes:
    """Return bytes of which no two kilobytes are alike."""
    return b"".join(b"%08d" % number for number in range(size // 8 + 1))[:size]


async def handler(exchange: Exchange) -> None:  # noqa: C901 - a table of small answers
    target, method = exchange.head.target, exchange.head.method
    if target.startswith(b"/pump") and method == "PUT":

        def read(wire: Wire) -> bytes:
            digest = hashlib.sha256()
            room = memoryview(bytearray(PIECE))
            while count := wire.source.read_into(room):
                digest.update(room[:count])
            return digest.hexdigest().encode()

        await exchange.respond(200, [], await exchange.pump(read))
    elif target.startswith(b"/front"):
        front = await exchange.read_some(7)
        most = int(target.rpartition(b"/")[2])

        def rest(wire: Wire) -> bytes:
            whole, room = bytearray(), memoryview(bytearray(PIECE))
            while count := wire.source.read_into(room):
                whole += room[:count]
            return bytes(whole)

        behind = await exchange.read_whole(1 << 20) if most else await exchange.pump(rest)
        digest = hashlib.sha256(bytes(front) + bytes(behind)).hexdigest()
        await exchange.respond(200, [], f"{len(front)} {digest}".encode())
    elif target.startswith(b"/refuse"):
        await exchange.respond(403, [], b"no")
    elif target.startswith(b"/slow"):
        await asyncio.sleep(0.5)
        await exchange.respond(200, [], b"slow")
    elif method == "PUT":
        whole = await exchange.read_whole(1 << 21)
        await exchange.respond(200, [], hashlib.sha256(whole).hexdigest().encode())
    elif target.startswith(b"/pump"):
        size = int(target.split(b"/")[-1])

        def write(wire: Wire) -> None:
            sink = wire.start(200, [], size)
            room = memoryview(b"x" * PIECE)
            for at in range(0, size, PIECE):
                sink.write(room[: min(PIECE, size - at)])

        await exchange.pump(write)
    elif target.startswith(b"/pieces"):
        pieces = await exchange.respond_in_pieces(200, [("x-a", "b")])
        if pieces is None:
            await exchange.respond(200, [], b"whole")
            return
        for _ in range(3):
            await pieces.write(b" ")
        if target.endswith(b"end"):
            await pieces.end(b"done")
        else:
            exchange.abort()
    elif target.startswith(b"/whole"):
        try:
            await exchange.respond(200, [], body_of(int(target.rpartition(b"/")[2])))
        except ConnectionError:
            BROKEN.append(target)
            raise
    elif target.startswith(b"/short"):

        def fail(wire: Wire) -> None:
            wire.start(200, [], 1000).write(memoryview(b"x" * 500))
            raise Malformed("it went wrong")

        await exchange.pump(fail)
    else:
        await exchange.respond(200, [("x-peer", exchange.head.peer)], target)


@pytest.fixture
async def opened(
    pump: PumpPool, certificates: Path
) -> AsyncIterator[Callable[..., Awaitable[tuple[Server, Pool]]]]:
    made: list[tuple[Server, Pool]] = []

    async def make(*, tls: bool = False, limits: Limits | None = None) -> tuple[Server, Pool]:
        settings = TlsSettings(certificates / "gateway.pem", certificates / "gateway.key")
        server = await serve(handler, pump=pump, tls=settings if tls else None, limits=limits)
        scheme = "https" if tls else "http"
        context = client_context(certificates / "ca.pem") if tls else None
        pool = Pool(f"{scheme}://localhost:{server.port}", context=context)
        made.append((server, pool))
        return server, pool

    yield make
    for server, pool in made:
        await pool.close()
        await server.close()
    await asyncio.sleep(0)


async def test_each_loop_is_the_one_that_the_name_of_the_test_says(
    request: pytest.FixtureRequest,
) -> None:
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    assert loop in request.node.name


@pytest.mark.parametrize("tls", [False, True])
async def test_an_answer_in_pieces_is_whole_when_it_is_ended_and_only_then(
    opened, tls: bool
) -> None:
    _, pool = await opened(tls=tls)
    for _ in range(2):  # the connection serves on
        answer = await pool.request("GET", "/pieces/end", HOST)
        assert (answer.body, answer.headers["x-a"]) == (b"   done", "b")
    with pytest.raises(Unavailable):
        await pool.request("GET", "/pieces/broken", HOST)


async def test_list_is_a_method_without_a_body_as_get_is(pump: PumpPool) -> None:
    seen: list[tuple[str, bytes, int | None]] = []

    async def note(exchange: Exchange) -> None:
        seen.append((exchange.head.method, exchange.head.target, exchange.content_length))
        await exchange.respond(200, [], b"ok")

    server = await serve(note, pump=pump)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"LIST /v1/transit/keys HTTP/1.1\r\nhost: x\r\n\r\n")
    writer.write(b"GET /LIST HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    answers = await reader.read()
    assert answers.count(b"200 OK") == 2
    assert [one[:2] for one in seen] == [("LIST", b"/v1/transit/keys"), ("GET", b"/LIST")]
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"LISTS /x HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"400" in await reader.read()
    writer.close()
    await server.close()


async def test_a_client_of_http_1_0_gets_no_pieces(opened) -> None:
    server, _ = await opened()
    reader, writer = await asyncio.open_connection("localhost", server.port)
    writer.write(b"GET /pieces/end HTTP/1.0\r\nhost: localhost\r\n\r\n")
    answer = await reader.read()
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\nwhole")
    writer.close()


@pytest.mark.parametrize("tls", [False, True])
async def test_bodies_arrive_whole_both_ways(opened, pump: PumpPool, tls: bool) -> None:
    _, pool = await opened(tls=tls)
    for size in (0, 1, 1000, 70_000, 1 << 20):
        body = os.urandom(size)
        answer = await pool.request("PUT", "/whole", HOST, body)
        assert answer.body.decode() == hashlib.sha256(body).hexdigest()
    body = os.urandom(3_000_001)
    for _ in range(3):
        upload = await pool.upload("PUT", "/pump", HOST, len(body))

        def send(upload=upload) -> bytes:
            for at in range(0, len(body), PIECE):
                upload.write(memoryview(body)[at : at + PIECE])
            return upload.finish().body

        assert (await pump.run(send)).decode() == hashlib.sha256(body).hexdigest()
    for size in (1, 300_000, 5_000_000):
        download = await pool.download("GET", f"/pump/{size}", HOST)
        await download.prepare()

        def receive(download=download) -> int:
            room = memoryview(bytearray(PIECE))
            return sum(iter(lambda: download.read_into(room), 0))

        assert await pump.run(receive) == size


async def test_the_target_reaches_the_handler_as_it_was_sent(opened) -> None:
    _, pool = await opened()
    for target in ("//a//b/../c", "/%2F%2f+%20", "/a?b=c&d", "/~;:@"):
        assert (await pool.request("GET", target, HOST)).body == target.encode()


@pytest.mark.parametrize("tls", [False, True])
async def test_an_answer_cut_short_is_seen_as_an_error(opened, pump: PumpPool, tls: bool) -> None:
    _, pool = await opened(tls=tls)
    download = await pool.download("GET", "/short", HOST)
    await download.prepare()

    def receive() -> int:
        room = memoryview(bytearray(PIECE))
        return sum(iter(lambda: download.read_into(room), 0))

    with pytest.raises(Unavailable):
        await pump.run(receive)


async def raw(server: Server, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes, return everything until the server closes or two seconds pass."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=2) as sock:
            sock.sendall(request)
            if end:
                sock.shutdown(socket.SHUT_WR)
            seen = b""
            try:
                while piece := sock.recv(65536):
                    seen += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return seen

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(opened, head: bytes) -> None:
    server, _ = await opened()
    seen = await raw(server, head)
    assert seen.startswith(b"HTTP/1.1 400 ")
    assert seen.count(b"HTTP/1.1") == 1


async def test_a_head_too_long_or_with_too_many_headers_is_refused(opened) -> None:
    server, _ = await opened(limits=Limits(head_bytes_max=2000, header_count_max=20))
    long = b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 3000 + b"\r\n\r\n"
    many = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30 + b"\r\n"
    assert (await raw(server, long)).startswith(b"HTTP/1.1 400 ")
    assert (await raw(server, many)).startswith(b"HTTP/1.1 400 ")


async def test_slow_heads_and_idle_connections_are_closed(opened) -> None:
    server, _ = await opened(limits=Limits(head_seconds_max=0.2, idle_seconds_max=0.2))
    loop = asyncio.get_running_loop()
    for sent in (b"", b"GET / HTTP/1.1\r\nHo"):
        began = loop.time()
        assert await raw(server, sent) == b""
        assert loop.time() - began < 1.5


async def test_a_body_that_stalls_is_broken_off(opened) -> None:
    server, _ = await opened(limits=Limits(body_stall_seconds_max=0.2))
    loop = asyncio.get_running_loop()
    for target in (b"/whole", b"/pump"):
        began = loop.time()
        seen = await raw(
            server, b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"
        )
        assert b" 200 " not in seen
        assert loop.time() - began < 1.8


@pytest.mark.parametrize("target", [b"/whole", b"/pump"])
async def test_a_body_that_only_drips_is_broken_off(opened, target: bytes) -> None:
    """No single wait of it is long: it is the rate that ends it, on the loop and in a thread."""
    server, _ = await opened(
        limits=Limits(body_stall_seconds_max=0.3, body_bytes_per_second_min=1000)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")

    async def drip() -> None:
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(3):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()


async def test_a_body_slower_than_a_wait_but_not_than_the_least_rate_arrives(opened) -> None:
    """All of it takes longer than one wait may."""
    server, _ = await opened(
        limits=Limits(body_stall_seconds_max=0.2, body_bytes_per_second_min=100)
    )
    body = bytes(range(240))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"PUT /pump HTTP/1.1\r\nHost: x\r\nContent-Length: 240\r\n\r\n")
    for at in range(0, len(body), 20):
        writer.write(body[at : at + 20])
        await asyncio.sleep(0.06)
    async with asyncio.timeout(3):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(64) == hashlib.sha256(body).hexdigest().encode()
    writer.close()


async def test_a_client_that_takes_too_little_of_a_pumped_answer_is_broken_off(opened) -> None:
    """What it takes restarts no time-out: a view is sent within one, or not at all."""
    server, _ = await opened(limits=Limits(body_stall_seconds_max=0.3))

    def slowly() -> float:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(5)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"GET /pump/50000000 HTTP/1.1\r\nhost: x\r\n\r\n")
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - began < 4 and sock.recv(512):
                    time.sleep(0.05)
            return time.monotonic() - began

    taking = asyncio.create_task(asyncio.to_thread(slowly))
    await asyncio.sleep(0.2)
    assert server.in_flight == 1
    async with asyncio.timeout(3):
        while server.in_flight:
            await asyncio.sleep(0.05)
    assert await taking < 4


async def test_one_client_gets_no_more_connections_than_its_share(opened) -> None:
    server, _ = await opened(limits=Limits(connections_per_client_max=2))

    def hold() -> list[bytes]:
        place = ("127.0.0.1", server.port)
        socks = [socket.create_connection(place, timeout=2) for _ in range(2)]
        seen = []
        with contextlib.suppress(ConnectionError):  # one too many may be refused that early
            socks.append(socket.create_connection(place, timeout=2))
        for sock in socks:
            try:
                sock.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
                seen.append(sock.recv(100))
            except OSError:
                seen.append(b"")
        for sock in socks:
            sock.close()
        return seen

    seen = await asyncio.to_thread(hold)
    assert [bool(answer) for answer in seen] in ([True, True, False], [True, True])


async def test_requests_beyond_the_limit_are_told_to_slow_down(opened) -> None:
    server, pool = await opened(limits=Limits(requests_in_flight_max=1))
    first = asyncio.create_task(pool.request("GET", "/slow", HOST))
    await asyncio.sleep(0.1)
    seen = await raw(server, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert seen.startswith(b"HTTP/1.1 503 ")
    assert b"SlowDown" in seen
    assert (await first).body == b"slow"


async def test_a_refused_upload_is_never_asked_to_continue(opened) -> None:
    server, _ = await opened()
    head = b"Host: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    refused = await raw(server, b"PUT /refuse HTTP/1.1\r\n" + head)
    assert refused.startswith(b"HTTP/1.1 403 ")
    welcome = await raw(server, b"PUT /whole HTTP/1.1\r\n" + head)
    assert welcome == b"HTTP/1.1 100 Continue\r\n\r\n"


async def test_an_empty_upload_is_asked_to_continue_too(opened) -> None:
    """Or else its connection is closed: botocore misreads what comes after on the same one."""
    server, _ = await opened()
    head = b"Host: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"
    taken = await raw(server, b"PUT /whole HTTP/1.1\r\n" + head)
    assert taken.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    refused = await raw(server, b"PUT /refuse HTTP/1.1\r\n" + head)
    assert refused.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in refused


async def test_requests_in_one_packet_are_answered_in_order(opened) -> None:
    server, _ = await opened()
    put = b"PUT /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    chunked = (
        b"PUT /pump HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: x\r\n\r\n"
    )
    get = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    seen = await raw(server, put + chunked + put + get)
    digest = hashlib.sha256(b"abc").hexdigest().encode()
    assert seen.count(digest) == 3
    assert seen.endswith(b"/last")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("most", [0, 1])  # the rest in a pump thread, and on the loop
async def test_the_front_of_a_body_may_be_read_first(opened, tls: bool, most: int) -> None:
    _, pool = await opened(tls=tls)
    body = bytes(range(256)) * 3000
    answer = await pool.request("PUT", f"/front/{most}", HOST, body)
    count, _, digest = answer.body.decode().partition(" ")
    assert 1 <= int(count) <= 7
    assert digest == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("most", [b"0", b"1"])
async def test_the_front_of_a_chunked_body_may_be_read_first(opened, most: bytes) -> None:
    server, _ = await opened()
    seen = await raw(
        server,
        b"PUT /front/" + most + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n"
        b"4\r\nabcd\r\n6\r\nefghij\r\n1\r\nk\r\n0\r\n\r\n",
    )
    assert hashlib.sha256(b"abcdefghijk").hexdigest().encode() in seen


async def test_a_drain_loses_no_request(opened) -> None:
    server, pool = await opened()
    running = [asyncio.create_task(pool.request("GET", "/slow", HOST)) for _ in range(5)]
    await asyncio.sleep(0.2)
    await server.drain(5)
    answers = await asyncio.gather(*running)
    assert [answer.body for answer in answers] == [b"slow"] * 5
    assert all(answer.headers["connection"] == "close" for answer in answers)
    with pytest.raises(Unavailable):
        await pool.request("GET", "/x", HOST)


async def test_a_kept_connection_that_died_is_replaced_unseen(opened) -> None:
    _, pool = await opened(limits=Limits(idle_seconds_max=0.1))
    assert (await pool.request("GET", "/1", HOST)).status == 200
    await asyncio.sleep(0.3)
    assert (await pool.request("GET", "/2", HOST)).status == 200


async def test_tls_is_modern_and_the_store_is_verified(opened, certificates: Path) -> None:
    server, _ = await opened(tls=True)
    unknown = Pool(f"https://localhost:{server.port}", context=ssl.create_default_context())
    with pytest.raises(Unavailable):
        await unknown.request("GET", "/", HOST)
    await unknown.close()

    def shake(version: ssl.TLSVersion, ciphers: str) -> str:
        context = ssl.create_default_context(cafile=certificates / "ca.pem")
        context.minimum_version = context.maximum_version = version
        if ciphers:
            context.set_ciphers(ciphers)
        with (
            socket.create_connection(("127.0.0.1", server.port)) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as wrapped,
        ):
            return wrapped.cipher()[0]

    assert await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_3, "")
    assert "GCM" in await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM")
    with pytest.raises(ssl.SSLError):
        await asyncio.to_thread(shake, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-SHA")


@pytest.mark.parametrize(("once", "sent"), [(False, 2), (True, 1)])
async def test_a_request_that_must_not_be_repeated_is_not_sent_over_a_dying_connection(
    once: bool, sent: int
) -> None:
    """A peer that acts on a PUT and goes away before it answers, the first time."""
    puts: list[bytes] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                if request.startswith(b"PUT"):
                    puts.append(request)
                    if len(puts) == 1:
                        break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(peer, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    assert (await pool.request("GET", "/warm", HOST)).status == 200
    if once:
        with pytest.raises(Unavailable):
            await pool.request("PUT", "/x", HOST, once=True)
    else:
        assert (await pool.request("PUT", "/x", HOST)).status == 200
    assert len(puts) == sent
    await pool.close()
    listening.close()
    await asyncio.gather(*(task for task in tasks if task is not None))


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_048_576, 2_097_153, 5_000_000])
async def test_a_whole_body_of_any_length_is_read_as_it_was_sent(
    opened: Callable[..., Awaitable[tuple[Server, Pool]]], size: int, tls: bool
) -> None:
    _, pool = await opened(tls=tls)
    for _ in range(2):  # the second over the kept connection
        answer = await pool.request("GET", f"/whole/{size}", HOST)
        assert answer.body == body_of(size)
    if size <= 1 << 21:
        told = await pool.request("PUT", "/", HOST, body_of(size))
        assert told.body == hashlib.sha256(body_of(size)).hexdigest().encode()


@pytest.mark.parametrize("size", [70_000, 300_000, 2_000_000])
async def test_what_follows_a_body_at_once_is_the_next_request_and_nothing_else(
    opened: Callable[..., Awaitable[tuple[Server, Pool]]], size: int
) -> None:
    server, _ = await opened()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size
    last = b"GET /the-last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    writer.write((head + body_of(size)) * 3 + last)
    answers = (await reader.read()).split(b"HTTP/1.1 200 OK")[1:]
    writer.close()
    digest = hashlib.sha256(body_of(size)).hexdigest().encode()
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [
        digest,
        digest,
        digest,
        b"/the-last",
    ]


async def test_a_body_that_ends_early_is_an_incomplete_one(
    opened: Callable[..., Awaitable[tuple[Server, Pool]]],
) -> None:
    server, _ = await opened()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n" + body_of(400_000))
    writer.write_eof()
    got = b""
    with contextlib.suppress(ConnectionResetError):
        got = await reader.read()
    assert got == b"", "no answer that could be taken for a success"
    writer.close()


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of three callers: the one who is meant, a stranger, a namesake of another CA."""
    folder = tmp_path_factory.mktemp("callers")
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    for name, issued in {
        "kms": ours.issue_cert("cks.example", common_name="CKS.example"),
        "stranger": ours.issue_cert("elders.example", common_name="elders.example"),
        "namesake": theirs.issue_cert("cks.example", common_name="cks.example"),
    }.items():
        issued.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    return folder


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("caller", "gets_in"),
    [("kms", True), ("stranger", False), ("namesake", False), ("", False)],
)
async def test_only_who_shows_the_right_name_of_the_right_authority_gets_in(
    pump: PumpPool,
    certificates: Path,
    callers: Path,
    caller: str,
    version: ssl.TLSVersion,
    *,
    gets_in: bool,
) -> None:
    asked = []

    async def handler(exchange: Exchange) -> None:
        asked.append(exchange.head.peer_certificate)
        await exchange.respond(200, [])

    tls = TlsSettings(
        certificates / "gateway.pem",
        certificates / "gateway.key",
        callers / "ca.pem",
        frozenset({"cks.EXAMPLE"}),
    )
    server = await serve(handler, pump=pump, tls=tls)
    context = client_context(certificates / "ca.pem")
    context.maximum_version = version
    if caller:
        context.load_cert_chain(callers / f"{caller}.pem")
    answer = b""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        answer = await reader.read(12)
        writer.close()
    except OSError:
        pass
    await server.close()
    assert (answer == b"HTTP/1.1 200") is gets_in
    assert len(asked) == gets_in
    assert all(asked)


async def test_a_client_that_takes_nothing_of_its_answer_is_broken_off(
    opened: Callable[..., Awaitable[tuple[Server, Pool]]],
) -> None:
    """Or else it would hold one of the requests in flight for ever."""
    server, _ = await opened(
        limits=Limits(body_stall_seconds_max=0.2, body_bytes_per_second_min=1 << 30)
    )
    loop, sock = asyncio.get_running_loop(), socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    await loop.sock_sendall(sock, b"GET /whole/50000000 HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(0.1)
    assert server.in_flight == 1
    async with asyncio.timeout(3):
        while server.in_flight:
            await asyncio.sleep(0.05)
    assert BROKEN.pop() == b"/whole/50000000"
    sock.close()


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(
    opened: Callable[..., Awaitable[tuple[Server, Pool]]],
) -> None:
    server, _ = await opened(limits=Limits(body_stall_seconds_max=0.1))

    def slowly() -> int:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(5)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"GET /whole/12000000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            time.sleep(0.5)
            seen = 0
            while piece := sock.recv(1 << 20):
                seen += len(piece)
            return seen

    assert await asyncio.to_thread(slowly) > 12_000_000


async def test_what_a_peer_sends_unasked_is_no_answer_to_the_next_request() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    asked: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer + b"right")
                await asyncio.sleep(0.05)
                writer.write(answer + b"wrong")
        writer.close()

    listening = await asyncio.start_server(peer, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    answers = []
    for _ in range(2):
        answers.append((await pool.request("GET", "/", HOST)).body)
        await asyncio.sleep(0.1)
    await pool.close()
    listening.close()
    await asyncio.sleep(0.05)
    assert (answers, len(asked)) == ([b"right", b"right"], 2)


async def test_a_store_whose_answer_only_drips_is_given_up(pump: PumpPool) -> None:
    async def serve_one(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seconds_max=0.3)
    download = await pool.download("GET", "/", [("host", "x")])
    await download.prepare()

    def read() -> None:
        room = memoryview(bytearray(PIECE))
        while download.read_into(room):
            pass

    async with asyncio.timeout(3):
        with pytest.raises(Unavailable):
            await pump.run(read)
    await pool.close()
    server.close()


@pytest.mark.parametrize("what", ["a body that stalls", "a body that is taken by nobody"])
async def test_a_thread_leaves_a_store_that_stands_still(pump: PumpPool, what: str) -> None:
    """The kernel keeps the time, and the loop has its connection back afterwards."""
    still = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if what == "a body that stalls":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b"x" * 99)
        await still.wait()
        reader.feed_eof()
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seconds_max=0.3)
    room = memoryview(bytearray(PIECE))
    began = time.monotonic()
    if what == "a body that stalls":
        download = await pool.download("GET", "/", HOST)
        await download.prepare()

        def move() -> None:
            while download.read_into(room):
                pass
    else:
        upload = await pool.upload("PUT", "/", HOST, 1000 * PIECE)

        def move() -> None:
            for _ in range(1000):  # more than the kernel keeps for both ends
                upload.write(room)
            upload.finish()

    with pytest.raises(Unavailable):
        await pump.run(move)
    assert time.monotonic() - began < 2
    await asyncio.sleep(0.05)
    assert pool._room._value == 128, "its place in the pool is free again"
    still.set()
    await pool.close()
    server.close()


async def test_a_connection_that_a_thread_had_is_the_loops_again(opened, pump: PumpPool) -> None:
    """A duplicate blocks its socket for both; one that stayed so would stop the whole loop."""
    server, pool = await opened()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for size in (PIECE, 9):
        writer.write(b"PUT /pump HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(body_of(size))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(64) == hashlib.sha256(body_of(size)).hexdigest().encode()
        # Now the loop waits for a head on it, and must not wait in the kernel.
        began = time.monotonic()
        await asyncio.sleep(0.05)
        assert (await pool.request("GET", "/x", HOST)).body == b"/x"
        assert time.monotonic() - began < 1
    writer.write(b"GET /whole/50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.2)  # it takes nothing; who is sent a body by the loop holds nobody up
    async with asyncio.timeout(2):
        assert (await pool.request("GET", "/y", HOST)).body == b"/y"
    writer.close()
