"""Whatever was confirmed as durable is in the file, whenever the writer was killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random  # noqa: TID251 - moments of killing
import resource
import socket
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.audit.writers import WriterProcess, record

from hyok.audit.client import JournalClient
from hyok.audit.file import GAP
from hyok.audit.search import find
from hyok.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

KILLS = 40 if os.environ.get("HYOK_LONG") else 4


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[WriterProcess]:
    process = WriterProcess(tmp_path)
    process.start()
    process.wait_until_up()
    yield process
    process.stop()


@pytest.fixture
async def client(writer: WriterProcess) -> AsyncIterator[JournalClient]:
    journal = JournalClient(writer.socket)
    yield journal
    try:
        await journal.close()
    except Unavailable:
        return


async def test_a_durable_record_is_in_the_file_when_it_is_confirmed(
    writer: WriterProcess, client: JournalClient
) -> None:
    await client.record(record("r1"), durable=True)
    assert writer.lines()[-1]["request_id"] == "r1"
    assert writer.lines()[-1]["seq"] == 2


async def test_batched_records_arrive_within_a_second_and_in_order(
    writer: WriterProcess, client: JournalClient
) -> None:
    began = time.monotonic()
    for number in range(500):
        await client.record(record(f"r{number}"), durable=False)
    assert time.monotonic() - began < 1
    await asyncio.sleep(1)
    assert [line.get("request_id") for line in writer.lines()[1:]] == [f"r{n}" for n in range(500)]


async def test_waiting_records_share_one_sync(writer: WriterProcess, client: JournalClient) -> None:
    await client.record(record("first"), durable=True)
    before = time.monotonic()
    await asyncio.gather(*(client.record(record(f"r{n}"), durable=True) for n in range(2_000)))
    # Far below 2,000 syncs of even a fast disk; on a slow one a sync is some 10 ms.
    assert time.monotonic() - before < 5
    assert len(writer.lines()) == 2_002


async def test_the_socket_is_for_its_owner_alone(writer: WriterProcess) -> None:
    assert stat.S_IMODE(writer.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(writer.file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "nonsense",
    [b"X{}\n", b"D{\n", b"D[]\n", b'D{"seq":7}\n', b"D" + b"x" * 40_000, b"\n"],
)
async def test_a_peer_that_talks_nonsense_is_cut_off_and_writes_nothing(
    writer: WriterProcess, nonsense: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(str(writer.socket))
        peer.sendall(nonsense)
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    assert len(writer.lines()) == 1


async def test_every_confirmed_record_survives_kills_under_load(tmp_path: Path) -> None:
    moments = random.Random()
    writer = WriterProcess(tmp_path)
    writer.start()
    writer.wait_until_up()
    clients = [JournalClient(writer.socket, deadline_seconds=10) for _ in range(2)]
    confirmed: list[str] = []
    running = True

    async def load(name: str, journal: JournalClient) -> None:
        number = 0
        while running:
            number += 1
            await journal.record(record(f"{name}-{number}"), durable=True)
            confirmed.append(f"{name}-{number}")
            if number % 3 == 0:
                await journal.record(record(f"{name}-{number}-b"), durable=False)

    tasks = [
        asyncio.create_task(load(f"{c}.{n}", journal))
        for c, journal in enumerate(clients)
        for n in range(20)
    ]
    for kill in range(KILLS):
        # One in four may hit a writer that only begins; more in a row would be no writer for longer
        # than a client waits.
        if kill % 4:
            await asyncio.to_thread(writer.wait_until_up)
        await asyncio.sleep(moments.uniform(0.05, 0.4))
        await asyncio.to_thread(writer.kill)
        assert set(confirmed) <= {line.get("request_id") for line in _whole_lines(writer.file)}
        writer.start()
    await asyncio.sleep(0.3)
    running = False
    await asyncio.gather(*tasks)
    for journal in clients:
        await journal.close()
    assert await asyncio.to_thread(writer.stop) == 0
    lines = writer.lines()
    assert set(confirmed) <= {line.get("request_id") for line in lines}
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    # A writer killed before it wrote its first line leaves nothing to tell.
    assert 1 <= [line["action"] for line in lines].count(GAP) <= KILLS
    assert len(confirmed) > 100


def _whole_lines(path: Path) -> list[dict[str, object]]:
    raw = path.read_bytes()
    return [json.loads(line) for line in raw[: raw.rfind(b"\n") + 1].splitlines()]


async def test_without_a_writer_the_client_gives_up_after_its_deadline(tmp_path: Path) -> None:
    journal = JournalClient(tmp_path / "nobody.sock", deadline_seconds=0.1)
    began = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        await journal.record(record("r1"), durable=True)
    assert time.monotonic() - began < 1
    assert refusal.value.reason == "ServiceUnavailable"
    with pytest.raises(Unavailable):
        await journal.close()


async def test_batched_records_wait_too_once_nothing_was_confirmed_for_long(tmp_path: Path) -> None:
    journal = JournalClient(tmp_path / "nobody.sock", deadline_seconds=0.1)
    await journal.record(record("r1"), durable=False)
    await asyncio.sleep(0.6)
    with pytest.raises(Unavailable):
        await journal.record(record("r2"), durable=False)
    with pytest.raises(Unavailable):
        await journal.close()


async def test_what_was_not_confirmed_is_sent_to_the_next_writer(tmp_path: Path) -> None:
    writer = WriterProcess(tmp_path)
    journal = JournalClient(writer.socket, deadline_seconds=10)
    await journal.record(record("batched"), durable=False)
    waiting = asyncio.create_task(journal.record(record("durable"), durable=True))
    await asyncio.sleep(0)
    writer.start()
    await waiting
    await journal.close()
    assert await asyncio.to_thread(writer.stop) == 0
    assert [line.get("request_id") for line in writer.lines()] == [None, "batched", "durable", None]


async def test_a_line_that_is_lost_while_it_is_made_is_made_again(
    writer: WriterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that is killed then: nobody asks for another line, since one is being made."""
    loop = asyncio.get_running_loop()
    connect = loop.create_unix_connection
    lost = 0

    async def losing(made: Any, *where: Any) -> Any:
        nonlocal lost
        if lost < 3:
            lost += 1
            line = made()
            line.connection_made(asyncio.Transport())
            line.connection_lost(ConnectionResetError())
            return line._transport, line
        return await connect(made, *where)

    monkeypatch.setattr(asyncio.Transport, "write", lambda *_: None)
    monkeypatch.setattr(loop, "create_unix_connection", losing)
    client = JournalClient(writer.socket)
    await client.record(record("r1"), durable=True)
    assert lost == 3
    await client.close()
    assert writer.lines()[-1]["request_id"] == "r1"


