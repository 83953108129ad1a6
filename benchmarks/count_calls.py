"""What a small request costs the HTTP engine and the store client: calls and CPU time.

    python benchmarks/count_calls.py
    python benchmarks/count_calls.py --only server-get,store-put --requests 20000
    python benchmarks/count_calls.py --profile store-get      # where the time goes (cProfile)

``server``: our server with a handler that does nothing, asked by the load generator.  ``pool``: our
connections to the store in memory.  ``store``: the S3 store above them, as the vault uses it.
Bodies are 1 KiB.  Calls are those of one request that Python sees (functions, and functions in C
called from Python); CPU is this process's, user and system, least of the rounds.  Calls are the
same on every machine; most of the CPU that is left below the calls is the kernel's.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.side_by_side.build import Missing, built  # noqa: E402
from benchmarks.side_by_side.requests import Ask, Slice, make_pattern, write_requests  # noqa: E402

from hyok.backends.port import StoredFacts  # noqa: E402
from hyok.backends.resilient import ResilientStore  # noqa: E402
from hyok.backends.retries import Retries, RetryRules  # noqa: E402
from hyok.backends.s3 import S3Store  # noqa: E402
from hyok.http1.client import Pool  # noqa: E402
from hyok.http1.pump import PumpPool  # noqa: E402
from hyok.http1.server import serve  # noqa: E402
from hyok.sigv4.sign import Signer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hyok.http1.exchange import Exchange

BODY = b"x" * 1024
ENVELOPE = bytes(300)
CONNECTIONS = 16
SECONDS_MAX = 600
WARM_UP = 200
COUNTED = 500
SIGNER = Signer("any", "any", "us-east-1")
HEADERS = [
    ("x-amz-request-id", "0123456789ABCDEF"),
    ("x-amz-id-2", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
    ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("server", "hyok"),
    ("etag", '"0123456789abcdef0123456789abcdef-h"'),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("content-type", "application/octet-stream"),
    ("x-amz-server-side-encryption", "aws:kms"),
]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request; times in microseconds."""

    calls: float
    calls_in_c: float
    cpu_us: float


class Calls:
    """Counts the calls that Python makes while it is entered."""

    def __init__(self) -> None:
        self.python = self.in_c = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, _frame: object, event: str, _arg: object) -> None:
        if event == "call":
            self.python += 1
        elif event == "c_call":
            self.in_c += 1


async def answer(exchange: Exchange) -> None:
    """Take or give 1 KiB, with the headers that a gateway sends."""
    if exchange.has_body:
        await exchange.read_whole(1 << 20)
        await exchange.respond(200, HEADERS)
    else:
        await exchange.respond(200, HEADERS, BODY)


class Town:
    """The programs beside this one."""

    def __init__(self, folder: Path, over: ExitStack) -> None:
        self._folder = folder
        self._load = built("load", folder)
        command = [str(built("store", folder)), "--max-bytes", str(1 << 30)]
        command += ["--seconds", str(SECONDS_MAX), "--forget-over", str(1 << 30)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        over.callback(process.wait)
        over.callback(process.terminate)
        assert process.stdout is not None
        with process.stdout as told:
            self.store_port = int(told.readline())
        self._pattern = make_pattern(1)
        (folder / "pattern").write_bytes(self._pattern)

    async def ask(self, port: int, method: str, count: int) -> None:
        """Send ``count`` signed requests to our server, over several connections.

        Raises:
            RuntimeError: an answer was not as expected.
        """
        file = self._folder / f"requests-{method}"
        body = Slice(0, len(BODY) if method == "PUT" else 0)
        asks = [Ask(method, f"/bucket/key{number}", body=body) for number in range(64)]
        write_requests(file, asks, f"127.0.0.1:{port}", SIGNER, self._pattern)
        process = await asyncio.create_subprocess_exec(
            *(str(self._load), "--port", str(port), "--connections", str(CONNECTIONS)),
            *("--seconds", "0", "--least", str(count), "--most", str(count)),
            *("--requests", str(file), "--pattern", str(self._folder / "pattern")),
            stdout=subprocess.PIPE,
        )
        told, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"the load generator stopped: {told.decode()}")


