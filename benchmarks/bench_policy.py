"""How long a decision takes: by Cedar with 50 rules, and from memory.

The rules and classifications of `policies/`, with rules of further departments up to the number
asked for, each a condition on the facts of the request.  Questions of apps that read and write,
some of them permitted.  Time of this process's CPU, in short bursts; a loop of additions beside
each says how much others slowed the processor down at that moment.

Run: python benchmarks/bench_policy.py [--rules 50] [--questions 2000] [--bursts 250]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hyok.policy.cedar import CedarEngine
from hyok.policy.classifications import Classifications
from hyok.policy.decision import CachedEngine, Question, StoreFacts
from hyok.vocabulary import Principal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.policy.decision import Engine

BURST = 40
POLICIES = Path(__file__).resolve().parents[1] / "policies"
RULE = """
@id("afdeling-{number}")
forbid (principal is App, action in [Action::"object:put", Action::"object:get"], resource)
when {{ context.grants.contains("afdeling-{number}") && context.level > 30
  && context.purpose != "zaakbehandeling" && context.classification != "intern" }};
"""


def engine_of(rules: int) -> CedarEngine:
    """Return an engine of the policies as they are, with rules up to this number."""
    classes = {path.stem: path.read_text() for path in (POLICIES / "classifications").glob("*")}
    text = "".join(path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar")))
    for number in range(max(0, rules - text.count("@id("))):
        text += RULE.format(number=number)
    assert text.count("@id(") == rules, "the policies have more rules than that"
    schema = (POLICIES / "schema.cedarschema").read_text()
    return CedarEngine(text, schema, Classifications.load(classes))


def questions_of(count: int) -> list[Question]:
    """Return as many questions, no two alike."""
    made = []
    for number in range(count):
        app = Principal(
            f"app-{number}",
            "gemeente",
            "app",
            clearance=30 if number % 2 else 0,
            grants=frozenset({"read", "write", f"afdeling-{number % 40}"}),
            purpose="zaakbehandeling",
        )
        made.append(
            Question(
                principal=app,
                action=("object:get", "object:put")[number % 4 > 1],
                bucket_id=f"bucket-{number % 7}",
                tenant="gemeente",
                classification="vertrouwelijk",
                level=30,
                store_facts=StoreFacts("NL", "NL", "UC1"),
                purpose="zaakbehandeling",
                zone="municipality",
            )
        )
    return made


def microseconds(engine: Engine, asked: Sequence[Question]) -> tuple[float, int]:
    """Return the CPU time of one decision, and how many permitted."""
    began = time.process_time()
    allowed = sum(engine.decide(question).allowed for question in asked)
    return 1e6 * (time.process_time() - began) / len(asked), allowed


def loop_microseconds() -> float:
    """Return the CPU time of 1,000 additions: how much others slow this processor down now."""
    began, total = time.process_time(), 0
    for number in range(50_000):
        total += number
    return 1e6 * (time.process_time() - began) / 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--questions", type=int, default=2_000)
    parser.add_argument("--bursts", type=int, default=250)
    wanted = parser.parse_args()
    engine, asked = engine_of(wanted.rules), questions_of(wanted.questions)
    memory = CachedEngine(engine, clock_ms=lambda: 0, ttl_ms=30_000)
    _, allowed = microseconds(memory, asked)
    assert 0 < allowed < len(asked), "an engine that always says the same measures nothing"
    times: dict[str, list[float]] = {"loop": [], "uncached": [], "cached": []}
    for burst in range(wanted.bursts):
        begin = burst * BURST % (len(asked) - BURST)
        some = asked[begin : begin + BURST]
        times["loop"].append(loop_microseconds())
        took, allowed = microseconds(engine, some)
        again, same = microseconds(memory, some)
        assert same == allowed
        times["uncached"].append(took)
        times["cached"].append(again)
        time.sleep(0.01)
    table = {
        name: {
            "median": round(statistics.median(found), 2),
            "quickest_tenth": round(statistics.quantiles(found, n=10)[0], 2),
        }
        for name, found in times.items()
    }
    print(json.dumps({"rules": wanted.rules, "microseconds": table}, indent=1))


if __name__ == "__main__":
    main()
