"""How many calls one small request makes in Python, and how much CPU it takes, without HTTP.

    python benchmarks/count_path.py
    python benchmarks/count_path.py --only get-1k --functions 40
    python benchmarks/count_path.py --json

A gateway in this process over real custody (SoftHSM in its agent, audit writer, SQLite) and the
store of `load/store.c`.  Requests are handed to its handler without a socket, so what is counted is
everything between the HTTP engine and the store, the store's client on its own line.  The calls do
not depend on the machine; the CPU is this process's alone, store, agent and writer not counted.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Self

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import uvloop  # noqa: E402
from benchmarks.side_by_side import roads  # noqa: E402
from benchmarks.side_by_side.client import send  # noqa: E402
from benchmarks.side_by_side.in_process import Caller, Wanted  # noqa: E402
from benchmarks.side_by_side.requests import Ask  # noqa: E402

from hyok.cli import session  # noqa: E402
from hyok.cli.options import load  # noqa: E402
from hyok.serving import gateway_of  # noqa: E402
from hyok.telemetry.logs import configure  # noqa: E402
from hyok.telemetry.metrics import Metrics  # noqa: E402

if TYPE_CHECKING:
    from types import FrameType

    from hyok.wiring import Core

SOURCE = str(ROOT / "src" / "hyok") + "/"
CLASSES = (*roads.CLASSES, "geheim")
STORE_CLIENT = ("http1", "backends")
WARMING = 300
COUNTED = 200
"""Requests over which calls are counted: polls and flushes are a part of each."""

BATCH = 250
AT_ONCE = 16

KIB = 1 << 10
RANGE_OF = 8 << 20
ROWS = {
    "put-1k": Wanted("PUT", KIB),
    "get-1k": Wanted("GET", KIB),
    "head-1k": Wanted("HEAD", KIB),
    "range-64k": Wanted("GET", RANGE_OF, 64 * KIB),
}


class Calls:
    """Counts calls, Python's own by place, while it is on."""

    def __init__(self) -> None:
        self.places: Counter[tuple[str, str]] = Counter()
        self.native = 0

    def _note(self, frame: FrameType, event: str, _what: object) -> None:
        if event == "call":
            code = frame.f_code
            self.places[code.co_filename, code.co_qualname] += 1
        elif event == "c_call":
            self.native += 1

    def __enter__(self) -> Self:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one row, for each request: calls by part of the program, and CPU."""

    own: float
    store_client: float
    elsewhere: float
    native: float
    cpu_ms: float  # the median of several batches
    cpu_ms_least: float  # of the fastest: what others on the machine disturb least
    parts: dict[str, float]
    functions: list[tuple[str, float]]


def part_of(path: str) -> str:
    """Return the part of the program that a file belongs to."""
    if not path.startswith(SOURCE):
        return "elsewhere"
    return path.removeprefix(SOURCE).partition("/")[0].removesuffix(".py")


def figures_of(calls: Calls, requests: int, cpu_ms: list[float]) -> Figures:
    """Return what was counted, for each request."""
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (path, name), count in calls.places.items():
        if "benchmarks" in path:
            continue
        parts[part_of(path)] += count
        functions[f"{path.removeprefix(SOURCE)[-40:]}:{name}"] += count
    client = sum(parts[name] for name in STORE_CLIENT)
    total, elsewhere = sum(parts.values()), parts["elsewhere"]
    return Figures(
        own=(total - client - elsewhere) / requests,
        store_client=client / requests,
        elsewhere=elsewhere / requests,
        native=calls.native / requests,
        cpu_ms=median(cpu_ms),
        cpu_ms_least=min(cpu_ms),
        parts={name: count / requests for name, count in parts.most_common()},
        functions=[(name, count / requests) for name, count in functions.most_common()],
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(ROWS), help="rows, with commas between them")
    parser.add_argument("--batches", type=int, default=10, help=f"of {BATCH} requests, for CPU")
    parser.add_argument("--home", type=Path, help="keep the installation here, or use it again")
    parser.add_argument("--classification", default="intern", choices=CLASSES)
    parser.add_argument("--functions", type=int, default=0, help="print so many of the most called")
    parser.add_argument("--profile", default="", help="write a cProfile of each row to FILE.row")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def measure(core: Core, asked: argparse.Namespace) -> dict[str, Figures]:
    """Return the figures of each row."""
    demo = json.loads((core.settings.audit.file.parents[1] / "demo.json").read_text())
    caller = Caller(
        gateway_of(core, Metrics()).handle,
        bucket=f"memory-bench-{asked.classification}",
        access_key=demo["access_key"],
        secret=demo["secret"],
        region=roads.REGION,
    )
    found = {}
    for name in asked.only.split(","):
        wanted = ROWS[name]
        await caller.prepare(wanted)
        await caller.send(caller.turns(wanted, WARMING))
        turns = caller.turns(wanted, COUNTED)
        with Calls() as calls:
            await caller.send(turns)
        cpu = []
        for _ in range(asked.batches):
            turns = caller.turns(wanted, BATCH)
            before = time.process_time()
            await caller.send(turns, at_once=AT_ONCE)
            cpu.append(1000 * (time.process_time() - before) / BATCH)
        found[name] = figures_of(calls, COUNTED, cpu)
        if asked.profile:
            turns = caller.turns(wanted, 1000)
            with cProfile.Profile() as profile:
                await caller.send(turns)
            profile.dump_stats(f"{asked.profile}.{name}")
    return found


def tell(found: dict[str, Figures], functions: int) -> None:
    """Print a table."""
    print(f"{'':12}{'own':>8}{'store':>8}{'other':>8}{'C':>8}{'CPU ms':>9}{'least':>8}")
    for name, one in found.items():
        line = f"{one.own:8.0f}{one.store_client:8.0f}{one.elsewhere:8.0f}{one.native:8.0f}"
        print(f"{name:12}{line}{one.cpu_ms:9.3f}{one.cpu_ms_least:8.3f}")
        print("  " + ", ".join(f"{part} {count:.0f}" for part, count in one.parts.items()))
        for place, count in one.functions[:functions]:
            print(f"  {count:8.2f}  {place}")


def furnished(folder: Path, store: roads.Store) -> Path:
    """Return the home of an installation whose buckets stand at the store."""
    home = folder / "home"
    if not (home / "hyok.toml").exists():
        return roads.furnish(folder, [store], CLASSES)
    for classification in CLASSES:  # the store is a new one
        send(store.road, Ask("PUT", f"/hyok-bench-{classification}"), b"")
    return home


def main() -> int:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="hyok-count-") as name:
        folder = asked.home or Path(name)
        (folder / "programs").mkdir(parents=True, exist_ok=True)
        store = roads.memory_store(folder / "programs", 1 << 30)
        try:
            home = furnished(folder, store)
            settings, path = load(roads.config_of(home, "count", [store], workers=1, https=False))
            configure("info", folder / "count.jsonl")
            with session.services(settings, path):
                work = session.with_core(settings, lambda core: measure(core, asked))
                found = uvloop.run(work)
        finally:
            store.stop()
    if asked.json:
        print(json.dumps({name: asdict(one) for name, one in found.items()}, indent=1))
    else:
        tell(found, asked.functions)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