async def repeat(work: Callable[[int], Awaitable[object]], count: int) -> None:
    """Do ``work`` so many times, as many at once as there are connections."""

    async def some(first: int) -> None:
        for number in range(first, count, CONNECTIONS):
            await work(number)

    await asyncio.gather(*(some(first) for first in range(CONNECTIONS)))


class Subjects:
    """What is measured, by name; each does a number of requests."""

    def __init__(self, town: Town, port: int, pool: Pool, store: ResilientStore) -> None:
        self._host = f"127.0.0.1:{town.store_port}"
        self._pool = pool
        self._store = store
        self._facts = StoredFacts(
            envelope=ENVELOPE, clear={"content-type": "application/octet-stream"}
        )
        self.runs: dict[str, Callable[[int], Awaitable[object]]] = {
            "server-put": partial(town.ask, port, "PUT"),
            "server-get": partial(town.ask, port, "GET"),
            "pool-put": partial(repeat, self._pool_put),
            "pool-get": partial(repeat, self._pool_get),
            "store-put": partial(repeat, self._store_put),
            "store-get": partial(repeat, self._store_get),
        }

    async def prepare(self) -> None:
        await self._store.create_bucket("bucket")
        for number in range(64):
            await self._store_put(number)

    async def _pool_put(self, number: int) -> None:
        lines = [("host", self._host), ("content-type", "text/plain")]
        answer = await self._pool.request("PUT", f"/bucket/pool{number % 64}", lines, BODY)
        assert answer.status == 200

    async def _pool_get(self, number: int) -> None:
        lines = [("host", self._host)]
        answer = await self._pool.request("GET", f"/bucket/key{number % 64}", lines)
        assert answer.body == BODY

    async def _store_put(self, number: int) -> None:
        await self._store.put_whole("bucket", f"key{number % 64}", BODY, self._facts)

    async def _store_get(self, number: int) -> None:
        stored, body = await self._store.read_whole("bucket", f"key{number % 64}")
        assert stored.facts.envelope == ENVELOPE
        assert body == BODY


async def cost_of(run: Callable[[int], Awaitable[object]], requests: int, rounds: int) -> Cost:
    await run(WARM_UP)
    with Calls() as calls:
        await run(COUNTED)
    least = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        await run(requests)
        least = min(least, time.process_time() - begun)
    return Cost(
        round(calls.python / COUNTED, 1),
        round(calls.in_c / COUNTED, 1),
        round(least / requests * 1e6, 1),
    )


async def profile(run: Callable[[int], Awaitable[object]], requests: int) -> None:
    await run(WARM_UP)
    taken = cProfile.Profile()
    taken.enable()
    await run(requests)
    taken.disable()
    pstats.Stats(taken).sort_stats("tottime").print_stats(45)


async def signer() -> Signer:
    return SIGNER


async def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with ExitStack() as over:
        town = Town(folder, over)
        pump = PumpPool(2)
        over.callback(pump.close)
        server = await serve(answer, pump=pump)
        pool = Pool(f"http://127.0.0.1:{town.store_port}")
        inner = S3Store(pool=pool, host=f"127.0.0.1:{town.store_port}", credentials=signer)
        store = ResilientStore(inner, Retries(RetryRules()))
        subjects = Subjects(town, server.port, pool, store)
        await subjects.prepare()
        found: dict[str, Any] = {}
        wanted = [name for name in asked.only.split(",") if name] or list(subjects.runs)
        for name in [asked.profile] if asked.profile else wanted:
            if asked.profile:
                await profile(subjects.runs[name], asked.requests)
                continue
            cost = await cost_of(subjects.runs[name], asked.requests, asked.rounds)
            found[name] = {slot: getattr(cost, slot) for slot in Cost.__slots__}
            print(
                f"{name:12} {cost.calls:7.1f} calls {cost.calls_in_c:7.1f} in C "
                f"{cost.cpu_us:8.1f} µs"
            )
        await store.close()
        await server.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="subjects by name, with commas between them")
    parser.add_argument("--requests", type=int, default=5000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", default="", help="show where one subject spends its time")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hyok-calls-") as name:
        try:
            found = uvloop.run(measure(asked, Path(name)))
        except Missing as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 2
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
