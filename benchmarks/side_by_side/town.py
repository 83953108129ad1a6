"""A run: stores, roads and rows put together, each started when the first row needs it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.side_by_side import roads
from benchmarks.side_by_side.build import Missing, built
from benchmarks.side_by_side.client import send
from benchmarks.side_by_side.proofs import prove
from benchmarks.side_by_side.requests import Ask, make_pattern
from benchmarks.side_by_side.work import Bench, Failed, Others, measure, prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.side_by_side.figures import Sample
    from benchmarks.side_by_side.roads import Road, Store
    from benchmarks.side_by_side.rows import Row

STORE_BYTES_MAX = 6 << 30
STORE_BYTES_MAX_LONG = 10 << 30
WARM_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Plan:
    rows: Sequence[Row]
    roads: frozenset[str]  # empty: all
    rounds: int
    seconds: float
    seed: int

    def wants(self, row: Row) -> list[str]:
        return [name for name in row.roads if not self.roads or name in self.roads]


@dataclass
class Run:
    plan: Plan
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    proofs: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    others_before: float = 0.0
    seconds: float = 0.0


class Town:
    """Everything that runs; each part is started once."""

    def __init__(
        self, plan: Plan, folder: Path, over: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._over = over
        self._say = say
        self._roads: dict[tuple[str, str, bool], Road] = {}
        self._home: Path | None = None
        self.missing: dict[str, str] = {}
        programs = folder / "programs"
        big = any(row.size >= 1 << 30 and row.kind in {"put", "get"} for row in plan.rows)
        self.stores: dict[str, Store] = {}
        for name in sorted({row.store for row in plan.rows}):
            if name == "memory":
                limit = STORE_BYTES_MAX_LONG if big else STORE_BYTES_MAX
                store = roads.memory_store(programs, limit)
            else:
                store = roads.seaweed_store(folder)
            over.callback(store.stop)
            self.stores[name] = store
        pattern = make_pattern(plan.seed)
        self.bench = Bench(
            folder, built("load", programs), pattern, plan.seconds, self.stores, set()
        )
        self.bench.pattern_file.write_bytes(pattern)
        for store in self.stores.values():
            self._buckets(store.road)

    def _buckets(self, road: Road) -> None:
        for classification in roads.CLASSES:
            path = f"/{road.bucket(classification)}"
            answer = send(road, Ask("PUT", path), self.bench.pattern)
            if answer.status != 200:
                raise Failed(f"{road.name}: a bucket is refused ({answer.status})")

    def home(self) -> Path:
        if self._home is None:
            self._home = roads.furnish(self._folder, list(self.stores.values()))
        return self._home

    def road(self, name: str, row: Row) -> Road | None:
        """Return a road to the store of a row; None: it can't be had here."""
        place = (name, row.store, row.tls)
        if place not in self._roads and name not in self.missing:
            try:
                self._start(name, row)
            except Missing as error:
                if name == "nginx":
                    raise
                self.missing[name] = str(error)
                self._say(f"without {name}: {error}")
        return self._roads.get(place)

    def _start(self, name: str, row: Row) -> None:
        store = self.stores[row.store]
        if name == "store":
            self._roads[name, row.store, row.tls] = store.road
            return
        if name.startswith("hyok"):
            made, stop = self._gateway(name, tls=row.tls)
            self._over.callback(stop)
            for of_store, gateway in made.items():
                self._roads[name, of_store, row.tls] = gateway
            told = next(iter(made.values()))
            self._say(f"{name} is on port {told.port}: {dict(told.watched.roles)}")
            return
        road: Road
        if name in {"nginx", "nginx-big"}:
            tls = self.home() if row.tls else None
            road, end = roads.nginx(self._folder, store, tls, big=name == "nginx-big")
        elif name == "haproxy":
            road, end = roads.haproxy(self._folder, store)
        else:
            send(store.road, Ask("PUT", f"/{roads.RCLONE_BUCKET}"), self.bench.pattern)
            road, end = roads.rclone(self._folder, store)
        self._over.callback(end)
        self._roads[name, row.store, row.tls] = road
        if name == "rclone":
            self._buckets(road)

    def _gateway(self, name: str, *, tls: bool) -> tuple[Mapping[str, Road], Callable[[], object]]:
        stores = list(self.stores.values())
        if name == "hyok-behind":
            return roads.hyok_behind(self._folder, self.home(), stores)
        return roads.hyok(self.home(), stores, workers=2 if name == "hyok-2w" else 1, https=tls)


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Run:
    """Do the whole plan.

    Raises:
        Missing: something without which there is no measure is not here.
        Failed: a road answered wrongly, or let something through that it must refuse.
    """
    done = Run(plan)
    before = Others()
    time.sleep(1.0)
    done.others_before = before.cores()
    began = time.perf_counter()
    with ExitStack() as over:
        town = Town(plan, folder, over, say)
        for row in plan.rows:
            try:
                _row(town, row, done, say)
            except Failed as error:
                raise Failed(f"{row.name}: {error}{_complaints(folder)}") from error
        done.missing = town.missing
    done.seconds = time.perf_counter() - began
    return done


def _proven(town: Town, road: Road, row: Row, say: Callable[[str], None]) -> list[str]:
    """Return what was tried.  Where a peer lets something through, that is a result as well.

    Raises:
        Failed: hyok let something through.
    """
    try:
        return prove(town.bench, road, row)
    except Failed as error:
        if road.name.startswith("hyok"):
            raise
        say(f"{row.name}: not proven: {error}")
        return [f"FAILED: {error}"]


def _complaints(folder: Path) -> str:
    """Return what the gateways logged last beyond what is usual."""
    lines = [
        line
        for file in sorted((folder / "home" / "log").glob("bench*.jsonl"))
        for line in file.read_text().splitlines()
        if '"level": "info"' not in line or '"status": 5' in line
    ]
    return "".join(f"\n  {line}" for line in lines[-5:])


def _row(town: Town, row: Row, done: Run, say: Callable[[str], None]) -> None:
    plan = done.plan
    here = [road for name in plan.wants(row) if (road := town.road(name, row)) is not None]
    samples: dict[str, list[Sample]] = {road.name: [] for road in here}
    for road in here:
        prepare(town.bench, road, row)
        road.look()
        if row.kind not in {"stream", "streams"}:
            measure(town.bench, road, row, WARM_SECONDS)
    for turn in range(plan.rounds):
        first = turn % len(here)  # nobody is always the first
        for road in here[first:] + here[:first]:
            samples[road.name].append(measure(town.bench, road, row, plan.seconds))
    done.proofs[row.name] = {road.name: _proven(town, road, row, say) for road in here}
    done.samples[row.name] = samples
    rates = ", ".join(
        f"{name} {max(sample.rate for sample in found):.1f}/s" for name, found in samples.items()
    )
    say(f"{row.name}: {rates}; proofs of hyok: {done.proofs[row.name].get('hyok', [])}")
