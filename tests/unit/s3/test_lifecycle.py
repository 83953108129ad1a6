"""Lifecycle rules: what is taken, what is refused and how, and that they come back as they went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.s3.lifecycle import (
    DAY_MS,
    Filter,
    Lifecycle,
    Rule,
    from_kept,
    kept_text,
    parse_lifecycle,
    render_lifecycle,
)

DAYS = "<Expiration><Days>1</Days></Expiration>"
NONCURRENT = "NoncurrentVersionExpiration"
ABORT = (
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>"
)
TAG = "<Tag><Key>a</Key><Value>1</Value></Tag>"
OTHER_TAG = "<Tag><Key>b</Key><Value>2</Value></Tag>"
MARKER = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"


def rule(actions: str = DAYS, scope: str = "<Prefix>x/</Prefix>", rule_id: str = "een") -> str:
    status = "<Status>Enabled</Status>"
    return f"<Rule><ID>{rule_id}</ID>{scope}{status}{actions}</Rule>"


def document(*rules: str) -> bytes:
    inner = "".join(rules)
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<LifecycleConfiguration xmlns="{space}">{inner}</LifecycleConfiguration>'.encode()


def read(*rules: str) -> tuple[Rule, ...]:
    return parse_lifecycle(document(*rules), lambda: "nieuw").rules


def scope(inner: str) -> str:
    return f"<Filter>{inner}</Filter>"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (rule(), Rule("een", True, Filter("x/"), old_form=True, days=1)),
        (rule(scope=scope("")), Rule("een", True, Filter(), days=1)),
        (rule(scope=scope("<Prefix>x/</Prefix>")), Rule("een", True, Filter("x/"), days=1)),
        (rule(scope=scope(TAG)), Rule("een", True, Filter(tags=(("a", "1"),)), days=1)),
        (
            rule(scope=scope("<ObjectSizeGreaterThan>0</ObjectSizeGreaterThan>")),
            Rule("een", True, Filter(larger_than=0), days=1),
        ),
        (
            rule(
                scope=scope(
                    f"<And><Prefix>x</Prefix>{TAG}{OTHER_TAG}"
                    "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"
                    "<ObjectSizeLessThan>9</ObjectSizeLessThan></And>"
                )
            ),
            Rule(
                "een",
                True,
                Filter(both=Filter("x", (("a", "1"), ("b", "2")), 5, 9)),
                days=1,
            ),
        ),
        (
            rule("<Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>"),
            Rule("een", True, Filter("x/"), old_form=True, date_ms=1_893_456_000_000),
        ),
        (
            rule("<Expiration><Date>2030-01-01</Date></Expiration>"),
            Rule("een", True, Filter("x/"), old_form=True, date_ms=1_893_456_000_000),
        ),
        (rule(MARKER), Rule("een", True, Filter("x/"), old_form=True, expired_marker=True)),
        (
            rule(
                f"<{NONCURRENT}><NoncurrentDays>3</NoncurrentDays>"
                f"<NewerNoncurrentVersions>2</NewerNoncurrentVersions></{NONCURRENT}>{ABORT}"
            ),
            Rule(
                "een",
                True,
                Filter("x/"),
                old_form=True,
                noncurrent_days=3,
                newer_noncurrent=2,
                abort_days=2,
            ),
        ),
        (
            f"<Rule><Prefix/><Status>Disabled</Status>{DAYS}</Rule>",
            Rule("nieuw", False, Filter(""), old_form=True, days=1),
        ),
    ],
)
def test_a_rule_is_read(text: str, wanted: Rule) -> None:
    assert read(text) == (wanted,)


def days(number: str) -> str:
    return rule(f"<Expiration><Days>{number}</Days></Expiration>")


def date(text: str) -> str:
    return rule(f"<Expiration><Date>{text}</Date></Expiration>")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "MalformedXML"),
        (rule().replace("Enabled", "enabled"), "MalformedXML"),
        (rule().replace("<Status>Enabled</Status>", ""), "MalformedXML"),
        (rule(scope=""), "MalformedXML"),
        (rule(scope="<Prefix>x</Prefix>" + scope("")), "InvalidRequest"),
        (rule() + rule(scope=scope(""), rule_id="twee"), "InvalidRequest"),
        (rule() + rule(), "InvalidArgument"),
        (rule(rule_id="a" * 256), "InvalidArgument"),
        (rule(""), "InvalidRequest"),
        (rule("<Expiration/>"), "MalformedXML"),
        (rule(DAYS + DAYS), "MalformedXML"),
        (days("0"), "InvalidArgument"),
        (days("-1"), "InvalidArgument"),
        (days("veel"), "MalformedXML"),
        (days("2147483648"), "MalformedXML"),
        (days("1</Days><Date>2030-01-01T00:00:00Z</Date><Days>"), "MalformedXML"),
        (date("2030-01-01T00:00:01Z"), "InvalidArgument"),
        (date("20200101"), "MalformedXML"),
        (date("2030-13-01T00:00:00Z"), "MalformedXML"),
        (rule(MARKER.replace("true", "soms")), "MalformedXML"),
        (rule(MARKER, scope(TAG)), "InvalidRequest"),
        (rule(MARKER, scope("<ObjectSizeLessThan>5</ObjectSizeLessThan>")), "MalformedXML"),
        (rule(ABORT, scope(TAG)), "InvalidRequest"),
        (rule(ABORT.replace("2", "0")), "InvalidArgument"),
        (
            rule(f"<{NONCURRENT}><NoncurrentDays>0</NoncurrentDays></{NONCURRENT}>"),
            "InvalidArgument",
        ),
        (
            rule(
                f"<{NONCURRENT}><NewerNoncurrentVersions>1</NewerNoncurrentVersions></{NONCURRENT}>"
            ),
            "MalformedXML",
        ),
        (
            rule(
                f"<{NONCURRENT}><NoncurrentDays>1</NoncurrentDays>"
                f"<NewerNoncurrentVersions>101</NewerNoncurrentVersions></{NONCURRENT}>"
            ),
            "InvalidArgument",
        ),
        (rule(scope=scope(f"<And>{TAG}</And>")), "MalformedXML"),
        (rule(scope=scope(f"<And>{TAG}{TAG}</And>")), "InvalidRequest"),
        (
            rule(
                scope=scope(
                    "<And><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan>"
                    "<ObjectSizeLessThan>9</ObjectSizeLessThan></And>"
                )
            ),
            "InvalidRequest",
        ),
        (rule(scope=f"<Prefix>{'a' * 1025}</Prefix>"), "InvalidRequest"),
        (
            rule(
                "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>" + DAYS
            ),
            "InvalidStorageClass",
        ),
        (
            rule(
                "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays>"
                "<StorageClass>GLACIER</StorageClass></NoncurrentVersionTransition>"
            ),
            "InvalidStorageClass",
        ),
    ],
)
def test_what_s3_does_not_take_is_refused_as_s3_does(text: str, reason: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(text)
    assert refused.value.reason == reason


def test_a_thousand_rules_are_taken_and_one_more_is_not() -> None:
    rules = [rule(rule_id=f"r{n}") for n in range(1001)]
    assert len(read(*rules[:1000])) == 1000
    with pytest.raises(Malformed) as refused:
        read(*rules)
    assert refused.value.reason == "MalformedXML"


def test_the_least_size_of_transitions_is_kept_and_nothing_else_is_taken_for_it() -> None:
    given = parse_lifecycle(document(rule()), str, "varies_by_storage_class")
    assert from_kept(kept_text(given)) == given
    assert parse_lifecycle(document(rule()), str).minimum == "all_storage_classes_128K"
    with pytest.raises(Malformed) as refused:
        parse_lifecycle(document(rule()), str, "iets")
    assert refused.value.reason == "InvalidArgument"


def test_only_what_takes_objects_away_destroys() -> None:
    assert not Lifecycle(read(rule(MARKER + ABORT))).destroys
    assert Lifecycle(read(rule(DAYS + ABORT).replace("Enabled", "Disabled"))).destroys
    assert Lifecycle(
        read(rule(f"<{NONCURRENT}><NoncurrentDays>1</NoncurrentDays></{NONCURRENT}>"))
    ).destroys


NUMBERS = st.none() | st.integers(1, 2**31 - 1)
TEXTS = st.text(
    st.characters(codec="utf-8", categories=("L", "N")) | st.sampled_from("/ -_"), max_size=12
)
WORDS = st.text(st.sampled_from("abcé-_/1"), min_size=1, max_size=8)
TAGS = st.dictionaries(WORDS, WORDS, max_size=3).map(lambda tags: tuple(tags.items()))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    old = draw(st.booleans())
    date_ms = draw(st.none() | st.integers(0, 40_000).map(lambda day: day * DAY_MS))
    return Rule(
        id=draw(WORDS),
        enabled=draw(st.booleans()),
        filter=Filter(draw(TEXTS)) if old else Filter(draw(st.none() | TEXTS), draw(TAGS)),
        old_form=old,
        days=None if date_ms is not None else draw(st.integers(1, 99)),
        date_ms=date_ms,
        noncurrent_days=(noncurrent := draw(NUMBERS)),
        newer_noncurrent=None if noncurrent is None else draw(st.none() | st.integers(1, 100)),
    )


@given(rules())
def test_what_is_told_is_what_was_given(given_rule: Rule) -> None:
    told = render_lifecycle([given_rule])
    assert parse_lifecycle(told, str).rules == (given_rule,)
    kept = Lifecycle((given_rule,))
    assert from_kept(kept_text(kept)) == kept
