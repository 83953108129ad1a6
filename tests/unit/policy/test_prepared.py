"""The rules that are asked decide as all would: also those that err, and those for groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cedarpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.policy.cedar import CedarEngine
from hyok.policy.classifications import Classifications
from hyok.policy.decision import Question
from hyok.policy.facts import Shape, facts_of, shape_of
from hyok.policy.prepared import PreparedRules
from hyok.vocabulary import KeyUse, Principal

if TYPE_CHECKING:
    from hyok.policy.prepared import Answer

POLICIES = Path(__file__).resolve().parents[3] / "policies"
RULES = "\n".join(path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar")))
SCHEMA = (POLICIES / "schema.cedarschema").read_text()
CLASSES = Classifications.load(
    {path.stem: path.read_text() for path in (POLICIES / "classifications").glob("*.yaml")}
)
SHIPPED = PreparedRules(RULES, SCHEMA)
GRANTS = ("read", "write", "delete", "list", "lock", "create-bucket", "use-keys", "x")
BUCKET_ACTIONS = ("object:get", "object:put", "bucket:list", "bucket:lower", "object:expire")
KEY_ACTIONS = ("key:encrypt", "key:decrypt")
ACTIONS = (*BUCKET_ACTIONS, *KEY_ACTIONS, "object:fly", "key:create")

GROUPED = SCHEMA.replace(
    'action "object:get", "object:head"\n',
    'action "reads", "all";\naction "object:get", "object:head" in ["reads", "all"]\n',
).replace(
    'action "key:encrypt", "key:decrypt",', 'action "key:encrypt", "key:decrypt" in ["all"]\n'
    "  appliesTo { principal: [App], resource: [DoorKey], context: KeyFacts };\naction",
)  # fmt: skip
PRINCIPALS = (
    *("principal", "principal is App", "principal is Officer", 'principal == App::"zaak"'),
    *(
        'principal in App::"zaak"',
        'principal is App in App::"zaak"',
        'principal == Officer::"zaak"',
    ),
)
SCOPED_ACTIONS = (
    *("action", 'action == Action::"object:get"', 'action in [Action::"object:put"]'),
    *('action in Action::"reads"', 'action in [Action::"all", Action::"key:create"]'),
    *('action == Action::"key:encrypt"', 'action in Action::"object:get"', "action in []"),
)
RESOURCES = (
    *("resource", "resource is Bucket", "resource is DoorKey", 'resource == Bucket::"dossiers"'),
    *('resource in DoorKey::"t/k"', 'resource is Bucket in Bucket::"dossiers"'),
)
TOO_DEEP = "when { " + " || ".join(f"context.level == {number}" for number in range(70)) + " }"
CONDITIONS = (
    TOO_DEEP,
    *("", "when { context.level > 20 }", 'when { context.grants.contains("read") }'),
    *("unless { context.public }", "when { context has purpose }", 'when { context.zone == "" }'),
    'when { [Action::"object:get"].contains(action) || action in Action::"all" }',
    # Overflows above level 0: an error, by which Cedar skips a rule, also one that forbids.
    "when { context.level + 9223372036854775807 > 0 }",
    "when { context.clearance * 9223372036854775807 > 0 && context.public }",
    'when { context.purpose like "zaak*" && [context].contains(context) }',
)


def question_of(**changes: Any) -> Question:
    app = Principal("zaak", "t", clearance=50, grants=frozenset({"read", "write"}))
    asked = Question(app, "object:get", "dossiers", "t", "openbaar", 0, None, "", "municipality")
    return asked._replace(**changes)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    kind = draw(st.sampled_from(("app", "officer", "anonymous", "system")))
    use = KeyUse("xks", "t", "k", operation="GenerateDataKey", caller="who")
    used = draw(st.booleans())
    return Question(
        principal=Principal(
            draw(st.sampled_from(("zaak", "lifecycle", 'een "naam"\n'))),
            "t",
            kind,
            clearance=draw(st.sampled_from((0, 20, 30))),
            purpose=draw(st.sampled_from(("", "zaakbehandeling"))),
            buckets=draw(st.sampled_from((frozenset(), frozenset({"dossiers"})))),
            grants=frozenset(draw(st.lists(st.sampled_from(GRANTS), max_size=4))),
        ),
        action=draw(st.sampled_from(ACTIONS)),
        bucket_id=draw(st.sampled_from(("dossiers", "ander"))),
        tenant="t",
        classification="intern",
        level=draw(st.sampled_from((0, 20, 40))),
        store_facts=None,
        purpose=draw(st.sampled_from(("", "zaakbehandeling"))),
        zone=draw(st.sampled_from(("", "municipality"))),
        public=draw(st.booleans()),
        approved=draw(st.booleans()),
        break_glass=draw(st.booleans()),
        use=use if used else None,
    )


@st.composite
def rule_texts(draw: st.DrawFn, *effects: str) -> str:
    effect = draw(st.sampled_from(effects or ("permit", "forbid")))
    scope = [draw(st.sampled_from(some)) for some in (PRINCIPALS, SCOPED_ACTIONS, RESOURCES)]
    return f"{effect} ({', '.join(scope)}) {draw(st.sampled_from(CONDITIONS))};"


GROUPED_SCHEMA = cedarpy.Schema.from_str(GROUPED)


def validates(rule: str) -> bool:
    return bool(cedarpy.validate_policies(rule, GROUPED_SCHEMA))


def ask(rules: PreparedRules, question: Question, *lifted: str) -> Answer:
    asked = (shape_of(question), question.principal.id, question.bucket_id, facts_of(question))
    return rules.ask(*asked, frozenset(lifted))


def ask_all(rules: PreparedRules, question: Question) -> Answer:
    return rules.ask_all(
        shape_of(question), question.principal.id, question.bucket_id, facts_of(question)
    )


@given(question=questions())
@settings(max_examples=150)
def test_the_rules_we_ship_decide_as_all_of_them_would(question: Question) -> None:
    assert ask(SHIPPED, question) == ask_all(SHIPPED, question)


@given(
    texts=st.lists(rule_texts().filter(validates), min_size=1, max_size=8),
    asked=st.lists(questions(), min_size=1, max_size=10),
)
@settings(max_examples=50)
def test_any_rules_decide_as_all_of_them_would(texts: list[str], asked: list[Question]) -> None:
    rules = PreparedRules("\n".join(texts), GROUPED)
    for question in asked:
        assert ask(rules, question) == ask_all(rules, question)


@given(
    forbids=st.lists(rule_texts("forbid").filter(validates), min_size=1, max_size=6),
    lifted=st.sets(st.integers(0, 5)),
    question=questions(),
)
@settings(max_examples=50)
@example(forbids=["forbid (principal, action, resource);"], lifted={0}, question=question_of())
def test_what_is_lifted_decides_as_if_it_were_not_written(
    forbids: list[str], lifted: set[int], question: Question
) -> None:
    permit = '@id("all") permit (principal, action, resource);'
    named = {number: f'@id("r{number}") {text}' for number, text in enumerate(forbids)}
    rules = PreparedRules("\n".join([permit, *named.values()]), GROUPED)
    rest = [text for number, text in named.items() if number not in lifted]
    if any(TOO_DEEP in text for text in rest):
        return  # not to be taken apart: nothing is lifted
    found = ask(rules, question, *(f"r{number}" for number in lifted))
    wanted = ask_all(PreparedRules("\n".join([permit, *rest]), GROUPED), question)
    assert (found.allowed, found.rules) == (wanted.allowed, wanted.rules)
    assert len(found.errors) == len(wanted.errors)


def test_a_rule_that_forbids_a_group_of_actions_forbids_each_of_them() -> None:
    lax = 'permit (principal, action, resource);\n@id("no-reads") forbid (principal, %s, resource);'
    for scope in ('action in Action::"reads"', 'action in [Action::"all"]'):
        engine = CedarEngine(lax % scope, GROUPED, CLASSES)
        assert engine.decide(question_of()).reasons == ("no-reads",)
        assert engine.decide(question_of(action="object:put")).allowed


def test_a_rule_that_errs_is_a_no_though_another_permits() -> None:
    lax = "permit (principal, action, resource);"
    much = "context.level * 9223372036854775807 > 9"
    trap = f"forbid (principal, action == Action::%s, resource) when {{ {much} }};"
    at = question_of(level=20)
    engine = CedarEngine(lax + trap % '"object:get"', SCHEMA, CLASSES)
    assert engine.decide(at).reasons == ("guardrail-error",)
    assert engine.decide(at._replace(action="object:put")).allowed  # its scope is another


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": True},
        {"level": "20"},
        {"level": None},
        {"level": 1 << 64},
        {"purpose": 7},
        {"zone": None},
        {"public": 1},
        {"principal": Principal("zaak", "t", clearance="50")},  # type: ignore[arg-type]
        {"principal": Principal("zaak", "t", grants=frozenset({"read", 7}))},  # type: ignore[arg-type]
    ],
)
def test_a_fact_of_another_type_is_a_no(wrong: dict[str, Any]) -> None:
    lax = "permit (principal, action, resource) when { context.tenant == context.tenant };"
    reading = " || ".join(f"context.{name} == context.{name}" for name in facts_of(question_of()))
    rules = PreparedRules(
        lax + f"permit (principal, action, resource) when {{ {reading} }};", SCHEMA
    )
    try:
        asked = question_of(**wrong)
        found = ask(rules, asked)
    except TypeError:
        return  # grants of several types cannot be sorted: nobody gets an answer
    assert found == ask_all(rules, asked)
    assert found.errors
    assert not found.allowed


def test_a_fact_that_is_no_text_at_all_is_a_no() -> None:
    rules = PreparedRules(
        "permit (principal, action, resource) when { context has tenant };", SCHEMA
    )
    assert ask(rules, question_of(tenant="\ud800")).errors


def test_only_facts_that_rules_read_are_told() -> None:
    assert SHIPPED.read_by(Shape("App", "object:put", "Bucket")) == {
        *("grants", "level", "clearance", "breakGlass", "within")
    }
    assert SHIPPED.read_by(Shape("Officer", "bucket:lower", "Bucket")) == {"approved"}
    # What the schema does not take is asked with the schema, which says so.
    assert SHIPPED.read_by(Shape("Anonymous", "object:put", "Bucket")) is None
    assert SHIPPED.read_by(Shape("App", "object:fly", "Bucket")) is None


def test_a_rule_that_reads_the_whole_context_is_told_all_of_it() -> None:
    rules = PreparedRules(
        "permit (principal, action, resource) when { [context].contains(context) };", SCHEMA
    )
    read = rules.read_by(Shape("App", "object:put", "Bucket"))
    assert read == facts_of(question_of()).keys()


def test_a_condition_nested_too_deeply_for_json_is_decided_all_the_same() -> None:
    long = " || ".join(f'context.purpose == "{number}"' for number in range(120))
    rules = PreparedRules(f"permit (principal, action, resource) when {{ {long} }};", SCHEMA)
    assert rules.read_by(Shape("App", "object:put", "Bucket")) is None
    asked = question_of(principal=replace(question_of().principal, purpose="3"), purpose="119")
    assert ask(rules, asked).allowed
    assert not ask(rules, asked._replace(purpose="120")).allowed


def test_a_condition_nested_beyond_all_measure_is_refused_when_loaded() -> None:
    long = " || ".join(f'context.purpose == "{number}"' for number in range(3_000))
    with pytest.raises(Malformed, match="cannot be read"):
        PreparedRules(f"permit (principal, action, resource) when {{ {long} }};", SCHEMA)
