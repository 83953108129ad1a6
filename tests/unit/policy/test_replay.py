"""A replay says what would come out otherwise, and of how many records it cannot say anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.policy.bundle import load
from hyok.policy.decision import StoreFacts
from hyok.policy.matrix import ACTIONS, World, ask
from hyok.policy.replay import (
    NO_APP,
    NO_BUCKET,
    NO_CLASS_THEN,
    NO_KIND,
    OTHERWISE,
    Changed,
    PastDecision,
    replay,
)
from hyok.vocabulary import Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
RULES = "rules/gateway.cedar"
READS = 'permit (principal is App, action in [Action::"object:get", '
NO_READS = FILES | {
    RULES: FILES[RULES].replace(READS, "permit (principal is App, action in [", 1),
    "cases/gateway.yaml": "[]",
}
NOW, THEN = load(FILES), load(NO_READS)


def app(name: str, *grants: str, clearance: int = 100) -> Principal:
    return Principal(
        name, "gemeente", clearance=clearance, purpose="werk", grants=frozenset(grants)
    )


WORLD = World(
    principals=[
        app("lezer", "read", clearance=20),
        app("schrijver", "read", "write", "delete", "list"),
        app("bouwer", "create-bucket"),
    ],
    buckets=[
        Bucket(name, "gemeente", "local", name, ClassificationName(name), "clear")
        for name in ("intern", "geheim")
    ],
    stores={"local": StoreFacts("NL", "NL", "UC1")},
    zone="municipality",
)
READ = PastDecision(*("lezer", "app", "gemeente", "object:get", "intern", "intern"), allowed=True)


def test_what_the_candidate_would_deny_is_counted_by_app_bucket_and_action() -> None:
    found = replay(NOW, THEN, WORLD, {READ: 40, replace(READ, action="object:head"): 2})
    assert found.changed == {
        Changed("would-deny", "lezer", "intern", "object:get", "no rule permits it"): 40
    }
    assert (found.same, found.records, found.skipped.total()) == (2, 42, 0)


def test_and_what_it_would_newly_allow() -> None:
    found = replay(THEN, NOW, WORLD, {replace(READ, allowed=False): 3})
    assert found.changed == {Changed("would-allow", "lezer", "intern", "object:get", "app-read"): 3}


@pytest.mark.parametrize(
    ("past", "why"),
    [
        (replace(READ, actor="weg"), NO_APP),
        (replace(READ, bucket_id="weg"), NO_BUCKET),
        (replace(READ, kind="system"), NO_KIND),
        (replace(READ, allowed=False), OTHERWISE),
        (replace(READ, classification="geheim"), OTHERWISE),
    ],
)
def test_what_cannot_be_replayed_says_why_and_is_not_called_the_same(
    past: PastDecision, why: str
) -> None:
    found = replay(NOW, THEN, WORLD, {past: 5})
    assert (found.skipped, found.same, found.changed) == ({why: 5}, 0, {})


def test_a_class_that_the_candidate_lacks_is_said() -> None:
    without = {n: t for n, t in FILES.items() if "/intern." not in n} | {"cases/gateway.yaml": "[]"}
    assert replay(NOW, load(without), WORLD, {READ: 1}).skipped == {NO_CLASS_THEN: 1}


def test_acts_of_officers_and_grants_are_replayed_with_what_their_records_name() -> None:
    lowered = PastDecision(
        *("officer:anna", "officer", "gemeente", "object:lower", "intern", "intern"),
        allowed=True,
        approved=True,
    )
    beyond = replace(READ, classification="geheim", bucket_id="geheim", break_glass=True)
    found = replay(NOW, NOW, WORLD, {lowered: 1, beyond: 1, replace(lowered, approved=False): 1})
    assert found.same == 2
    assert found.skipped == {OTHERWISE: 1}, "without approval it would have been denied"


QUESTIONS = st.tuples(
    st.sampled_from(WORLD.principals),
    st.sampled_from(WORLD.buckets),
    st.sampled_from(NOW.classifications.names()),
    st.sampled_from(ACTIONS),
)


@settings(max_examples=30)
@given(st.lists(QUESTIONS, max_size=20))
def test_it_agrees_with_both_policies_on_every_decision(
    asked: list[tuple[Principal, Bucket, str, str]],
) -> None:
    past: Counter[PastDecision] = Counter()
    otherwise = 0
    for principal, bucket, name, action in asked:
        said = ask(NOW, WORLD, principal, bucket, name, action).allowed
        otherwise += said is not ask(THEN, WORLD, principal, bucket, name, action).allowed
        past[
            PastDecision(
                *(principal.id, "app", bucket.tenant, action, bucket.bucket_id, name), allowed=said
            )
        ] += 1
    assert replay(NOW, NOW, WORLD, past).same == len(asked)
    found = replay(NOW, THEN, WORLD, past)
    assert found.changed.total() == otherwise
    assert found.same == len(asked) - otherwise