async def test_a_full_disk_refuses_and_recovers_without_a_torn_line(
    writer: WriterProcess, client: JournalClient
) -> None:
    assert writer.process is not None
    await client.record(record("before"), durable=True)
    size = writer.file.stat().st_size
    _, hard = resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (size + 20, hard))
    await client.record(record("batched-full"), durable=False)
    await asyncio.sleep(0.2)
    with pytest.raises(Unavailable):  # the one before was refused, so this one waits
        await client.record(record("batched-full-2"), durable=False)
    with pytest.raises(Unavailable):
        await client.record(record("full"), durable=True)
    assert writer.file.stat().st_size == size
    resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    await client.record(record("after"), durable=True)
    lines = writer.lines()
    assert [line.get("request_id") for line in lines] == [None, "before", "after"]
    assert [line["seq"] for line in lines] == [1, 2, 3]


async def test_the_lines_of_one_request_are_found(
    writer: WriterProcess, client: JournalClient
) -> None:
    for request_id in ("one", "two", "one"):
        await client.record(record(request_id), durable=True)
    assert [line["seq"] for line in find(writer.file, "one")] == [2, 4]
    assert find(writer.file, "on") == []
    with pytest.raises(NotFound):
        find(writer.file.with_name("none"), "one")


async def test_records_of_many_requests_are_written_to_the_socket_together(
    client: JournalClient,
) -> None:
    await client.record(record("first"), durable=True)
    written: list[bytes] = []
    line = client._line
    assert line is not None
    write = line.write

    def count(message: bytes) -> None:
        written.append(message)
        write(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "write", count)
        for number in range(50):
            await client.record(record(f"b{number}"), durable=False)
        await asyncio.gather(*(client.record(record(f"d{n}"), durable=True) for n in range(50)))
    assert sum(message.count(b"\n") for message in written) == 100
    assert len(written) <= 3
