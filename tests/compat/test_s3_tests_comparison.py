"""The judge of two runs of somebody else's suite: what it has to notice, without running either."""

from __future__ import annotations

import json

import pytest
from tests.compat.s3_tests.comparison import (
    DEVIATIONS,
    Deviation,
    Result,
    compare,
    family_of,
    read_deviations,
    read_results,
)
from tests.compat.s3_tests.report import table

ACL = Deviation("b", "acl", "no ACLs", "PutBucketAcl: 501")


def results(**outcomes: str) -> dict[str, Result]:
    return {name: Result(name, outcome) for name, outcome in outcomes.items()}


def refused(*calls: str) -> Result:
    return Result("b", "failed", calls=calls, why="E   ClientError: no")


def test_a_test_that_fails_only_through_us_does_not_hold_unless_it_is_listed() -> None:
    at_store, through = results(a="passed", b="passed"), results(a="passed")
    through["b"] = refused("CreateBucket", "PutBucketAcl: 501 NotImplemented")
    found = compare("seaweedfs/clear", at_store, through, [])
    assert not found.holds
    assert [result.test for result in found.unlisted] == ["b"]
    assert compare("seaweedfs/clear", at_store, through, [ACL]).holds


def test_a_listed_test_that_fails_for_another_reason_does_not_hold() -> None:
    at_store, through = results(b="passed"), {"b": refused("CreateBucket: 500 InternalError")}
    found = compare("seaweedfs/clear", at_store, through, [ACL])
    assert not found.holds
    assert [one.test for one, _ in found.otherwise] == ["b"]
    assert "b" in table("seaweedfs/clear", at_store, through, found)


@pytest.mark.parametrize("at_store", ["passed", "failed"])
def test_a_listed_test_that_deviates_no_more_does_not_hold(at_store: str) -> None:
    through = results(b="passed") if at_store == "passed" else {"b": refused("PutBucketAcl: 501")}
    found = compare("seaweedfs/clear", results(b=at_store), through, [ACL])
    assert found.stale == [ACL]
    assert not found.holds


def test_a_test_that_never_ended_does_not_hold() -> None:
    found = compare("seaweedfs/clear", results(a="passed"), {}, [])
    assert found.missing == ["a"]
    assert not found.holds


def test_what_fails_at_the_store_is_not_asked_of_us() -> None:
    through = results(a="failed", b="passed")
    found = compare("seaweedfs/clear", results(a="failed", b="skipped"), through, [])
    assert found.holds
    assert not found.both


@pytest.mark.parametrize(
    ("only", "run", "counts"),
    [
        ((), "radosgw/clear", True),
        (("seaweedfs",), "seaweedfs/sealed", True),
        (("seaweedfs/clear",), "seaweedfs/sealed", False),
        (("seaweed",), "seaweedfs/clear", False),
    ],
)
def test_a_deviation_counts_in_the_runs_it_names(
    only: tuple[str, ...], run: str, counts: bool
) -> None:
    one = Deviation("b", "store", "reason", "501", only)
    found = compare(run, results(b="passed"), {"b": refused("X: 501")}, [one])
    assert found.holds is counts


def test_shares_count_what_a_gateway_must_refuse_apart() -> None:
    at_store = {
        "a": Result("a", "passed"),
        "b": Result("b", "passed", requests=["PUT ?acl x-amz-acl"]),
        "c": Result("c", "passed"),
    }
    found = compare("seaweedfs/clear", at_store, results(a="passed", b="failed", c="failed"), [])
    assert found.share(apart=False) == 0.5
    assert found.share(apart=True) == 0.0
    assert "50.0%" in table("seaweedfs/clear", at_store, at_store, found)


def test_what_asks_for_other_than_amazon_does_is_shown_and_leaves_the_share_alone() -> None:
    at_store = {name: Result(name, "passed") for name in "abcd"}
    through = results(a="passed", b="failed", c="failed", d="failed")
    list_of = [Deviation("b", "s3", "r", "501"), Deviation("c", "by-design", "r", "501")]
    found = compare("seaweedfs/clear", at_store, through, list_of)
    assert found.share(apart=False) == 0.25
    assert found.share_like_amazon == pytest.approx(1 / 3)
    assert found.kinds == {"s3": 1, "by-design": 1}


@pytest.mark.parametrize(
    ("asked", "family"),
    [
        ("PUT ? x-amz-server-side-encryption-customer-algorithm", "ssec"),
        ("PUT ?policy", "policy"),
        ("GET ?publicAccessBlock", "policy"),
        ("PUT ? x-amz-grant-read", "acl"),
        ("GET ?acl", "acl"),
        ("PUT ?ownershipControls", "acl"),
        ("GET ?prefix", "rest"),
    ],
)
def test_a_family_is_told_by_what_a_test_asks(asked: str, family: str) -> None:
    assert family_of(Result("a", "passed", requests=[asked])) == family


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "whim", "reason": "r", "answer": "501"},
        {"kind": "acl", "reason": "", "answer": "501"},
        {"kind": "acl", "reason": "r", "answer": ""},
    ],
)
def test_a_deviation_says_what_kind_and_why_and_how(entry: dict[str, str]) -> None:
    lines = "\n".join(f'{name} = "{value}"' for name, value in entry.items())
    with pytest.raises(ValueError, match="a"):
        read_deviations(f'[[deviation]]\ntests = ["a"]\n{lines}\n')


@pytest.mark.parametrize(
    ("first", "second", "twice"),
    [
        ([], [], True),
        (["seaweedfs"], ["seaweedfs/sealed"], True),
        (["seaweedfs/clear"], ["seaweedfs/sealed"], False),
    ],
)
def test_a_deviation_is_listed_once_for_a_run(
    first: list[str], second: list[str], twice: bool
) -> None:
    entry = '[[deviation]]\ntests = ["a"]\nkind = "acl"\nreason = "r"\nanswer = "501"\nonly = '
    text = f"{entry}{first}\n{entry}{second}\n"
    if twice:
        with pytest.raises(ValueError, match="twice"):
            read_deviations(text)
    else:
        assert [one.test for one in read_deviations(text)] == ["test_s3.py::a"] * 2


def test_results_are_read_as_the_plugin_writes_them() -> None:
    line = {
        "test": "test_s3.py::test_a",
        "outcome": "passed",
        "seconds": 0.5,
        "markers": ["copy"],
        "calls": ["PutObject"],
        "requests": ["PUT ?"],
        "why": "",
    }
    found = read_results(json.dumps(line) + "\n")
    assert found["test_s3.py::test_a"].passed


def test_the_list_itself_can_be_read() -> None:
    read_deviations(DEVIATIONS.read_text())
