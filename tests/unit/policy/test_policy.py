"""Classifications are read strictly, combine upwards only, and no rule undoes a guardrail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Malformed, Refused
from hyok.policy.cases import Case, parse_cases
from hyok.policy.cedar import CedarEngine
from hyok.policy.classifications import Classifications
from hyok.policy.classify import effective
from hyok.policy.decision import CachedEngine, Decision, Question

POLICIES = Path(__file__).resolve().parents[3] / "policies"
FILES = {path.stem: path.read_text() for path in (POLICIES / "classifications").glob("*.yaml")}
CLASSES = Classifications.load(FILES)
RULES = "\n".join(path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar")))
SCHEMA = (POLICIES / "schema.cedarschema").read_text()
ENGINE = CedarEngine(RULES, SCHEMA, CLASSES)
CASES = parse_cases("gateway", (POLICIES / "cases" / "gateway.yaml").read_text(), CLASSES)
ZGW = (
    "openbaar",
    "beperkt_openbaar",
    "intern",
    "zaakvertrouwelijk",
    "vertrouwelijk",
    "confidentieel",
    "geheim",
    "zeer_geheim",
)


def question(row: dict[str, Any]) -> Question:
    text = yaml.safe_dump([row | {"why": "test", "answer": "permit"}])
    return parse_cases("test", text, CLASSES)[0].question


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_the_decision_table_holds(case: Case) -> None:
    assert case.failure(ENGINE) == ""


def test_every_zgw_label_names_a_classification_in_its_own_order() -> None:
    levels = [CLASSES.level(CLASSES.by_label(label) or "?") for label in ZGW]
    assert levels == sorted(levels)


@given(
    default=st.sampled_from(CLASSES.names()),
    rule=st.none() | st.sampled_from(CLASSES.names()),
    labels=st.lists(st.sampled_from(CLASSES.labels()), max_size=3),
)
def test_a_request_raises_and_never_lowers(
    default: str, rule: str | None, labels: list[str]
) -> None:
    found = effective(CLASSES, bucket_default=default, prefix_rule=rule, labels=labels)
    named = [default, rule or default, *(CLASSES.by_label(label) or "" for label in labels)]
    known = [name for name in named if name != "onbekend"]
    assert CLASSES.level(found) == max(map(CLASSES.level, known or ["onbekend"]))
    assert (found == "onbekend") is (not known)


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match="zaakvertrouwelijk"):
        effective(CLASSES, bucket_default="intern", prefix_rule=None, labels=["geheim!"])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("level: 20", "level: 200", "level = 200"),
        ("level: 20", "levle: 20", "levle"),
        ("write-ttl: 1h", "write-ttl: 48h", "write-ttl"),
        ("write-ttl: 1h", "write-ttl: 1", "a number with s, m, h or d"),
        ("read-cache: 15m", "read-cache: 30d", "read-cache"),
        ("control: any", "control: US", "control"),
        ("custody-country: NL", "custody-country: Nederland", "custody-country"),
        ("destroy-key: 2", "destroy-key: 1", "destroy-key"),
        ("mode: batched", "mode: never", "audit.mode"),
        ("classification: intern", "classification: anders", "one file, one class"),
    ],
)
def test_a_wrong_field_is_named(before: str, after: str, said: str) -> None:
    assert before in FILES["intern"]
    with pytest.raises(Malformed) as caught:
        Classifications.load(FILES | {"intern": FILES["intern"].replace(before, after)})
    assert said in str(caught.value)


def test_one_label_has_one_classification() -> None:
    twice = FILES["intern"].replace("[beperkt_openbaar]", "[zaakvertrouwelijk]")
    with pytest.raises(Malformed, match="claimed by"):
        Classifications.load(FILES | {"intern": twice})


@pytest.mark.parametrize(
    "rule",
    [
        "permit (principal, action, resource) when { context.levle > 1 };",
        'permit (principal, action, resource) when { context.level > "1" };',
        'permit (principal, action == Action::"object:fly", resource);',
        "permit (principal",
    ],
)
def test_rules_that_do_not_fit_the_schema_are_not_loaded(rule: str) -> None:
    with pytest.raises(Malformed):
        CedarEngine(RULES + rule, SCHEMA, CLASSES)


@pytest.mark.parametrize("name", ["gerubriceerd", "geheim"])
def test_a_rule_that_permits_everything_opens_no_guardrail(name: str) -> None:
    lax = CedarEngine("permit (principal, action, resource);", SCHEMA, CLASSES)
    case = {"action": "object:put", "classification": name, "store": {"control": "US"}}
    assert not lax.decide(question(case)).allowed


def test_a_remembered_decision_is_asked_again_after_its_time() -> None:
    class Counting:
        asked = 0

        def decide(self, _question: Question) -> Decision:
            self.asked += 1
            return Decision(allowed=True, reasons=())

    now = [0]
    engine = Counting()
    cached = CachedEngine(engine, clock_ms=lambda: now[0], ttl_ms=30_000)
    for at, asked in ((0, 1), (29_999, 1), (30_000, 2)):
        now[0] = at
        cached.decide(question({"action": "object:get"}))
        assert engine.asked == asked
