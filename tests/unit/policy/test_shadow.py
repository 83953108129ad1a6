"""A candidate is asked afterwards: whatever it says, and however it fails, changes no answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.policy.bundle import load
from hyok.policy.decision import Decision, Question, StoreFacts
from hyok.policy.shadow import NOTES_MAX, Candidate, Difference, ShadowNotes, Verdict
from hyok.vocabulary import Ask, Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
RULES = "rules/gateway.cedar"
READS = 'permit (principal is App, action in [Action::"object:get", '
NO_READS = FILES | {
    RULES: FILES[RULES].replace(READS, "permit (principal is App, action in [", 1),
    "cases/gateway.yaml": "[]",
}
PURPOSELESS = FILES | {
    "classifications/vertrouwelijk.yaml": FILES["classifications/vertrouwelijk.yaml"].replace(
        "purpose-required: true", "purpose-required: false"
    )
}
BUCKET = Bucket("zaken", "gemeente", "local", "zaken", ClassificationName("intern"), "clear")


def question(name: str = "intern", bucket: str = "zaken", **more: Any) -> Question:
    principal = Principal(
        "lezer",
        "gemeente",
        clearance=100,
        purpose=more.get("purpose", "werk"),
        grants=frozenset({"read"}),
    )
    return Question(
        *(principal, more.get("action", "object:get"), bucket, "gemeente", name, 30),
        *(StoreFacts("NL", "NL", "UC1"), principal.purpose, "municipality"),
    )


def asking(asked: Question) -> Ask:
    return Ask(asked.principal, asked.action, BUCKET, "brief.pdf", "R1", "127.0.0.1", 1)


YES, NO = Decision(allowed=True, reasons=("app-read",)), Decision(allowed=False, reasons=())


def judged(files: dict[str, str], asked: Question, *, allowed: bool) -> Difference:
    return Candidate(load(files), lambda: 1).judge(asked, allowed=allowed)


def test_it_says_what_would_be_denied_and_what_newly_allowed() -> None:
    assert judged(FILES, question(), allowed=True) == Difference(Verdict.SAME)
    assert judged(NO_READS, question(), allowed=True) == Difference(
        Verdict.WOULD_DENY, "lezer", "object:get", "zaken", "intern", "no rule permits it"
    )
    secret = question("vertrouwelijk", purpose="")
    assert judged(FILES, secret, allowed=False).verdict == Verdict.SAME
    would = judged(PURPOSELESS, secret, allowed=False)
    assert (would.verdict, would.reason) == (Verdict.WOULD_ALLOW, "app-read")


def test_the_levels_are_the_candidates_own() -> None:
    name = "classifications/intern.yaml"
    raised = FILES | {name: FILES[name].replace("level: 20", "level: 25")}
    low = question()
    low = Question(
        **low._asdict()
        | {"principal": Principal("lezer", "gemeente", clearance=20, grants=frozenset({"read"}))}
    )
    assert judged(FILES, low, allowed=True).verdict == Verdict.SAME
    would = judged(raised, low, allowed=True)
    assert (would.verdict, would.reason) == (Verdict.WOULD_DENY, "app-clearance")


def test_a_class_that_it_does_not_know_is_its_error() -> None:
    without = {n: t for n, t in FILES.items() if "/intern." not in n} | {"cases/gateway.yaml": "[]"}
    found = judged(without, question(), allowed=True)
    assert (found.verdict, found.reason) == (Verdict.ERROR, "NotFound")


def engine_of(decide: Any) -> Any:
    return SimpleNamespace(decide=decide)


class Panic(BaseException):
    """As a Rust library raises it: no Exception."""


@pytest.mark.parametrize("fault", [ValueError, MemoryError, RecursionError, Panic])
def test_any_error_of_it_is_counted_and_goes_no_further(fault: type[BaseException]) -> None:
    def decide(_question: Question) -> Decision:
        raise fault

    found = Candidate(replace(load(FILES), engine=engine_of(decide)), lambda: 1).judge(
        question(), allowed=True
    )
    assert (found.verdict, found.reason) == (Verdict.ERROR, fault.__name__)


def test_it_is_asked_once_while_the_answer_is_young() -> None:
    asked: list[Question] = []
    now = [1_000]

    def decide(given: Question) -> Decision:
        asked.append(given)
        return YES

    candidate = Candidate(replace(load(FILES), engine=engine_of(decide)), lambda: now[0])
    for _ in range(5):
        candidate.judge(question(), allowed=True)
    assert len(asked) == 1
    now[0] += 30_000
    candidate.judge(question(), allowed=True)
    assert len(asked) == 2


def test_without_a_candidate_nothing_is_noted() -> None:
    notes = ShadowNotes()
    notes.note(asking(question()), question(), YES, b"")
    assert notes.take() == ({}, 0)


@given(st.lists(st.tuples(st.integers(0, NOTES_MAX * 2), st.booleans()), max_size=50))
def test_every_decision_is_counted_once(seen: list[tuple[int, bool]]) -> None:
    notes = ShadowNotes()
    notes.on = True
    for number, allowed in seen:
        asked = question(bucket=f"b{number}")
        notes.note(asking(asked), asked, YES if allowed else NO, b"")
    taken, beyond = notes.take()
    assert sum(each.count for each in taken.values()) + beyond == len(seen)
    assert len(taken) == len(set(seen))
    assert notes.take() == ({}, 0)


def test_a_flood_of_questions_fills_no_memory() -> None:
    notes = ShadowNotes()
    notes.on = True
    for number in range(NOTES_MAX + 7):
        asked = question(bucket=f"b{number}")
        notes.note(asking(asked), asked, YES, b"")
    taken, beyond = notes.take()
    assert (len(taken), beyond) == (NOTES_MAX, 7)
