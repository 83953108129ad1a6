"""Ranges and conditions of reads and writes, as RFC 9110 and S3 have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Conflict, Malformed, Refused
from hyok.s3.preconditions import (
    Preconditions,
    Verdict,
    WriteCondition,
    check,
    parse,
    parse_write,
)
from hyok.s3.ranges import content_range, parse_copy_range, parse_range

ETAG = "d41d8cd98f00b204e9800998ecf8427e-h"
AT = "Tue, 24 Nov 2026 12:00:00 GMT"
AT_MS = 1_795_521_600_000
EARLIER, LATER = "Tue, 24 Nov 2026 11:59:59 GMT", "Tue, 24 Nov 2026 12:00:01 GMT"


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("bytes=0-9", 10, (0, 10)),
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=5-", 10, (5, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        ("bytes=5-99", 10, (5, 10)),
        ("bytes=9-9", 10, (9, 10)),
        ("bytes=5-4", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=0-1,3-4", 10, None),
        ("items=0-1", 10, None),
        ("bytes=10-", 10, "InvalidRange"),
        ("bytes=10-20", 10, "InvalidRange"),
        ("bytes=-0", 10, "InvalidRange"),
        ("bytes=0-", 0, "InvalidRange"),
        ("bytes=-5", 0, "InvalidRange"),
    ],
)
def test_ranges(header: str | None, size: int, expected: object) -> None:
    if expected == "InvalidRange":
        with pytest.raises(Malformed) as refusal:
            parse_range(header, size)
        assert refusal.value.reason == "InvalidRange"
    else:
        assert parse_range(header, size) == expected


@given(size=st.integers(1, 100), first=st.integers(0, 120), length=st.integers(1, 120))
def test_a_range_is_what_python_would_cut(size: int, first: int, length: int) -> None:
    body = bytes(range(size))
    wanted = body[first : first + length]
    header = f"bytes={first}-{first + length - 1}"
    if not wanted:
        with pytest.raises(Malformed):
            parse_range(header, size)
        return
    found = parse_range(header, size)
    assert found is not None
    assert body[found[0] : found[1]] == wanted
    assert content_range(*found, size) == f"bytes {found[0]}-{found[1] - 1}/{size}"


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Verdict.PROCEED),
        ({"if-match": f'"{ETAG}"'}, Verdict.PROCEED),
        ({"if-match": ETAG}, Verdict.PROCEED),
        ({"if-match": "*"}, Verdict.PROCEED),
        ({"if-match": f'"x", "{ETAG}"'}, Verdict.PROCEED),
        ({"if-match": f'W/"{ETAG}"'}, None),
        ({"if-match": '"d41d8cd98f00b204e9800998ecf8427e"'}, None),
        ({"if-none-match": f'"{ETAG}"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": f'W/"{ETAG}"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": "*"}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x"'}, Verdict.PROCEED),
        ({"if-modified-since": AT}, Verdict.NOT_MODIFIED),
        ({"if-modified-since": LATER}, Verdict.NOT_MODIFIED),
        ({"if-modified-since": EARLIER}, Verdict.PROCEED),
        ({"if-modified-since": "nonsense"}, Verdict.PROCEED),
        ({"if-unmodified-since": AT}, Verdict.PROCEED),
        ({"if-unmodified-since": LATER}, Verdict.PROCEED),
        ({"if-unmodified-since": EARLIER}, None),
        # precedence
        ({"if-match": f'"{ETAG}"', "if-unmodified-since": EARLIER}, Verdict.PROCEED),
        ({"if-match": '"x"', "if-unmodified-since": AT}, None),
        ({"if-none-match": f'"{ETAG}"', "if-modified-since": EARLIER}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, Verdict.PROCEED),
        ({"if-match": f'"{ETAG}"', "if-none-match": f'"{ETAG}"'}, Verdict.NOT_MODIFIED),
        ({"if-match": '"x"', "if-none-match": f'"{ETAG}"'}, None),
    ],
)
def test_conditions_of_reads(headers: dict[str, str], verdict: Verdict | None) -> None:
    conditions = parse(headers.get)
    if verdict is None:
        with pytest.raises(Conflict) as refusal:
            check(conditions, ETAG, AT_MS + 250)
        assert refusal.value.reason == "PreconditionFailed"
    else:
        assert check(conditions, ETAG, AT_MS + 250) is verdict


def test_the_source_of_a_copy_has_conditions_of_its_own() -> None:
    headers = {"x-amz-copy-source-if-match": '"x"', "if-match": f'"{ETAG}"'}
    conditions = parse(headers.get, "x-amz-copy-source-")
    assert conditions == Preconditions(if_match='"x"')
    assert conditions.asked
    assert not parse({}.get).asked


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WriteCondition()),
        ({"if-none-match": "*"}, WriteCondition(absent=True)),
        ({"if-match": f'"{ETAG}"'}, WriteCondition(if_match=ETAG[:-2])),
        ({"if-match": '"abc-2"'}, WriteCondition(if_match="abc-2")),
        ({"if-match": f'"{ETAG[:-2]}"'}, Conflict),
        ({"if-match": "*"}, WriteCondition(exists=True)),
        ({"if-none-match": f'"{ETAG}"'}, WriteCondition(not_match=ETAG[:-2])),
        ({"if-none-match": ETAG}, WriteCondition(not_match=ETAG[:-2])),
        ({"if-none-match": f'"{ETAG[:-2]}"'}, WriteCondition()),  # none of ours stands there
        ({"if-none-match": '"a", "b"'}, Refused),
        ({"if-match": '"a", "b"'}, Refused),
        ({"if-match": '"a"', "if-none-match": "*"}, Refused),
    ],
)
def test_conditions_of_writes(headers: dict[str, str], expected: object) -> None:
    if isinstance(expected, WriteCondition):
        assert parse_write(headers.get) == expected
    else:
        with pytest.raises(expected):  # type: ignore[call-overload]
            parse_write(headers.get)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 100)),
        ("bytes=0-99", (0, 100)),
        (" bytes=5-5 ", (5, 6)),
        ("bytes=0-100", None),
        ("bytes=100-100", None),
        ("bytes=9-8", None),
        ("bytes=9-", None),
        ("bytes=-9", None),
        ("bytes=0-1,2-3", None),
        ("0-1", None),
        ("bytes=a-b", None),
        ("bytes=0 - 1", None),
        ("", None),
    ],
)
def test_ranges_of_a_copied_part(header: str | None, expected: tuple[int, int] | None) -> None:
    if expected is not None:
        assert parse_copy_range(header, 100) == expected
        return
    with pytest.raises(Malformed) as refusal:
        parse_copy_range(header, 100)
    assert refusal.value.reason == "InvalidArgument"


@pytest.mark.parametrize(
    "date",
    [
        "soon",
        "Sunday, 06-Nov-94444444444444444444 08:49:37 GMT",
        "Tue, 99 Nov 2026 12:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 +2359",
    ],
)
def test_a_date_that_cannot_be_read_is_no_condition(date: str) -> None:
    sent = {"if-modified-since": date, "if-unmodified-since": date}
    conditions = parse(sent.get)
    if date[:3] != "Mon":
        assert conditions == Preconditions()
