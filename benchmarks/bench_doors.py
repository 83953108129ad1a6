"""The doors for clouds and SaaS beside the raw HSM: operations a second and latency.

    python benchmarks/bench_doors.py                             # all doors, in TLS and in clear
    python benchmarks/bench_doors.py --doors transit --rounds 1  # one of them
    python benchmarks/bench_doors.py --only 32                   # with 32 connections alone
    python benchmarks/bench_doors.py --name doors                # keep results/doors.json

One installation over SoftHSM.  For each door rounds take turns: what its rows have the HSM do (as
many calls at once through the agent, without a door), then each row.

To add a door: a module in `benchmarks/doors/` with a subclass of `Door`, and its line in
`benchmarks/doors/__init__.py`.  It tells its settings, the commands that make its app and keys, its
rows, each with what it has the HSM do, and the requests of a row; what speaks no HTTP brings a load
of its own, as kubernetes.py does.  A further thing that the HSM does is one line in `asked` here.
With `--name` the rows of doors that were not asked stay as they are in the file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import trustme  # noqa: E402
from benchmarks.doors import DOORS  # noqa: E402
from benchmarks.doors.door import PLAIN, Row, Stage  # noqa: E402
from benchmarks.side_by_side import processes  # noqa: E402
from benchmarks.side_by_side.build import built  # noqa: E402
from benchmarks.side_by_side.work import Others  # noqa: E402
from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: E402
from tests.e2e import four_eyes, office, operated  # noqa: E402
from tests.peers.ports import free_port  # noqa: E402

from hyok.cli.options import load as load_settings  # noqa: E402
from hyok.custody.door_key import MAC, SECRET, SIGNER, WRAPPER  # noqa: E402
from hyok.hsm.port import MANY_MAX  # noqa: E402
from hyok.wiring import open_core  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

    from benchmarks.doors.door import Door

    from hyok.custody.door_key import DoorKey
    from hyok.hsm.port import KekSpec
    from hyok.wiring import Core

RESULTS = ROOT / "benchmarks" / "results"
OPEN_SECONDS_MAX = 60.0
DEADLINE_SECONDS = 30.0
PAIRS = {"pair": "rsa-2048", "pair-3072": "rsa-3072"}


@contextmanager
def opened(doors: Sequence[Door]) -> Iterator[Stage]:
    """Serve these doors over SoftHSM until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="hyok-bench-"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    served = authority.issue_cert("localhost")
    served.private_key_pem.write_to_path(folder / "door.key")
    (folder / "door.pem").write_bytes(b"".join(b.bytes() for b in served.cert_chain_pems))
    ports = {door.name: free_port() for door in doors}
    settings = "".join(door.settings(folder, ports[door.name]) for door in doors)
    made = operated.copied(folder, limits=settings)
    try:
        officers = four_eyes.found(made.config)
        keys = [command for door in doors for command in door.key_commands()]
        shown = {}
        for door in doors:
            shown[door.name] = made.cli(*door.commands(folder))
        four_eyes.together(made.config, *keys, who=officers)
        made.serve()
        stage = Stage(made, folder, built("load", folder), ports, shown)
        wait(stage, doors)
        yield stage
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait(stage: Stage, doors: Sequence[Door]) -> None:
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    for door in doors:
        while not door.is_open(stage):
            assert time.monotonic() < deadline, door.name
            time.sleep(0.2)


def again_in_clear(stage: Stage, doors: Sequence[Door]) -> None:
    """Serve anew, these without TLS."""
    made = stage.made
    made.close()
    made.run_directory.mkdir(mode=0o700)
    made.config.write_text(without_tls(made.config.read_text(), {door.name for door in doors}))
    made.serve()
    wait(stage, doors)


def without_tls(settings: str, doors: Collection[str]) -> str:
    """Return the settings without the certificates of these doors."""
    kept, table = [], ""
    for line in settings.splitlines(keepends=True):
        if line.startswith("["):
            table = line.strip("[]\n").removeprefix("doors.").partition(".")[0]
        if table not in doors or not line.startswith(("tls_certificate", "tls_key")):
            kept.append(line)
    return "".join(kept)


async def asked(core: Core, what: str) -> Callable[[], Awaitable[object]]:
    """Return one thing that a door has the HSM do."""
    keys = [key for key in await core.doors.catalog.all() if key.classification == "vertrouwelijk"]

    def spec(fits: Callable[[DoorKey], bool]) -> KekSpec:
        return next(key.newest.spec for key in keys if fits(key))

    hsm, seconds = core.hsm, DEADLINE_SECONDS
    if what == "mac":
        key = spec(lambda key: key.sort is MAC)
        return lambda: hsm.door_mac(key, PLAIN, seconds)
    if what == "sign":
        key, digest = spec(lambda key: key.sort is SIGNER), sha256(PLAIN).digest()
        return lambda: hsm.door_sign(key, digest, seconds)
    if what in PAIRS:
        key = spec(lambda key: key.kind == PAIRS[what])
        public: Any = load_der_public_key(key.public_key)
        blob = public.encrypt(PLAIN, office.WAY)
        return lambda: hsm.pair_open(key, blob, seconds)
    if what in {"wrap", "unwrap"}:
        return await wrapping(core, spec(lambda key: key.sort is WRAPPER), what)
    return await sealing(core, spec(lambda key: key.sort is SECRET), what)


async def wrapping(core: Core, key: KekSpec, what: str) -> Callable[[], Awaitable[object]]:
    """A key's wrap without padding, or the unwrap of one with it: as Azure's rows ask."""
    hsm, seconds = core.hsm, DEADLINE_SECONDS
    if what == "wrap":
        return lambda: hsm.door_wrap(key, PLAIN, seconds, padded=False)
    wrapped = await hsm.door_wrap(key, PLAIN, seconds, padded=True)
    return lambda: hsm.door_unwrap(key, wrapped, seconds, padded=True)


