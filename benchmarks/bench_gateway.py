"""hyok beside nginx, haproxy, the bare store and rclone over crypt, in one run, as ratios.

    python benchmarks/bench_gateway.py --quick
    python benchmarks/bench_gateway.py --only put-64m,get-1k --rounds 5
    python benchmarks/bench_gateway.py --name NAME          # results/NAME.json and NAME.svg

All roads lead to the same store; rounds are interleaved; a ratio is the median of the ratios of
each round.  benchmarks/README.md says what each row is.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.side_by_side import figures, report, rows, town  # noqa: E402
from benchmarks.side_by_side.build import Missing  # noqa: E402
from benchmarks.side_by_side.work import Failed  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the main rows, nginx and hyok alone")
    parser.add_argument("--long", action="store_true", help="1 GiB bodies and a stream of 5 GB too")
    parser.add_argument("--only", default="", help="rows by name, with commas between them")
    parser.add_argument("--roads", default="", help="these roads alone, with commas between them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.0, help="of a round; 0: 1, or 2 in full")
    parser.add_argument("--seed", type=int, default=0, help="of the bodies; 0: drawn")
    parser.add_argument("--name", default="", help="keep results/NAME.json and NAME.svg")
    parser.add_argument("--list", action="store_true", help="tell the names of the rows and end")
    return parser


def main() -> int:
    parser = arguments()
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(row.name for row in rows.ROWS))
        return 0
    try:
        only = [name for name in asked.only.split(",") if name]
        wanted = rows.chosen(only, quick=asked.quick, long=asked.long)
    except ValueError as error:
        parser.error(str(error))
    roads = {name for name in asked.roads.split(",") if name}
    if asked.quick and not roads:
        roads = {"nginx", "hyok", "hyok-2w"}
    plan = town.Plan(
        rows=wanted,
        roads=frozenset(roads),
        rounds=asked.rounds,
        seconds=asked.seconds or (1.0 if asked.quick or only else 2.0),
        seed=asked.seed or secrets.randbelow(1 << 31) + 1,
    )
    with tempfile.TemporaryDirectory(prefix="hyok-bench-") as name:
        try:
            run = town.run(plan, Path(name), print)
        except (Missing, Failed) as error:
            print(f"stopped: {error}", file=sys.stderr)
            return 2
    found = report.of(run)
    print("\n".join(figures.table(found.figures)))
    print("\n".join(figures.verdict_lines(found.verdicts)))
    print(f"others used {found.others_before:.2f} cores before, {found.others_during:.2f} during")
    if asked.name:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(report.document(run, found), indent=1)
        (RESULTS / f"{asked.name}.json").write_text(text + "\n")
        (RESULTS / f"{asked.name}.svg").write_text(report.drawing(found, asked.name))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
