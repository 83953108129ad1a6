"""The load generator against the store in memory: both are small, and both must be right."""

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.side_by_side.build import built
from benchmarks.side_by_side.client import send, send_raw
from benchmarks.side_by_side.requests import SAME, Ask, Slice, make_pattern, signed, write_requests
from benchmarks.side_by_side.roads import Store, memory_store

PATTERN = make_pattern(7)
ASK = Ask("PUT", "/bench/key", body=Slice(5, 300_000))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("load")


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[Store]:
    made = memory_store(folder, 256 << 20)
    try:
        assert send(made.road, Ask("PUT", "/bench"), PATTERN).status == 200
        yield made
    finally:
        made.stop()


def load(folder: Path, store: Store, asks: list[Ask], *more: str) -> tuple[int, dict[str, object]]:
    (folder / "pattern").write_bytes(PATTERN)
    write_requests(folder / "requests", asks, store.road.host, store.road.signer, PATTERN)
    command = [str(built("load", folder)), "--port", str(store.road.port), *more]
    command += ["--requests", str(folder / "requests"), "--pattern", str(folder / "pattern")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("signing", ["unsigned", "sha256", "crc32c"])
@pytest.mark.parametrize("size", [0, 1, 70_000, 3 << 20])
def test_what_was_put_comes_back(folder: Path, store: Store, signing: str, size: int) -> None:
    body = Slice(len(PATTERN) - 100, size)  # around the pattern's end
    put = replace(ASK, body=body, signing=signing)  # type: ignore[arg-type]
    code, told = load(folder, store, [put], "--seconds", "0", "--connections", "1")
    assert (code, told["operations"]) == (0, 1)
    get = Ask("GET", "/bench/key", check=SAME, expected=body)
    code, told = load(folder, store, [get], "--seconds", "0", "--connections", "1")
    assert (code, told["checked"], told["checked_bytes"]) == (0, 1, size)


def test_many_connections_until_the_time_is_over(folder: Path, store: Store) -> None:
    asks = [replace(ASK, path=f"/bench/{n}", body=Slice(n, 1024)) for n in range(50)]
    code, told = load(folder, store, asks, "--seconds", "0.3", "--connections", "16")
    assert code == 0
    assert isinstance(told["operations"], int)
    assert told["operations"] > 50
    assert 0.3 <= float(str(told["seconds"])) < 2
    assert 0 < float(str(told["p50_us"])) <= float(str(told["p99_us"]))


def test_exactly_so_many_operations(folder: Path, store: Store) -> None:
    code, told = load(
        folder, store, [ASK], "--seconds", "0", "--least", "9", "--most", "9", "--connections", "4"
    )
    assert (code, told["operations"]) == (0, 9)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (Ask("GET", "/bench/key", check=SAME, expected=Slice(6, 300_000)), "the body is not"),
        (Ask("GET", "/bench/key", check=SAME, expected=Slice(5, 300_001)), "length"),
        (Ask("GET", "/bench/none", check=SAME, expected=Slice(5, 300_000)), "status"),
    ],
)
def test_a_wrong_answer_is_an_error(folder: Path, store: Store, wanted: Ask, why: str) -> None:
    assert send(store.road, ASK, PATTERN).status == 200
    code, told = load(folder, store, [wanted], "--seconds", "0", "--connections", "1")
    assert code == 1
    assert str(told["first_error"]).startswith(why)


def test_a_range(folder: Path, store: Store) -> None:
    send(store.road, ASK, PATTERN)
    get = Ask(
        "GET",
        "/bench/key",
        headers={"range": "bytes=262000-262999"},
        status=206,
        check=SAME,
        expected=Slice(5, 300_000).cut(262_000, 1000),
    )
    assert load(folder, store, [get], "--seconds", "0", "--connections", "1")[0] == 0


def test_the_store_refuses_a_wrong_trailing_checksum(store: Store) -> None:
    head, *parts = signed(
        replace(ASK, signing="crc32c"), store.road.host, store.road.signer, PATTERN
    )
    assert isinstance(head, bytes)
    whole = bytearray().join(p if isinstance(p, bytes) else p.of(PATTERN) for p in parts)
    assert send_raw(store.road, head, bytes(whole)).status == 200
    whole[100] ^= 1
    assert send_raw(store.road, head, bytes(whole)).status == 400


def test_the_store_decides_conditions(store: Store) -> None:
    def put(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return send(store.road, replace(ASK, path="/bench/c", headers=named), PATTERN).status

    assert put(if_match='"0"') == 412
    assert put(if_none_match="*") == 200
    assert put(if_none_match="*") == 412
    etag = send(store.road, Ask("HEAD", "/bench/c"), PATTERN).headers["etag"]
    assert put(if_match=etag) == 200
    assert put(if_match=etag) == 412


def test_the_store_keeps_no_more_than_it_may(folder: Path, store: Store) -> None:
    big = replace(ASK, path="/bench/big", body=Slice(0, 257 << 20))
    code, told = load(folder, store, [big], "--seconds", "0", "--connections", "1")
    assert code == 1
    assert "status 503" in str(told["first_error"])


def test_a_body_of_many_frames_never_stalls(store: Store) -> None:
    # The store stops now and then to serve others: what it holds already must not wait for bytes
    # that never come.
    for count in range(20, 120, 7):
        ask = replace(ASK, path="/bench/frames", body=Slice(3, 512 * count), signing="crc32c")
        head, *parts = signed(ask, store.road.host, store.road.signer, PATTERN)
        assert isinstance(head, bytes)
        assert isinstance(parts[-1], bytes)
        body = ask.body.of(PATTERN)
        pieces = [body[at : at + 512] for at in range(0, len(body), 512)]
        whole = b"".join(b"200\r\n" + piece + b"\r\n" for piece in pieces)
        whole += parts[-1].removeprefix(b"\r\n")
        head = re.sub(rb"content-length: \d+", b"content-length: %d" % len(whole), head)
        with socket.create_connection(("127.0.0.1", store.road.port), timeout=5) as line:
            os.kill(store.road.pid, signal.SIGSTOP)
            line.sendall(head + whole)
            os.kill(store.road.pid, signal.SIGCONT)
            assert line.recv(4096).startswith(b"HTTP/1.1 200 "), count
