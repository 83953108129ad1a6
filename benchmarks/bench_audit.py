"""What the Merkle tree costs the audit writer: records a second with and without it.

One real writer, several client processes, interleaved rounds, medians.  The tree is signed by a
software key every 1000 records or second, so that the HSM's own speed is left out.

Run: python benchmarks/bench_audit.py [--rounds 5] [--clients 4] [--seconds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hyok.audit.client import JournalClient
from hyok.audit.record import AuditRecord
from hyok.hsm.software_signer import SoftwareSigner

KEY = "hyok-audit/bench/1"
IN_FLIGHT = 64
WRITER = """
import sys
from hyok.audit import writer
class Idle:
    def __init__(self, *_): pass
    def start(self): pass
    def stop(self): pass
if sys.argv.pop(1) == "lines":
    writer.CheckpointThread = Idle
from hyok.cli.audit_writer import main
raise SystemExit(main())
"""


def record(number: int) -> AuditRecord:
    return AuditRecord(
        at_ms=1_790_000_000_000 + number,
        phase="conclude",
        action="object:put",
        outcome="done",
        actor="app:gemeente-zaaksysteem",
        tenant="gemeente",
        origin="192.0.2.1",
        request_id=f"{number:016X}",
        object_id=f"{number:032x}",
        bucket_id="7d1f0a6c2b9e4d55",
        classification="vertrouwelijk",
        kek_id="gemeente/vertrouwelijk/1",
        scope="subject:0011223344556677",
        reasons=("gateway.cedar:put",),
        size_bytes=4096,
    )


async def load(socket: Path, seconds: float, *, durable: bool) -> int:
    client = JournalClient(socket, deadline_seconds=30)
    until = time.monotonic() + seconds
    done = 0

    async def one() -> None:
        nonlocal done
        while time.monotonic() < until:
            await client.record(record(done), durable=durable)
            done += 1
            if not durable and done % 200 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT if durable else 1)))
    await client.close()
    return done


def run(mode: str, clients: int, seconds: float, *, durable: bool) -> tuple[float, float]:
    """Return records a second, and the writer's CPU microseconds for each."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        socket, software = folder / "a.sock", folder / "soft.json"
        SoftwareSigner(software, KEY).create()
        command = [sys.executable, "-c", WRITER, mode, "--socket", str(socket)]
        command += ["--file", str(folder / "audit.jsonl"), "--key", KEY]
        command += ["--software-file", str(software), "--checkpoint-seconds", "1"]
        writer = subprocess.Popen(command)
        while not socket.exists():
            time.sleep(0.01)
        before = cpu_seconds(writer.pid)
        began = time.monotonic()
        own = [sys.executable, __file__, "--client", str(socket), "--seconds", str(seconds)]
        own += ["--durable"] if durable else []
        running = [subprocess.Popen(own, stdout=subprocess.PIPE) for _ in range(clients)]
        done = sum(int(each.communicate()[0]) for each in running)
        took = time.monotonic() - began
        used = cpu_seconds(writer.pid) - before
        writer.terminate()
        writer.wait()
        return done / min(took, seconds), 1e6 * used / done


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--client", type=Path)
    parser.add_argument("--durable", action="store_true")
    wanted = parser.parse_args()
    if wanted.client is not None:
        print(asyncio.run(load(wanted.client, wanted.seconds, durable=wanted.durable)))
        return
    results: dict[str, dict[str, list[float]]] = {}
    for _ in range(wanted.rounds):
        for durable in (True, False):
            for mode in ("lines", "tree"):
                rate, cpu = run(mode, wanted.clients, wanted.seconds, durable=durable)
                name = f"{'write-ahead' if durable else 'batched'} {mode}"
                results.setdefault(name, {"rate": [], "cpu": []})
                results[name]["rate"].append(rate)
                results[name]["cpu"].append(cpu)
    table = {
        name: {
            "records_per_second": round(statistics.median(found["rate"])),
            "writer_cpu_microseconds": round(statistics.median(found["cpu"]), 1),
        }
        for name, found in results.items()
    }
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
