"""From raw rounds to the figures of the table.  Pure."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.side_by_side.rows import Row

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What one road did in one round."""

    operations: int
    seconds: float
    bytes: int
    p50_us: float
    p99_us: float
    cpu_seconds: Mapping[str, float]  # by role
    peak_bytes: Mapping[str, int]  # by role
    client_cpu_seconds: float = 0.0
    store_cpu_seconds: float = 0.0
    others_busy: float = 0.0  # cores that others used meanwhile
    growth_bytes: int = 0

    @property
    def rate(self) -> float:
        """Operations a second; whole bodies for those that are long."""
        return self.operations / self.seconds

    @property
    def cpu(self) -> float:
        return sum(self.cpu_seconds.values())


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of them lie, the nearest one (0: the least)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[int((len(ordered) - 1) * share + 0.5)]


def paired(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios of each round; rounds of two roads lie close in time."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def figures_of(rounds: Mapping[str, Sequence[Sample]], road: str) -> dict[str, float]:
    """Return the figures of one road, medians over its rounds."""
    mine = rounds[road]

    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    def beside(other: str, attribute: str) -> float:
        return paired(
            [getattr(sample, attribute) for sample in mine],
            [getattr(sample, attribute) for sample in rounds[other]],
        )

    found = {
        "rate": median([sample.rate for sample in mine]),
        "mb_s": median([sample.bytes / sample.seconds / MB for sample in mine]),
        "p50_us": median([sample.p50_us for sample in mine]),
        "p99_us": median([sample.p99_us for sample in mine]),
        "cpu_us_op": median([sample.cpu / sample.operations * 1e6 for sample in mine]),
        "peak_mib": max(sum(sample.peak_bytes.values()) for sample in mine) / (1 << 20),
        "growth_mib": max(sample.growth_bytes for sample in mine) / (1 << 20),
    }
    if all(sample.bytes for sample in mine):
        found["cpu_ms_mb"] = median([s.cpu * 1e3 / (s.bytes / MB) for s in mine])
    if "nginx" in rounds:
        found["to_nginx"] = beside("nginx", "rate")
        found["added_p50_ms"] = median(
            [(a.p50_us - b.p50_us) / 1e3 for a, b in zip(mine, rounds["nginx"], strict=True)]
        )
    if "store" in rounds:
        found["to_store"] = beside("store", "rate")
        found["time_to_store"] = beside("store", "p50_us")
    if "rclone" in rounds:
        found["to_rclone"] = beside("rclone", "rate")
        found["cpu_to_rclone"] = paired(
            [s.cpu / s.operations for s in mine], [s.cpu / s.operations for s in rounds["rclone"]]
        )
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    row: str
    road: str
    figure: str
    bound: float
    value: float | None  # None: not measured
    reached: bool


def verdicts(row: Row, figures: Mapping[str, Mapping[str, float]]) -> list[Verdict]:
    """Return what became of a row's targets."""
    found = []
    for target in row.targets:
        value = figures.get(target.road, {}).get(target.figure)
        reached = value is not None and target.reached(value)
        found.append(Verdict(row.name, target.road, target.figure, target.bound, value, reached))
    return found


COLUMNS = (
    ("ops/s", "rate", "{:.1f}"),
    ("MB/s", "mb_s", "{:.1f}"),
    ("p50 ms", "p50_us", "{:.2f}"),
    ("p99 ms", "p99_us", "{:.2f}"),
    ("µs/op", "cpu_us_op", "{:.0f}"),
    ("ms/MB", "cpu_ms_mb", "{:.2f}"),
    ("RSS MiB", "peak_mib", "{:.0f}"),
    ("/nginx", "to_nginx", "{:.2f}"),
    ("/store", "to_store", "{:.2f}"),
)


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """Return the lines of the table: rows, roads, figures."""
    lines = [f"{'row':<17}{'road':<9}" + "".join(f"{head:>10}" for head, _, _ in COLUMNS)]
    for row, roads in results.items():
        for road, figures in roads.items():
            cells = []
            for _, key, form in COLUMNS:
                value = figures.get(key)
                if value is not None and key in {"p50_us", "p99_us"}:
                    value /= 1e3
                cells.append("-" if value is None else form.format(value))
            lines.append(f"{row:<17}{road:<9}" + "".join(f"{cell:>10}" for cell in cells))
    return lines


def verdict_lines(found: Sequence[Verdict]) -> list[str]:
    """Return one line for each target."""
    lines = []
    for one in found:
        sign = ">=" if one.figure in {"to_nginx", "to_rclone"} else "<="
        value = "not measured" if one.value is None else f"{one.value:.3g}"
        word = "reached" if one.reached else "NOT REACHED"
        lines.append(
            f"{one.row:<17}{one.road:<9}{one.figure:<15}{sign} {one.bound:<8.3g}{value:>12}  {word}"
        )
    return lines
