"""An exception lifts one thing in one place, only until its end, and nothing else ever."""

from __future__ import annotations

from calendar import timegm
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.policy.bundle import Policy, failing, load
from hyok.policy.decision import CachedEngine, Question, StoreFacts
from hyok.policy.exceptions import DAY_MS, check_terms, parse_exceptions
from hyok.policy.matrix import ACTIONS, Cell, World
from hyok.policy.matrix import allowed as matrix
from hyok.vocabulary import Bucket, ClassificationName, Principal
from hyok.wiring import policy_files

FILES = policy_files(Path(__file__).resolve().parents[3] / "policies")
UNTIL = date(2027, 5, 31)
ENDS_MS = timegm((2027, 6, 1, 0, 0, 0)) * 1000
BEFORE = ENDS_MS - 1
RESIDENCY = {
    "id": "archief-verhuizing",
    "lifts": {
        "kind": "store",
        "guardrail": "jurisdiction",
        "classification": "geheim",
        "bucket": "archief",
    },
    "reason": "tot de verhuizing klaar is",
    "owner": "proceseigenaar archief",
    "until": UNTIL,
}
CLEARANCE = RESIDENCY | {
    "id": "jeugd-inzage",
    "lifts": {"kind": "rule", "rule": "app-clearance", "app": "lezer", "bucket": "jeugd"},
}
CONTROL = RESIDENCY | {
    "id": "archief-leverancier",
    "lifts": {**RESIDENCY["lifts"], "guardrail": "control"},  # type: ignore[dict-item]
    "until": date(2027, 1, 31),
}


def files(*exceptions: object) -> dict[str, str]:
    return FILES | {"exceptions.yaml": yaml.safe_dump(list(exceptions))}


BARE = load(FILES)
EXCEPTED = load(files(RESIDENCY, CLEARANCE))


def question(
    bucket: str = "archief",
    classification: str = "geheim",
    action: str = "object:put",
    *,
    app: str = "schrijver",
    clearance: int = 100,
    store: StoreFacts | None = None,
) -> Question:
    grants = frozenset({"read", "write", "delete", "list", "create-bucket"})
    principal = Principal(app, "gemeente", clearance=clearance, purpose="werk", grants=grants)
    return Question(
        *(principal, action, bucket, "gemeente", classification),
        BARE.classifications.level(classification),
        store or StoreFacts("DE", "NL", "UC1"),
        *("werk", "municipality"),
    )


def allowed(policy: Policy, asked: Question, now_ms: int) -> bool:
    return policy.deciding(lambda: now_ms).decide(asked).allowed


def test_it_lets_pass_what_it_names_until_the_last_moment_of_its_last_day() -> None:
    assert not allowed(BARE, question(), BEFORE)
    assert allowed(EXCEPTED, question(), BEFORE)
    assert not allowed(EXCEPTED, question(), ENDS_MS)
    found = EXCEPTED.deciding(lambda: BEFORE).decide(question())
    assert found.reasons == ("app-write", "exception:archief-verhuizing")
    assert found.until_ms == ENDS_MS


@pytest.mark.parametrize(
    "other",
    [
        question(bucket="archief2"),
        question(classification="zeer_vertrouwelijk", store=StoreFacts("US", "NL", "UC1")),
        question(store=StoreFacts("DE", "US", "UC1")),
        question(store=StoreFacts("DE", "NL", "clear")),
        question()._replace(zone="supplier"),
        question()._replace(tenant="buurgemeente"),
        question()._replace(purpose=""),
        question()._replace(classification="gerubriceerd"),
        question(clearance=10),
    ],
    ids=["bucket", "class", "control", "use case", "zone", "tenant", "purpose", "denied", "rule"],
)
def test_it_lets_nothing_else_pass(other: Question) -> None:
    assert not allowed(EXCEPTED, other, BEFORE)


def test_a_forbid_is_lifted_for_one_app_in_one_bucket() -> None:
    asked = question("jeugd", "vertrouwelijk", "object:get", app="lezer", clearance=20)
    assert not allowed(BARE, asked, BEFORE)
    found = EXCEPTED.deciding(lambda: BEFORE).decide(asked)
    assert (found.allowed, found.reasons) == (True, ("app-read", "exception:jeugd-inzage"))
    assert not allowed(EXCEPTED, asked, ENDS_MS)
    assert not allowed(EXCEPTED, asked._replace(bucket_id="zaken"), BEFORE)
    another = asked._replace(principal=replace(asked.principal, id="ander"))
    assert not allowed(EXCEPTED, another, BEFORE)
    officer = asked._replace(principal=replace(asked.principal, kind="officer"))
    assert not allowed(EXCEPTED, officer, BEFORE)


