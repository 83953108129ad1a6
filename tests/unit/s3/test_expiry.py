"""When objects expire: midnights, filters, versions, markers, uploads, and the header of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.s3.expiry import (
    Expiry,
    common_prefix,
    end_of,
    expiration_headers,
    expiry_of,
    marker_expiry_of,
    noncurrent_expiry_of,
    upload_expiry_of,
    wants_tags,
)
from hyok.s3.lifecycle import DAY_MS, Filter, Rule


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


MADE = ms("2026-11-15T10:30:00")


def made(rule_id: str = "r", wanted: Filter | None = None, **actions: int | bool | None) -> Rule:
    return Rule(rule_id, True, wanted or Filter(), **actions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "days", "end"),
    [
        ("2026-11-15T10:30:00", 3, "2026-11-19T00:00:00"),
        ("2026-11-15T23:59:59", 1, "2026-11-17T00:00:00"),
        ("2026-11-15T00:00:00", 1, "2026-11-17T00:00:00"),
        ("2028-02-28T12:00:00", 1, "2028-03-01T00:00:00"),
    ],
)
def test_days_end_at_the_midnight_that_follows(moment: str, days: int, end: str) -> None:
    assert end_of(ms(moment), days) == ms(end)


@given(st.integers(0, 4_000_000_000_000), st.integers(1, 5000))
def test_nothing_goes_before_its_days_are_full_nor_more_than_a_day_later(
    moment: int, days: int
) -> None:
    end = end_of(moment, days)
    assert end % DAY_MS == 0
    assert days * DAY_MS < end - moment <= (days + 1) * DAY_MS


def test_the_rule_that_comes_first_decides_and_one_that_is_off_does_not() -> None:
    rules = [
        made("later", days=9),
        made("sooner", Filter("brief/"), days=2),
        made("dated", Filter("brief/"), date_ms=ms("2026-11-30T00:00:00")),
        Rule("off", False, Filter(), days=1),
    ]
    assert expiry_of(rules, "brief/a", 1, MADE, {}) == Expiry(ms("2026-11-18T00:00:00"), "sooner")
    assert expiry_of(rules, "map/a", 1, MADE, {}) == Expiry(ms("2026-11-25T00:00:00"), "later")
    assert expiry_of(rules[2:], "brief/a", 1, MADE, {}) == Expiry(
        ms("2026-11-30T00:00:00"), "dated"
    )
    assert expiry_of(rules[1:], "map/a", 1, MADE, {}) is None


@pytest.mark.parametrize(
    ("wanted", "size", "tags", "holds"),
    [
        (Filter(larger_than=5), 5, {}, False),
        (Filter(larger_than=5), 6, {}, True),
        (Filter(smaller_than=5), 5, {}, False),
        (Filter(smaller_than=5), 4, {}, True),
        (Filter(tags=(("a", "1"),)), 1, {"a": "1", "b": "2"}, True),
        (Filter(tags=(("a", "1"),)), 1, {"a": "2"}, False),
        (Filter(tags=(("a", "1"),)), 1, {}, False),
        (Filter(tags=(("a", "1"),)), 1, None, True),
        (Filter(tags=(("a", "1"), ("b", "2"))), 1, {"a": "1"}, False),
        (Filter("k", both=Filter("ke", (("a", "1"),))), 1, {"a": "1"}, True),
        (Filter("k", both=Filter("ko", (("a", "1"),))), 1, {"a": "1"}, False),
    ],
)
def test_a_filter_asks_for_all_that_it_names(
    wanted: Filter, size: int, tags: dict[str, str] | None, holds: bool
) -> None:
    found = expiry_of([made(wanted=wanted, days=1)], "key", size, MADE, tags)
    assert (found is not None) is holds


def test_a_noncurrent_version_counts_from_what_took_its_place_and_the_newest_are_kept() -> None:
    rules = [made(noncurrent_days=2, newer_noncurrent=3)]
    wanted = Expiry(ms("2026-11-18T00:00:00"), "r")
    assert noncurrent_expiry_of(rules, "k", 1, MADE, 3, {}) == wanted
    assert noncurrent_expiry_of(rules, "k", 1, MADE, 2, {}) is None
    assert noncurrent_expiry_of([made(days=2)], "k", 1, MADE, 3, {}) is None
    assert expiry_of(rules, "k", 1, MADE, {}) is None
    more = [*rules, made("more", noncurrent_days=5)]
    assert noncurrent_expiry_of(more, "k", 1, MADE, 0, {}) == Expiry(
        ms("2026-11-21T00:00:00"), "more"
    )


def test_a_marker_with_nothing_below_goes_at_once_or_with_the_age_of_objects() -> None:
    at_once = made(expired_marker=True)
    aged = made(days=5)
    assert marker_expiry_of([at_once], "k", MADE) == Expiry(MADE, "r")
    assert marker_expiry_of([aged], "k", MADE) == Expiry(end_of(MADE, 5), "r")
    assert marker_expiry_of([made(expired_marker=False)], "k", MADE) is None
    assert marker_expiry_of([made(wanted=Filter("x"), expired_marker=True)], "k", MADE) is None
    # A marker has neither tags nor a size, so a rule about them is not about markers.
    assert marker_expiry_of([made(wanted=Filter(tags=(("a", "1"),)), days=5)], "k", MADE) is None
    assert marker_expiry_of([made(wanted=Filter(smaller_than=9), days=5)], "k", MADE) is None
    assert expiry_of([at_once], "k", 1, MADE, {}) is None


def test_an_upload_is_given_up_by_its_own_rule_only() -> None:
    rules = [made("abort", Filter("map/"), abort_days=2), made(days=1)]
    assert upload_expiry_of(rules, "map/k", MADE) == Expiry(end_of(MADE, 2), "abort")
    assert upload_expiry_of(rules, "k", MADE) is None
    assert expiry_of(rules[:1], "map/k", 1, MADE, {}) is None


def test_tags_are_asked_for_only_where_a_rule_about_this_key_needs_them() -> None:
    rules = [made(wanted=Filter("map/", (("a", "1"),)), days=1), made(days=1)]
    assert wants_tags(rules, "map/k")
    assert not wants_tags(rules, "k")
    assert not wants_tags(rules[1:], "map/k")


def test_only_what_rules_may_be_about_is_looked_through() -> None:
    rules = [
        made(wanted=Filter("map/a", both=Filter("map/ab")), days=1),
        made(wanted=Filter("map/b"), days=1),
    ]
    assert common_prefix(rules) == "map/"
    assert common_prefix([*rules, made(days=1)]) == ""
    assert common_prefix([*rules, Rule("off", False, Filter(), days=1)]) == "map/"
    assert common_prefix([]) == ""


@given(
    st.lists(
        st.builds(
            lambda prefix, both: made(wanted=Filter(prefix, both=both), days=1),
            st.text("ab/", max_size=4),
            st.none() | st.builds(Filter, st.text("ab/", max_size=4)),
        ),
        min_size=1,
        max_size=4,
    ),
    st.text("ab/", max_size=6),
)
def test_no_key_outside_the_common_prefix_expires(rules: list[Rule], key: str) -> None:
    if expiry_of(rules, key, 1, MADE, {}) is not None:
        assert key.startswith(common_prefix(rules))


def test_the_header_tells_date_and_rule_and_a_date_beyond_dates_is_not_told() -> None:
    told = expiration_headers(Expiry(ms("2026-11-18T00:00:00"), "weg na 2 dagen"))
    date = "Wed, 18 Nov 2026 00:00:00 GMT"
    assert told == [("x-amz-expiration", f'expiry-date="{date}", rule-id="weg%20na%202%20dagen"')]
    assert expiration_headers(None) == []
    assert expiration_headers(Expiry(end_of(MADE, 2**31 - 1), "r")) == []
