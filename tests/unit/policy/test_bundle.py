"""A bundle is one sequence of bytes; a policy that cannot decide, or fails its cases, is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hyok.errors import Malformed
from hyok.policy.bundle import Bundle, Policy, failing, load, parse_bundle
from hyok.policy.decision import StoreFacts
from hyok.policy.matrix import Cell, World, allowed, ask, compare
from hyok.vocabulary import Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
RULES = "rules/gateway.cedar"


def changed(before: str, after: str, name: str = RULES) -> dict[str, str]:
    assert before in FILES[name]
    return FILES | {name: FILES[name].replace(before, after)}


def world() -> World:
    def app(name: str, *grants: str, clearance: int = 100) -> Principal:
        return Principal(
            name, "gemeente", clearance=clearance, purpose="werk", grants=frozenset(grants)
        )

    buckets = [
        Bucket(name, tenant, "local", name, ClassificationName(name), "sealed")
        for name, tenant in (("intern", "gemeente"), ("geheim", "gemeente"), ("buren", "buur"))
    ]
    return World(
        principals=[app("lezer", "read", "list", clearance=20), app("schrijver", "read", "write")],
        buckets=buckets,
        stores={"local": StoreFacts("NL", "NL", "UC1")},
        zone="municipality",
    )


def test_our_own_policy_loads_and_its_cases_hold() -> None:
    policy = load(FILES)
    assert failing(policy) == []
    assert len(policy.cases) > 40


def test_a_bundle_is_one_sequence_of_bytes() -> None:
    bundle = Bundle(3, FILES)
    raw = bundle.render()
    assert parse_bundle(raw) == bundle
    shuffled = Bundle(3, dict(sorted(FILES.items(), reverse=True)))
    assert shuffled.render() == raw
    assert replace(bundle, version=4).digest != bundle.digest
    assert Bundle(3, changed("context.level", "context.level ")).digest != bundle.digest


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        Bundle(1, FILES).render() + b" ",
        Bundle(1, FILES).render().replace(b'"version":1', b'"version":1.0'),
        json.dumps(json.loads(Bundle(1, FILES).render())).encode(),
        b'{"files":{"../x":""},"format":"hyok-policy-bundle/1","version":1}',
        b'{"files":{},"format":"hyok-policy-bundle/2","version":1}',
    ],
    ids=["nothing", "empty", "list", "more", "float", "spaces", "name", "format"],
)
def test_other_bytes_are_no_bundle(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_bundle(raw)


@pytest.mark.parametrize(
    "files",
    [
        {name: text for name, text in FILES.items() if name != "schema.cedarschema"},
        {name: text for name, text in FILES.items() if not name.startswith("rules/")},
        {name: text for name, text in FILES.items() if "onbekend" not in name},
        changed("context.clearance", "context.clearence"),
        FILES | {"cases/meer.yaml": "- {why: x, action: 'object:get', answer: perhaps}"},
        FILES | {"cases/meer.yaml": "- {why: x, action: 'object:get', answer: permit, ap: 1}"},
        FILES | {"cases/meer.yaml": "{why: x}"},
    ],
    ids=["schema", "rules", "onbekend", "misspelt", "answer", "field", "no list"],
)
def test_a_policy_that_cannot_decide_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        load(files)


def test_a_forbid_that_is_taken_out_fails_a_case() -> None:
    files = changed("when { context.level > context.clearance }", "when { false }")
    said = failing(load(files))
    assert said
    assert any("clearance" in one for one in said)


def policy_of(files: dict[str, str]) -> Policy:
    return load(files)


def test_the_matrix_says_who_may_what_and_another_policy_what_it_gives_and_takes() -> None:
    before = allowed(policy_of(FILES), world())
    assert Cell("lezer", "intern", "intern", "object:get") in before
    assert Cell("schrijver", "geheim", "geheim", "object:put") in before
    assert not any(cell.bucket == "buren" for cell in before), "another tenant's"
    assert not any(cell.classification == "geheim" for cell in before if cell.app == "lezer")
    reading = 'permit (principal is App, action in [Action::"object:get", '
    without_reading = changed(reading, "permit (principal is App, action in [")
    change = compare(before, allowed(policy_of(without_reading), world()))
    assert change.gained == []
    assert {cell.action for cell in change.lost} == {"object:get"}
    assert change.apps_that_lose == ["lezer", "schrijver"]


def test_an_error_while_deciding_is_a_no() -> None:
    """Cedar passes by a rule that errors: a forbid that does would let something pass."""
    overflow = FILES[RULES] + (
        '\n@id("trap")\nforbid (principal, action, resource)\n'
        "when { context.clearance + 9223372036854775807 > 0 };\n"
    )
    policy = load(FILES | {RULES: overflow})
    here = world()
    decision = ask(policy, here, here.principals[1], here.buckets[0], "intern", "object:get")
    assert not decision.allowed
    assert decision.reasons == ("guardrail-error",)