def test_a_lifted_forbid_permits_nothing_by_itself() -> None:
    asked = question("jeugd", "vertrouwelijk", "object:lock", app="lezer", clearance=20)
    found = EXCEPTED.deciding(lambda: BEFORE).decide(asked)
    assert (found.allowed, found.reasons) == (False, ()), "the app has no grant to lock"


def test_two_that_are_needed_together_end_with_the_first() -> None:
    both = load(files(RESIDENCY, CONTROL))
    asked = question(store=StoreFacts("DE", "US", "UC1"))
    found = both.deciding(lambda: 0).decide(asked)
    assert found.reasons[1:] == ("exception:archief-verhuizing", "exception:archief-leverancier")
    first_end = timegm((2027, 2, 1, 0, 0, 0)) * 1000
    assert found.until_ms == first_end
    assert not allowed(both, asked, first_end)
    one = both.deciding(lambda: 0).decide(question())
    assert one.reasons[1:] == ("exception:archief-verhuizing",), "only what was needed is named"


def test_the_memory_of_decisions_does_not_outlive_an_exception() -> None:
    now = [ENDS_MS - 1_000]
    engine = CachedEngine(EXCEPTED.deciding(lambda: now[0]), clock_ms=lambda: now[0], ttl_ms=30_000)
    assert engine.decide(question()).allowed
    now[0] = ENDS_MS - 1
    assert engine.decide(question()).allowed
    now[0] = ENDS_MS
    assert not engine.decide(question()).allowed


def test_the_matrix_of_access_has_what_an_exception_gives_while_it_holds() -> None:
    reader = Principal(
        "lezer", "gemeente", clearance=20, purpose="werk", grants=frozenset({"read"})
    )
    bucket = Bucket("jeugd", "gemeente", "local", "jeugd", ClassificationName("intern"), "clear")
    stores = {"local": StoreFacts("NL", "NL", "UC1")}
    given = Cell("lezer", "jeugd", "vertrouwelijk", "object:get")
    for now_ms, holds in ((BEFORE, True), (ENDS_MS, False)):
        world = World([reader], [bucket], stores, "municipality", now_ms)
        assert (given in matrix(EXCEPTED, world)) is holds
        assert given not in matrix(BARE, world)
    assert given not in matrix(EXCEPTED, World([reader], [bucket], stores, "municipality"))


QUESTIONS = st.builds(
    question,
    bucket=st.sampled_from(["archief", "jeugd", "zaken"]),
    classification=st.sampled_from(BARE.classifications.names()),
    action=st.sampled_from(ACTIONS),
    app=st.sampled_from(["lezer", "schrijver"]),
    clearance=st.sampled_from([10, 20, 30, 100]),
    store=st.builds(
        StoreFacts,
        st.sampled_from(["NL", "DE", "US"]),
        st.sampled_from(["NL", "DE", "US"]),
        st.sampled_from(["UC1", "clear"]),
    ),
)
ALL = load(files(RESIDENCY, CLEARANCE, CONTROL))


@settings(max_examples=200)
@given(asked=QUESTIONS, now_ms=st.integers(0, 2 * ENDS_MS))
def test_exceptions_only_add_only_where_they_fit_and_only_while_they_hold(
    asked: Question, now_ms: int
) -> None:
    plain = BARE.engine.decide(asked)
    found = ALL.deciding(lambda: now_ms).decide(asked)
    holding = [one for one in ALL.exceptions if now_ms < one.ends_ms and one.lifts.fits(asked)]
    if plain.allowed or not holding:
        assert found == plain
    if found.allowed and not plain.allowed:
        assert set(plain.reasons) <= {one.lifts.lifted for one in ALL.exceptions}
        assert now_ms < found.until_ms
        assert any(word.startswith("exception:") for word in found.reasons)


def test_cases_know_no_exceptions_so_that_none_fails_by_the_clock() -> None:
    assert failing(EXCEPTED) == []
    relying = files(RESIDENCY) | {
        "cases/gateway.yaml": (
            "- {why: relies on it, action: 'object:put', answer: permit, bucket: archief, "
            "classification: geheim, store: {jurisdiction: DE}}"
        )
    }
    assert failing(load(relying)) != []


def test_those_of_a_folder_that_nobody_approved_do_not_hold() -> None:
    assert not allowed(EXCEPTED.unpublished(), question(), BEFORE)


