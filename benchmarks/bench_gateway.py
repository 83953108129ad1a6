"""Throughput and operations beside the bare store and a plain nginx proxy, in one run, as ratios.

``python benchmarks/bench_gateway.py [--rounds 3] [--json FILE]``.  One store (SeaweedFS), three
roads to it: straight, through nginx, through hyok (classification intern, SoftHSM).  Rounds are
interleaved; medians and their ratios are printed, since absolute numbers depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.e2e import running  # noqa: E402
from tests.peers import seaweedfs  # noqa: E402

from hyok.http1.client import Pool  # noqa: E402
from hyok.http1.pump import PumpPool  # noqa: E402
from hyok.sigv4.sign import UNSIGNED_PAYLOAD, Signer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 256 << 10
CASES = (("1 KiB", 1 << 10, 8, 400), ("64 KiB", 64 << 10, 8, 200), ("64 MiB", 64 << 20, 2, 4))
BUCKET = "bench"


class Road:
    """One way to the store."""

    def __init__(self, name: str, endpoint: str, host: str, signer: Signer) -> None:
        self.name = name
        self.host = host
        self.signer = signer
        self.pool = Pool(endpoint)

    def lines(self, method: str, path: str) -> list[tuple[str, str]]:
        now = datetime.now(UTC)  # noqa: TID251
        signed = self.signer.sign(method, self.host, path, [], {}, UNSIGNED_PAYLOAD, now)
        return [("host", self.host), *signed.items()]

    async def small(self, method: str, key: str, body: bytes) -> None:
        path = f"/{BUCKET}/{key}"
        answer = await self.pool.request(method, path, self.lines(method, path), body)
        assert answer.status == 200, (self.name, answer.status, answer.body[:300])

    async def make_bucket(self) -> None:
        """Make the bucket of the roads that lead straight to the store."""
        path = f"/{BUCKET}"
        await self.pool.request("PUT", path, self.lines("PUT", path))

    async def put(self, pump: PumpPool, key: str, body: memoryview) -> None:
        path = f"/{BUCKET}/{key}"
        upload = await self.pool.upload("PUT", path, self.lines("PUT", path), len(body))

        def send() -> int:
            for at in range(0, len(body), PIECE):
                upload.write(body[at : at + PIECE])
            return upload.finish().status

        assert await pump.run(send) == 200

    async def get(self, pump: PumpPool, key: str, size: int) -> None:
        path = f"/{BUCKET}/{key}"
        download = await self.pool.download("GET", path, self.lines("GET", path))
        assert download.status == 200
        await download.prepare()

        def receive() -> int:
            room = memoryview(bytearray(PIECE))
            return sum(iter(lambda: download.read_into(room), 0))

        assert await pump.run(receive) == size


async def measure(
    road: Road, pump: PumpPool, case: tuple[str, int, int, int]
) -> tuple[float, float]:
    """Return PUTs and GETs per second."""
    _, size, clients, count = case
    body = memoryview(bytes(size))
    rates = []
    for method in ("PUT", "GET"):

        async def client(number: int, method: str = method) -> None:
            for turn in range(count // clients):
                key = f"{size}/{number}/{turn}"
                if size <= 1 << 20:
                    await road.small(method, key, bytes(body) if method == "PUT" else b"")
                elif method == "PUT":
                    await road.put(pump, key, body)
                else:
                    await road.get(pump, key, size)

        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(clients)))
        rates.append(count / (time.perf_counter() - began))
    return rates[0], rates[1]


@contextlib.contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[str]:
    port = running.free_port()
    (folder / "nginx.conf").write_text(
        f"""worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
 client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
 uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 upstream store {{ server {upstream}; keepalive 64; }}
 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://store; proxy_http_version 1.1;
 proxy_set_header Connection ""; proxy_set_header Host {upstream}; }} }} }}
"""
    )
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([binary, "-c", str(folder / "nginx.conf")])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def gateway(folder: Path, store: seaweedfs.SeaweedFS) -> Iterator[tuple[str, Signer]]:
    home = folder / "home"
    running.start(home, "--reset").stop()
    port = running.free_port()
    text = (home / "hyok.toml").read_text()
    text = re.sub(r"(?m)^tls_.*\n", "", text)
    text = re.sub(r"(?ms)(\[gateway\]\n)port = \d+", rf"\1port = {port}", text)
    text += f"""
[[stores]]
kind = "s3"
name = "weed"
endpoint = "{store.endpoint}"
credentials_file = "{store.credentials_file()}"
jurisdiction = "NL"
control = "NL"
"""
    config = home / "bench.toml"
    config.write_text(text)
    hyok = [sys.executable, "-m", "hyok"]
    make = ["buckets", "create", BUCKET, "--tenant", "gemeente", "--classification", "intern"]
    make += ["--store", "weed", "--backend-name", "hyok-bench", "--config", str(config)]
    subprocess.run([*hyok, *make], check=True)
    process = subprocess.Popen([*hyok, "serve", "gateway", "--config", str(config)])
    demo = json.loads((home / "demo.json").read_text())
    try:
        time.sleep(6)
        yield f"http://127.0.0.1:{port}", Signer(demo["access_key"], demo["secret"], "us-east-1")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


async def run(roads: list[Road], rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    await roads[0].make_bucket()
    pump = PumpPool(4)
    seen: dict[tuple[str, str, str], list[float]] = {}
    for turn in range(rounds + 1):
        for case in CASES:
            for road in roads:
                put, get = await measure(road, pump, case)
                if turn:  # the first round warms up
                    seen.setdefault((case[0], "PUT", road.name), []).append(put)
                    seen.setdefault((case[0], "GET", road.name), []).append(get)
    for road in roads:
        await road.pool.close()
    pump.close()
    result: dict[str, dict[str, dict[str, float]]] = {}
    for (size, method, name), rates in seen.items():
        result.setdefault(size, {}).setdefault(method, {})[name] = statistics.median(rates)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "weed").mkdir()
        store = seaweedfs.start(folder / "weed")
        host = store.endpoint.removeprefix("http://")
        try:
            with nginx(folder, host) as proxy, gateway(folder, store) as (door, signer):
                own = Signer(store.access_key, store.secret, "us-east-1")
                roads = [
                    Road("store", store.endpoint, host, own),
                    Road("nginx", proxy, host, own),
                    Road("hyok", door, door.removeprefix("http://"), signer),
                ]
                result = uvloop.run(run(roads, chosen.rounds))
        finally:
            store.stop()
    heads = ("store/s", "nginx/s", "hyok/s", "hyok/nginx", "hyok/store")
    print(" " * 13 + " ".join(f"{head:>11}" for head in heads))
    for size, methods in result.items():
        for method, rates in methods.items():
            a, b, c = (rates[name] for name in ("store", "nginx", "hyok"))
            figures = (f"{a:.1f}", f"{b:.1f}", f"{c:.1f}", f"{c / b:.2f}", f"{c / a:.2f}")
            print(f"{size:>8} {method:>4} " + " ".join(f"{text:>11}" for text in figures))
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
