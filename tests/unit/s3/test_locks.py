"""Object lock: documents, headers, and every change of a locked version against the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from tests.unit.s3.wire import as_botocore_reads, as_botocore_writes

from hyok.errors import Malformed, Refused
from hyok.s3.lock_rules import (
    RULES,
    Change,
    Rule,
    change_of,
    check_delete,
    check_retention_change,
)
from hyok.s3.locks import (
    LockAsked,
    LockConfiguration,
    Mode,
    Retention,
    answer_headers,
    asks_bypass,
    asks_for_locks,
    parse_configuration,
    parse_headers,
    parse_legal_hold,
    parse_retention,
    render_configuration,
    render_legal_hold,
    render_retention,
)
from hyok.s3.times import parse_date

NOW = 1_795_521_600_000  # 2026-11-24T12:00:00Z
DAY = 86_400_000
LATER = datetime(2026, 11, 25, 12, tzinfo=UTC)
G, C = Mode.GOVERNANCE, Mode.COMPLIANCE


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        (None, LockConfiguration()),
        ({"Mode": "GOVERNANCE", "Days": 1}, LockConfiguration(G, days=1)),
        ({"Mode": "COMPLIANCE", "Years": 100}, LockConfiguration(C, years=100)),
        ({"Mode": "COMPLIANCE", "Days": 36500}, LockConfiguration(C, days=36500)),
    ],
)
def test_a_configuration_goes_both_ways(
    default: dict[str, Any] | None, expected: LockConfiguration
) -> None:
    sent: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
    if default:
        sent["Rule"] = {"DefaultRetention": default}
    body = as_botocore_writes(
        "PutObjectLockConfiguration", Bucket="b", ObjectLockConfiguration=sent
    )
    assert parse_configuration(body) == expected
    read = as_botocore_reads("GetObjectLockConfiguration", render_configuration(expected))
    assert read == {"ObjectLockConfiguration": sent}


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("", "MalformedXML"),
        ("<ObjectLockEnabled>Disabled</ObjectLockEnabled>", "MalformedXML"),
        ("{on}<Rule/>", "MalformedXML"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode>]}", "MalformedXML"),
        ("{on}{rule[<Days>1</Days>]}", "MalformedXML"),
        ("{on}{rule[<Mode>abc</Mode><Days>1</Days>]}", "MalformedXML"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>]}", "MalformedXML"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Days>1.5</Days>]}", "MalformedXML"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Days>0</Days>]}", "InvalidRetentionPeriod"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Years>-1</Years>]}", "InvalidRetentionPeriod"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Days>36501</Days>]}", "InvalidRetentionPeriod"),
        ("{on}{rule[<Mode>GOVERNANCE</Mode><Years>101</Years>]}", "InvalidRetentionPeriod"),
    ],
)
def test_another_configuration_is_refused(inner: str, reason: str) -> None:
    inner = inner.replace("{on}", "<ObjectLockEnabled>Enabled</ObjectLockEnabled>")
    inner = inner.replace("{rule[", "<Rule><DefaultRetention>")
    inner = inner.replace("]}", "</DefaultRetention></Rule>")
    with pytest.raises(Malformed) as refusal:
        parse_configuration(f"<ObjectLockConfiguration>{inner}</ObjectLockConfiguration>".encode())
    assert refusal.value.reason == reason


def test_event_holds_are_refused_and_never_passed_over() -> None:
    hold = {"Mode": "GOVERNANCE", "Days": 1, "DefaultEventHold": {"Days": 1}}
    body = as_botocore_writes(
        "PutObjectLockConfiguration",
        Bucket="b",
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": hold},
        },
    )
    with pytest.raises(Refused):
        parse_configuration(body)
    with pytest.raises(Refused):
        parse_retention(b"<Retention><EventHold>ON</EventHold></Retention>", NOW)
    with pytest.raises(Refused):
        parse_headers({"x-amz-object-lock-event-hold": "ON"}.get, NOW)


@pytest.mark.parametrize(
    ("configuration", "until"),
    [
        (LockConfiguration(), None),
        (LockConfiguration(G, days=1), "2024-03-01T12:00:00"),
        (LockConfiguration(C, years=1), "2025-03-01T12:00:00"),
        (LockConfiguration(C, years=4), "2028-02-29T12:00:00"),
    ],
)
def test_the_default_of_a_bucket_becomes_a_date(
    configuration: LockConfiguration, until: str | None
) -> None:
    leap_day = int(datetime(2024, 2, 29, 12, tzinfo=UTC).timestamp() * 1000) + 5
    retention = configuration.retention_at(leap_day)
    if until is None:
        assert retention is None
        return
    assert retention is not None
    assert retention.until_ms % 1000 == 5
    assert datetime.fromtimestamp(retention.until_ms // 1000, UTC).isoformat()[:19] == until


def test_a_retention_goes_both_ways() -> None:
    body = as_botocore_writes(
        "PutObjectRetention",
        Bucket="b",
        Key="k",
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": LATER},
    )
    retention = parse_retention(body, NOW)
    assert retention == Retention(G, NOW + DAY)
    read = as_botocore_reads("GetObjectRetention", render_retention(Retention(G, NOW + DAY)))
    assert read == {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": LATER}}
    assert parse_retention(b"<Retention/>", NOW) is None


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("<Mode>GOVERNANCE</Mode>", "MalformedXML"),
        ("<RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate>", "MalformedXML"),
        (
            "<Mode>governance</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate>",
            "MalformedXML",
        ),
        ("<Mode>GOVERNANCE</Mode><RetainUntilDate>2030</RetainUntilDate>", "MalformedXML"),
        (
            "<Mode>GOVERNANCE</Mode><RetainUntilDate>2020-01-01T00:00:00Z</RetainUntilDate>",
            "InvalidArgument",
        ),
    ],
)
def test_another_retention_is_refused(inner: str, reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_retention(f"<Retention>{inner}</Retention>".encode(), NOW)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-11-24T12:00:00Z", NOW),
        ("2026-11-24T12:00:00.250Z", NOW + 250),
        (" 2026-11-24T13:00:00+01:00 ", NOW),
        ("2026-11-24T12:00:00.123456789Z", NOW + 123),
        ("2026-11-24T12:00:00", None),
        ("2026-11-24", None),
        ("2026-13-24T12:00:00Z", None),
        ("20261124T120000Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("٢٠٢٦-11-24T12:00:00Z", None),
        ("", None),
    ],
)
def test_dates(text: str, ms: int | None) -> None:
    assert parse_date(text) == ms


def test_a_legal_hold_goes_both_ways() -> None:
    for status in ("ON", "OFF"):
        body = as_botocore_writes(
            "PutObjectLegalHold", Bucket="b", Key="k", LegalHold={"Status": status}
        )
        assert parse_legal_hold(body) is (status == "ON")
        read = as_botocore_reads("GetObjectLegalHold", render_legal_hold(on=status == "ON"))
        assert read == {"LegalHold": {"Status": status}}
    for bad in ("<LegalHold/>", "<LegalHold><Status>on</Status></LegalHold>"):
        with pytest.raises(Malformed) as refusal:
            parse_legal_hold(bad.encode())
        assert refusal.value.reason == "MalformedXML"


DATE = "2026-11-25T12:00:00Z"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, LockAsked()),
        ({"mode": "COMPLIANCE", "retain-until-date": DATE}, LockAsked(Retention(C, NOW + DAY))),
        ({"legal-hold": "ON"}, LockAsked(None, legal_hold=True)),
        ({"legal-hold": "OFF"}, LockAsked(None, legal_hold=False)),
        ({"mode": "COMPLIANCE"}, None),
        ({"retain-until-date": DATE}, None),
        ({"mode": "x", "retain-until-date": DATE}, None),
        ({"mode": "GOVERNANCE", "retain-until-date": "soon"}, None),
        ({"mode": "GOVERNANCE", "retain-until-date": "2026-11-24T12:00:00Z"}, None),
        ({"legal-hold": "on"}, None),
    ],
)
def test_headers_of_a_write(headers: dict[str, str], expected: LockAsked | None) -> None:
    named = {f"x-amz-object-lock-{name}": value for name, value in headers.items()}
    if expected is None:
        with pytest.raises(Malformed) as refusal:
            parse_headers(named.get, NOW)
        assert refusal.value.reason == "InvalidArgument"
    else:
        assert parse_headers(named.get, NOW) == expected


def test_headers_of_an_answer() -> None:
    headers = answer_headers(Retention(G, NOW), legal_hold=True)
    read = as_botocore_reads("HeadObject", b"", headers=dict(headers))
    assert read["ObjectLockMode"] == "GOVERNANCE"
    assert read["ObjectLockRetainUntilDate"].timestamp() * 1000 == NOW
    assert read["ObjectLockLegalHoldStatus"] == "ON"
    assert answer_headers(None, legal_hold=None) == {}


def test_a_bypass_is_asked_for_by_one_header() -> None:
    name = "x-amz-bypass-governance-retention"
    assert asks_bypass({name: "true"}.get)
    assert not asks_bypass({name: "1"}.get)
    assert not asks_bypass({}.get)


def test_the_table_answers_every_change_in_both_modes() -> None:
    assert set(RULES) == set(product(Mode, Change))
    # Nothing but a longer date is ever free, and compliance is never bypassed.
    for (mode, change), rule in RULES.items():
        assert (rule is Rule.FREE) is (change is Change.EXTEND)
        assert (rule is Rule.BYPASS) is (mode is G and change is not Change.EXTEND)


@pytest.mark.parametrize(
    ("current", "wanted", "change"),
    [
        (Retention(G, 5), Retention(G, 5), Change.EXTEND),
        (Retention(G, 5), Retention(G, 6), Change.EXTEND),
        (Retention(G, 5), Retention(G, 4), Change.SHORTEN),
        (Retention(G, 5), Retention(C, 9), Change.OTHER_MODE),
        (Retention(C, 5), Retention(G, 9), Change.OTHER_MODE),
        (Retention(C, 5), None, Change.REMOVE),
    ],
)
def test_kinds_of_change(current: Retention, wanted: Retention | None, change: Change) -> None:
    assert change_of(current, wanted) is change


@pytest.mark.parametrize("bypass", [False, True])
@pytest.mark.parametrize("mode", list(Mode))
def test_what_the_clock_and_a_bypass_allow(mode: Mode, bypass: bool) -> None:
    current = Retention(mode, NOW + DAY)
    other = G if mode is C else C
    wishes: list[Retention | None] = [
        Retention(mode, NOW + DAY), Retention(mode, NOW + 2 * DAY), Retention(mode, NOW + 1),
        Retention(other, NOW + 3 * DAY), None,
    ]  # fmt: skip
    for wanted in wishes:
        rule = RULES[mode, change_of(current, wanted)]
        allowed = rule is Rule.FREE or (rule is Rule.BYPASS and bypass)
        for now_ms, free in ((NOW, False), (NOW + DAY - 1, False), (NOW + DAY, True)):
            if allowed or free:
                check_retention_change(current, wanted, now_ms=now_ms, bypass=bypass)
            else:
                with pytest.raises(Refused) as refusal:
                    check_retention_change(current, wanted, now_ms=now_ms, bypass=bypass)
                assert refusal.value.reason == "AccessDenied"
    check_retention_change(None, Retention(mode, NOW + 1), now_ms=NOW, bypass=bypass)


def test_who_may_delete_a_version() -> None:
    held = {"legal_hold": False, "now_ms": NOW}
    check_delete(None, bypass=False, **held)
    check_delete(Retention(C, NOW), bypass=False, **held)
    check_delete(Retention(G, NOW + 1), bypass=True, **held)
    for retention, bypass in ((Retention(G, NOW + 1), False), (Retention(C, NOW + 1), True)):
        with pytest.raises(Refused):
            check_delete(retention, bypass=bypass, **held)
    with pytest.raises(Refused):
        check_delete(None, legal_hold=True, now_ms=NOW, bypass=True)


def test_a_new_bucket_asks_for_locks_by_one_header() -> None:
    name = "x-amz-bucket-object-lock-enabled"
    assert asks_for_locks({name: "True"}.get)
    assert not asks_for_locks({name: "false"}.get)
    assert not asks_for_locks({}.get)
    with pytest.raises(Malformed):
        asks_for_locks({name: "1"}.get)
