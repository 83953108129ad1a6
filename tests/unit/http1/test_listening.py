"""Who comes with many others is let in with them, not after those who are inside already."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING

import pytest

from hyok.errors import Unavailable
from hyok.http1 import listening
from hyok.http1.pump import PumpPool
from hyok.http1.server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hyok.http1.exchange import Exchange

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
MANY = 48


@pytest.fixture
def pump() -> Iterator[PumpPool]:
    pool = PumpPool(1)
    yield pool
    pool.close()


def ask(port: int) -> socket.socket:
    """Connect and send a request.  The kernel takes both, though nobody was let in yet."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(REQUEST)
    return client


async def test_a_burst_of_connections_is_served_in_the_same_few_turns_of_the_loop(
    pump: PumpPool,
) -> None:
    turn = 0
    begun: list[int] = []
    everybody = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        begun.append(turn)
        if len(begun) == MANY:
            everybody.set()
        await everybody.wait()
        await exchange.respond(200, [], b"")

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    server = await serve(handler, pump=pump)
    counting = asyncio.create_task(count())
    clients = [ask(server.port) for _ in range(MANY)]
    try:
        await asyncio.wait_for(everybody.wait(), timeout=10)
    finally:
        counting.cancel()
        for client in clients:
            client.close()
        await server.close()
    assert begun[-1] - begun[0] <= 4


async def test_who_finds_no_descriptor_left_is_let_in_later(
    pump: PumpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "PAUSE_SECONDS", 0.05)
    refusals = 3

    class Exhausted(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"in")

    listener = Exhausted(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    server = await serve(handler, pump=pump, sock=listener)
    client = ask(server.port)
    try:
        answer = await asyncio.to_thread(client.recv, 1 << 16)
    finally:
        client.close()
        await server.close()
    assert answer.endswith(b"in")
    assert not refusals


async def test_nobody_is_let_in_once_the_door_is_closed(pump: PumpPool) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"")

    server = await serve(handler, pump=pump)
    await server.close()
    await server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server.port)


async def test_a_port_that_another_process_has_is_told_with_its_number(pump: PumpPool) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"")

    server = await serve(handler, pump=pump)
    try:
        with pytest.raises(Unavailable) as caught:
            await serve(handler, pump=pump, port=server.port)
    finally:
        await server.close()
    assert caught.value.code == "HY-1007"
    assert f"port {server.port} of 127.0.0.1" in caught.value.explain()