STORE, RULE = RESIDENCY["lifts"], CLEARANCE["lifts"]
assert isinstance(STORE, dict)
assert isinstance(RULE, dict)


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        (RESIDENCY | {"extra": 1}, "extra"),
        ({k: v for k, v in RESIDENCY.items() if k != "owner"}, "owner"),
        (RESIDENCY | {"reason": "x"}, "reason"),
        (RESIDENCY | {"id": "Ab c"}, "id"),
        (RESIDENCY | {"until": 1_800_000_000}, "a day is written as"),
        (RESIDENCY | {"until": "morgen"}, "a day is written as"),
        (RESIDENCY | {"until": "2027-02-30"}, "until"),
        (RESIDENCY | {"lifts": STORE | {"guardrail": "tenant"}}, "guardrail"),
        (RESIDENCY | {"lifts": STORE | {"guardrail": "use-case"}}, "guardrail"),
        (RESIDENCY | {"lifts": STORE | {"kind": "everything"}}, "kind"),
        (RESIDENCY | {"lifts": STORE | {"classification": "topgeheim"}}, "topgeheim"),
        (RESIDENCY | {"lifts": STORE | {"classification": "gerubriceerd"}}, "refused altogether"),
        (CLEARANCE | {"lifts": RULE | {"rule": "app-read"}}, "no forbid"),
        (CLEARANCE | {"lifts": RULE | {"rule": "guardrail-tenant"}}, "no forbid"),
        (CLEARANCE | {"lifts": RULE | {"app": ""}}, "app"),
    ],
)
def test_what_cannot_stand_is_refused_and_named(exception: object, said: str) -> None:
    with pytest.raises(Malformed, match=said) as caught:
        load(files(exception))
    assert caught.value.code == "HY-2407"


def test_an_id_stands_there_once_and_an_empty_file_has_none() -> None:
    with pytest.raises(Malformed, match="twice"):
        load(files(RESIDENCY, RESIDENCY))
    assert parse_exceptions("") == []
    with pytest.raises(Malformed):
        parse_exceptions("id: x")
    with pytest.raises(Malformed):
        parse_exceptions("[")


def test_a_day_may_be_written_as_a_text() -> None:
    assert load(files(RESIDENCY | {"until": "2027-05-31"})).exceptions[0].until == UNTIL


def test_a_rule_that_is_named_as_a_guardrail_is_not_lifted_with_it() -> None:
    name = "rules/gateway.cedar"
    rule = '\n@id("guardrail-jurisdiction")\nforbid (principal, action, resource);'
    policy = load(files(RESIDENCY) | {name: FILES[name] + rule})
    assert not allowed(policy, question(), BEFORE)


def test_a_forbid_without_an_id_of_its_own_cannot_be_lifted() -> None:
    name = "rules/gateway.cedar"
    twice = FILES[name] + '\n@id("app-clearance")\nforbid (principal, action, resource);'
    with pytest.raises(Malformed, match="no forbid"):
        load(files(CLEARANCE) | {name: twice})


def at(*day: int) -> int:
    return timegm((*day, 12, 0, 0)) * 1000


ONE = EXCEPTED.exceptions[0]


@pytest.mark.parametrize(
    ("now_ms", "first_ms", "code"),
    [
        (at(2026, 11, 28), None, ""),
        (at(2026, 5, 31), None, ""),
        (at(2026, 5, 30), None, "HY-2408"),
        (at(2027, 5, 31), None, ""),
        (at(2027, 6, 1), None, "HY-2408"),
        (at(2027, 5, 1), at(2026, 5, 31), ""),
        (at(2027, 5, 1), at(2026, 5, 30), "HY-2408"),
    ],
    ids=["within", "a year", "over a year", "last day", "ended", "again", "drawn out"],
)
def test_it_lasts_a_year_at_most_from_its_first_approval(
    now_ms: int, first_ms: int | None, code: str
) -> None:
    approved = {} if first_ms is None else {ONE.id: (first_ms, ONE)}
    if not code:
        check_terms([ONE], now_ms, approved)
        return
    with pytest.raises(Malformed) as said:
        check_terms([ONE], now_ms, approved)
    assert said.value.code == code


def test_an_id_that_was_approved_for_something_else_is_refused() -> None:
    other = EXCEPTED.exceptions[1].model_copy(update={"id": ONE.id})
    with pytest.raises(Malformed) as said:
        check_terms([other], at(2026, 11, 28), {ONE.id: (at(2026, 11, 1), ONE)})
    assert said.value.code == "HY-2409"


def test_a_year_from_29_february_ends_on_the_28th() -> None:
    late = ONE.model_copy(update={"until": date(2029, 2, 28)})
    check_terms([late], at(2028, 2, 29), {})
    with pytest.raises(Malformed):
        check_terms([late.model_copy(update={"until": date(2029, 3, 1)})], at(2028, 2, 29), {})


def test_a_day_is_utc_and_ends_at_midnight() -> None:
    assert ONE.ends_ms == ENDS_MS
    assert ENDS_MS % DAY_MS == 0
