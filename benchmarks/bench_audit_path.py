"""What the audit log costs a request: small objects with it and without it, workers in parallel.

    python benchmarks/bench_audit_path.py [--workers 4] [--requests 400] [--rounds 5]

Worker processes, each a gateway over real custody (SoftHSM, SQLite), write one log through one
audit writer with its tree and checkpoints; requests are handed to their handlers without a socket.
Beside them as many processes whose journal forgets what it is told: only here, the product has no
such switch.  They take turns within seconds; a figure is the median of the ratios of the rounds.
`intern` is batched, `vertrouwelijk` write-ahead; a write-ahead record is on disk before the answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import uvloop  # noqa: E402
from benchmarks.side_by_side import roads  # noqa: E402
from benchmarks.side_by_side.client import send  # noqa: E402
from benchmarks.side_by_side.in_process import Caller, Wanted  # noqa: E402
from benchmarks.side_by_side.requests import Ask  # noqa: E402

from hyok.audit.client import JournalClient  # noqa: E402
from hyok.cli import session  # noqa: E402
from hyok.cli.options import load  # noqa: E402
from hyok.serving import gateway_of  # noqa: E402
from hyok.telemetry.logs import configure  # noqa: E402
from hyok.telemetry.metrics import Metrics  # noqa: E402

if TYPE_CHECKING:
    from hyok.audit.record import AuditRecord
    from hyok.wiring import Core

MODES = {"intern": "batched", "vertrouwelijk": "write-ahead"}
ROWS = {"put-1k": Wanted("PUT", 1 << 10), "get-1k": Wanted("GET", 1 << 10)}
AT_ONCE = 16


async def forget(_journal: JournalClient, _record: AuditRecord, *, durable: bool) -> None:
    """Take a record and lose it."""
    del durable


async def work(core: Core, requests: int) -> None:
    """Do what stands on standard input: a row to prepare, then a line to begin."""
    demo = json.loads((core.settings.audit.file.parents[1] / "demo.json").read_text())
    callers = {
        name: Caller(
            gateway_of(core, Metrics()).handle,
            bucket=f"memory-bench-{name}",
            access_key=demo["access_key"],
            secret=demo["secret"],
            region=roads.REGION,
        )
        for name in MODES
    }
    for caller in callers.values():
        for row in ROWS.values():
            await caller.prepare(row)
    print("up", flush=True)
    for line in sys.stdin:
        classification, row = line.split()
        turns = callers[classification].turns(ROWS[row], requests)
        print("ready", flush=True)
        sys.stdin.readline()
        began, used = time.monotonic(), time.process_time()
        await callers[classification].send(turns, at_once=AT_ONCE)
        print(time.monotonic() - began, time.process_time() - used, flush=True)


class Worker:
    """One process of either kind."""

    def __init__(self, config: Path, requests: int, *, logged: bool) -> None:
        own = [sys.executable, __file__, "--worker", str(config), "--requests", str(requests)]
        own += [] if logged else ["--forget"]
        self.process = subprocess.Popen(
            own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        said = self.process.stdout.readline().strip()
        assert said, "a worker ended"
        return said


@dataclass(frozen=True, slots=True)
class Round:
    """Of all workers of one kind together."""

    per_second: float
    cpu_ms: float  # of a worker, for each request; the writer's is not in it


def turn(workers: list[Worker], classification: str, row: str, requests: int) -> Round:
    """Have workers begin together; return how fast they were."""
    for worker in workers:
        worker.tell(f"{classification} {row}")
    for worker in workers:
        assert worker.hear() == "ready"
    for worker in workers:
        worker.tell("")
    told = [[float(word) for word in worker.hear().split()] for worker in workers]
    return Round(
        sum(requests / seconds for seconds, _ in told),
        1000 * sum(used for _, used in told) / (requests * len(workers)),
    )


def measured(kinds: dict[bool, list[Worker]], asked: argparse.Namespace) -> dict[str, object]:
    """Return the ratios, and how fast each kind was."""
    found: dict[str, object] = {}
    for classification, mode in MODES.items():
        for row in ROWS:
            rounds = [
                {
                    logged: turn(kinds[logged], classification, row, asked.requests)
                    for logged in ((True, False) if number % 2 else (False, True))
                }
                for number in range(asked.rounds)
            ]
            ratios = sorted(one[True].per_second / one[False].per_second for one in rounds)
            cpu = [one[True].cpu_ms / one[False].cpu_ms for one in rounds]
            found[f"{mode} {row}"] = {
                "with_log_per_second": round(median(one[True].per_second for one in rounds)),
                "without_per_second": round(median(one[False].per_second for one in rounds)),
                "ratio": round(median(ratios), 2),
                "ratios_middle_half": [
                    round(ratios[len(ratios) // 4], 2),
                    round(ratios[-1 - len(ratios) // 4], 2),
                ],
                "worker_cpu_ms": [
                    round(median(one[logged].cpu_ms for one in rounds), 2)
                    for logged in (True, False)
                ],
                "worker_cpu_ratio": round(median(cpu), 2),
            }
    return found


def measure(asked: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="hyok-audit-") as name:
        folder = Path(name)
        (folder / "programs").mkdir()
        store = roads.memory_store(folder / "programs", 1 << 30)
        workers: list[Worker] = []
        try:
            home = roads.furnish(folder, [store])
            for classification in roads.CLASSES:
                send(store.road, Ask("PUT", f"/hyok-bench-{classification}"), b"")
            config = roads.config_of(home, "audit", [store], workers=asked.workers, https=False)
            settings, path = load(config)
            configure("warning", folder / "audit.jsonl")
            with session.services(settings, path):
                kinds: dict[bool, list[Worker]] = {True: [], False: []}
                for logged, made in kinds.items():
                    for _ in range(asked.workers):
                        worker = Worker(config, asked.requests, logged=logged)
                        workers.append(worker)
                        made.append(worker)
                        assert worker.hear() == "up"
                found = measured(kinds, asked)
                for worker in workers:
                    with worker.process:
                        pass  # its input ends
                lines = settings.audit.file.read_bytes().count(b"\n")
                expected = asked.workers * asked.requests * asked.rounds * len(found)
                assert lines > expected, "less stands in the log than was done with it"
                return found | {"records": lines}
        finally:
            for worker in workers:
                worker.process.kill()
            store.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--requests", type=int, default=400, help="of each worker in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--forget", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker is None:
        print(json.dumps(measure(asked), indent=1))
        return 0
    if asked.forget:
        JournalClient.record = forget  # type: ignore[method-assign]
    configure("warning")
    settings, _ = load(asked.worker)
    uvloop.run(session.with_core(settings, lambda core: work(core, asked.requests)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