async def sealing(core: Core, key: KekSpec, what: str) -> Callable[[], Awaitable[object]]:
    """One value's encryption or decryption, or the encryptions of a document of 100 values."""
    hsm, seconds = core.hsm, DEADLINE_SECONDS
    if what == "seal":
        return lambda: hsm.door_seal(key, PLAIN, b"data", seconds)
    if what == "seal-100":
        parts = [[PLAIN] * MANY_MAX, [PLAIN] * (100 - MANY_MAX)]
        return lambda: asyncio.gather(*(hsm.door_seal_many(key, p, seconds) for p in parts))
    if what != "open":
        raise ValueError(f"the HSM does no {what!r} here")
    iv, sealed = await hsm.door_seal(key, PLAIN, b"data", seconds)
    return lambda: hsm.door_open(key, iv, sealed, b"data", seconds)


async def raw(stage: Stage, what: str, connections: int, seconds: float) -> dict[str, Any]:
    """Ask the agent, so many calls at once, without a door."""
    settings, _ = load_settings(stage.made.config)
    core = open_core(settings)
    ask = await asked(core, what)
    took: list[float] = []
    began = time.monotonic()

    async def caller() -> None:
        while (at := time.monotonic()) < began + seconds:
            await ask()
            took.append(time.monotonic() - at)

    await asyncio.gather(*(caller() for _ in range(connections)))
    spent = time.monotonic() - began
    await core.close()
    took.sort()
    return {
        "operations": len(took),
        "seconds": spent,
        "p50_us": 1e6 * took[len(took) // 2],
        "p99_us": 1e6 * took[int(0.99 * (len(took) - 1))],
        "cpu_ms": {},
    }


def loaded(stage: Stage, door: Door, row: Row, seconds: float) -> dict[str, Any]:
    """Return what the load saw, and what our processes used for it."""
    watched = processes.Watched.below(stage.made.gateways[-1].process.pid)
    before = watched.cpu()
    told = door.load(stage, row, seconds)
    after = watched.cpu()
    spent = {role: 1000 * (after[role] - before[role]) for role in after}
    told["cpu_ms"] = {role: cpu / told["operations"] for role, cpu in spent.items()}
    return told


def figures(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    roles = {role for sample in samples for role in sample["cpu_ms"]}
    return {
        "operations_per_second": round(
            statistics.median(one["operations"] / one["seconds"] for one in samples)
        ),
        "p50_ms": round(statistics.median(one["p50_us"] for one in samples) / 1000, 2),
        "p99_ms": round(statistics.median(one["p99_us"] for one in samples) / 1000, 2),
        "too_late": sum(one.get("errors", 0) for one in samples),
        "cpu_ms_per_operation": {
            role: round(statistics.median(one["cpu_ms"].get(role, 0) for one in samples), 3)
            for role in sorted(roles)
        },
    }


def measure(
    stage: Stage, door: Door, wanted: Sequence[Row], rounds: int, seconds: float
) -> dict[str, Any]:
    """Return the figures of every row, each with its share of what the raw HSM did."""
    samples: dict[str, list[dict[str, Any]]] = {}
    shares: dict[str, list[float]] = {}
    for turn in range(rounds):
        beside: dict[tuple[str, int], float] = {}
        for what, count in sorted({(row.raw, row.connections) for row in wanted if row.raw}):
            told = asyncio.run(raw(stage, what, count, seconds))
            samples.setdefault(f"hsm-{what}-{count}c", []).append(told)
            beside[what, count] = told["operations"] / told["seconds"]
        for row in wanted:
            told = loaded(stage, door, row, seconds)
            samples.setdefault(row.name, []).append(told)
            rate = told["operations"] / told["seconds"]
            if row.raw:
                alone = beside[row.raw, row.connections]
                shares.setdefault(row.name, []).append(rate / alone)
            print(f"round {turn + 1}: {row.name}: {rate:.0f}/s", file=sys.stderr, flush=True)
    found = {name: figures(each) for name, each in samples.items()}
    for name, each in shares.items():
        found[name]["of_raw_hsm"] = round(statistics.median(each), 3)
    return found


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, by door."""
    doors = [DOORS[name] for name in asked.doors.split(",")]
    connections = [asked.only] if asked.only else [1, 8, 32]
    document: dict[str, Any] = {}
    with opened(doors) as stage:
        print(processes.Watched.below(stage.made.gateways[-1].process.pid), file=sys.stderr)
        in_clear = [door for door in doors if door.in_clear and not asked.tls_only]
        for tls, those in ((True, doors), (False, in_clear)):
            if not tls and those:
                again_in_clear(stage, those)
            for door in those:
                beside = Others()
                wanted = door.rows(connections, tls=tls)
                rows = measure(stage, door, wanted, asked.rounds, asked.seconds)
                fresh = {"rounds": asked.rounds, "seconds": asked.seconds, "others_used_cores": []}
                told = document.setdefault(door.name, fresh | {"rows": {}})
                told["others_used_cores"].append(round(beside.cores(), 2))
                told["rows"] |= rows
    return document


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--doors", default=",".join(DOORS), help="which, by comma")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each row in a round")
    parser.add_argument("--only", type=int, default=0, help="this number of connections alone")
    parser.add_argument("--tls-only", action="store_true", help="not in clear")
    parser.add_argument("--name", default="", help="keep results/NAME.json")
    asked = parser.parse_args()
    document = run(asked)
    print(json.dumps(document, indent=1))
    if asked.name:
        file = RESULTS / f"{asked.name}.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(known | document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
