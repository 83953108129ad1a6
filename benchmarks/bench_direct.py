"""Mode direct, where every object is a use of the HSM: objects a second beside the HSM's own rate.

    python benchmarks/bench_direct.py                        # 2 ms, 8 sessions, 64 connections
    python benchmarks/bench_direct.py --delay-ms 5 --sessions 4 --workers 2
    python benchmarks/bench_direct.py --json

SoftHSM behind `tests/faults/shim`, which lets every `C_Sign` take so many milliseconds, as a module
on a network does; objects of 1 KiB of `geheim` (sealed names, a durable record before the answer)
into the store of `load/store.c`.  In each round: the HSM alone, as many calls at once through the
same agent, then PUT.  The shim counts the calls: with sealed names an object is two, one for the
key of the names, one for its own token.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.side_by_side import roads  # noqa: E402
from benchmarks.side_by_side.build import built  # noqa: E402
from benchmarks.side_by_side.requests import Ask, Slice, make_pattern  # noqa: E402
from benchmarks.side_by_side.work import STEP, Bench, Others, load  # noqa: E402
from tests.e2e import operated, running  # noqa: E402
from tests.faults.shim import Shim  # noqa: E402

from hyok.cli.options import load as load_settings  # noqa: E402
from hyok.sigv4.sign import Signer  # noqa: E402
from hyok.vocabulary import ClassificationName  # noqa: E402
from hyok.wiring import open_core  # noqa: E402

if TYPE_CHECKING:
    from tests.e2e.operated import Operated

CLASSIFICATION = "geheim"
BUCKET = "direct"
OBJECT_BYTES = 1 << 10
KEYS = 512
STORE_BYTES_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Place:
    """What runs for the measurement."""

    made: Operated
    shim: Shim
    road: roads.Road
    bench: Bench


def profiles(folder: Path, sessions: int) -> Path:
    """Return the HSM profiles, SoftHSM's with so many sessions."""
    copied = folder / "profiles"
    shutil.copytree(ROOT / "hsm" / "profiles", copied)
    file = copied / "softhsm.toml"
    text, count = re.subn(r"(?m)^sessions_max = .*", f"sessions_max = {sessions}", file.read_text())
    assert count == 1
    file.write_text(text)
    return copied


def start(folder: Path, over: ExitStack, asked: argparse.Namespace) -> Place:
    """Start store and gateway with an HSM that takes its time."""
    store = roads.memory_store(folder / "programs", STORE_BYTES_MAX)
    over.callback(store.stop)
    shim = Shim(folder)
    made = operated.copied(folder, shim=shim, workers=asked.workers)
    over.callback(made.close)
    text, count = re.subn(
        r"(?m)^profiles_directory = .*",
        f'profiles_directory = "{profiles(folder, asked.sessions)}"',
        made.config.read_text(),
    )
    assert count == 1
    block = running.s3_store(store.name, f"http://{store.road.host}", store.credentials)
    made.config.write_text(text + block)
    make = ("buckets", "create", BUCKET, "--tenant", operated.TENANT, "--store", store.name)
    made.cli([*make, "--classification", CLASSIFICATION])
    gateway = made.serve()
    if asked.workers > 1:
        time.sleep(3)  # the port is shared: the second worker may come up later than the first
    key = json.loads((made.home / "demo.json").read_text())
    road = roads.Road(
        "hyok",
        made.port,
        f"127.0.0.1:{made.port}",
        Signer(key["access_key"], key["secret"], roads.REGION),
        gateway.process.pid,
    )
    pattern = make_pattern(1)
    bench = Bench(
        folder,
        built("load", folder / "programs"),
        pattern,
        asked.seconds,
        {store.name: store},
        set(),
    )
    bench.pattern_file.write_bytes(pattern)
    return Place(made, shim, road, bench)


async def alone(place: Place, at_once: int, seconds: float) -> float:
    """Return how many new tokens the HSM makes in a second, without objects."""
    settings, _ = load_settings(place.made.config)
    core = open_core(settings)
    try:
        kek = await core.keks.active(operated.TENANT, ClassificationName(CLASSIFICATION))
        made = 0
        began = time.perf_counter()

        async def ask() -> None:
            nonlocal made
            while time.perf_counter() < began + seconds:
                await core.hsm.new_token(kek.spec, "object/bench")
                made += 1

        await asyncio.gather(*(ask() for _ in range(at_once)))
        return made / (time.perf_counter() - began)
    finally:
        await core.close()


def puts() -> list[Ask]:
    return [
        Ask("PUT", f"/{BUCKET}/brief/{number}", body=Slice(number * STEP, OBJECT_BYTES))
        for number in range(KEYS)
    ]


def through(place: Place, at_once: int, seconds: float) -> dict[str, Any]:
    """Return what the load generator saw, with the HSM's calls and our CPU for each object."""
    watched = place.road.watched
    before, calls = watched.cpu(), place.shim.calls("C_Sign")
    told = load(place.bench, place.road, puts(), connections=at_once, seconds=seconds)
    after, count = watched.cpu(), told["operations"]
    told["calls_per_object"] = (place.shim.calls("C_Sign") - calls) / count
    told["cpu_ms"] = {role: 1000 * (after[role] - before[role]) / count for role in after}
    return told


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Return the figures, medians over the rounds."""
    with tempfile.TemporaryDirectory(prefix="hyok-bench-") as name, ExitStack() as over:
        place = start(Path(name), over, asked)
        through(place, asked.connections, 0.5)
        place.road.look()
        place.shim.order(f"C_Sign delay {asked.delay_ms}")
        others = Others()
        raw, told = [], []
        for _ in range(asked.rounds):
            raw.append(asyncio.run(alone(place, asked.connections, asked.seconds)))
            told.append(through(place, asked.connections, asked.seconds))
        busy = others.cores()
        place.shim.order()
    rates = [one["operations"] / one["seconds"] for one in told]
    calls = [rate * one["calls_per_object"] for rate, one in zip(rates, told, strict=True)]
    return {
        "delay_ms": asked.delay_ms,
        "sessions": asked.sessions,
        "connections": asked.connections,
        "workers": asked.workers,
        "hsm_a_second": round(median(raw)),
        "objects_a_second": round(median(rates)),
        "calls_of_the_hsm": round(median(a / b for a, b in zip(calls, raw, strict=True)), 3),
        "p50_ms": round(median(one["p50_us"] for one in told) / 1000, 1),
        "p99_ms": round(median(one["p99_us"] for one in told) / 1000, 1),
        "calls_per_object": round(median(one["calls_per_object"] for one in told), 3),
        "cpu_ms_per_object": {
            role: round(median(one["cpu_ms"][role] for one in told), 3)
            for role in told[0]["cpu_ms"]
        },
        "others_cores": round(busy, 2),
        "rounds": {"hsm": [round(rate) for rate in raw], "objects": [round(r) for r in rates]},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay-ms", type=int, default=2, help="of every C_Sign")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = run(asked)
    if asked.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
