"""What an S3 store says, read."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.backends.s3_answers import (
    number,
    parse_buckets,
    parse_etag,
    parse_listing,
    parse_parts,
    parse_upload_id,
    parse_uploads,
)
from hyok.backends.s3_copy import boundaries
from hyok.backends.s3_documents import parse_tags
from hyok.backends.s3_errors import Failure, error_of, retry_after
from hyok.backends.s3_wire import stored_of, total_size
from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_url_encoded_listing_has_a_plus_for_a_blank() -> None:
    document = (
        b"<ListBucketResult><EncodingType>url</EncodingType>"
        b"<Contents><Key>spatie+in%20naam</Key><Size>1</Size></Contents>"
        b"<Contents><Key>plus%2Bteken</Key><Size>1</Size></Contents>"
        b"<CommonPrefixes><Prefix>een+map/</Prefix></CommonPrefixes></ListBucketResult>"
    )
    page, _ = parse_listing(document, "")
    assert [found.name for found in page.objects] == ["spatie in naam", "plus+teken"]
    assert list(page.prefixes) == ["een map/"]


@given(
    st.lists(
        st.one_of(st.text("a %+\n\x00é/\U0001f4c1", min_size=1, max_size=5)).map(quote_plus)
        | st.sampled_from(["a%C3", "%A9b", "%", "a%0", "a%zz+", "é"]),
        min_size=1,
        max_size=4,
    )
)
def test_many_encoded_names_are_read_as_each_would_be(names: list[str]) -> None:
    rows = "".join(f"<Contents><Key>{name}</Key><Size>1</Size></Contents>" for name in names)
    document = f"<ListBucketResult><EncodingType>url</EncodingType>{rows}</ListBucketResult>"
    page, _ = parse_listing(document.encode(), "")
    assert list(page.objects.names) == [unquote_plus(name) for name in names]


def test_a_size_of_thousands_of_digits_is_the_stores_failure() -> None:
    """Python itself reads no such number."""
    for size in ("9" * 5000, f" {'9' * 21} "):
        document = (
            "<ListBucketResult><Contents><Key>a</Key><ETag>e</ETag>"
            "<LastModified>2026-11-28T00:00:00Z</LastModified>"
            f"<Size>{size}</Size></Contents></ListBucketResult>"
        )
        with pytest.raises(Unavailable):
            parse_listing(document.encode(), "")
    with pytest.raises(Unavailable):
        number("9" * 5000, "PartNumber")


def test_a_listing_without_encoding_is_taken_as_it_stands() -> None:
    document = (
        b"<ListBucketResult><Contents><Key>a+b%20c</Key><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    page, _ = parse_listing(document, "")
    assert [found.name for found in page.objects] == ["a+b%20c"]


CUT = (
    b"<ListBucketResult><IsTruncated>true</IsTruncated>%s"
    b"<Contents><Key>a/b</Key><Size>%s</Size></Contents></ListBucketResult>"
)
TOKEN = b"<NextContinuationToken>t</NextContinuationToken>"


@pytest.mark.parametrize(
    ("document", "prefix", "sent"),
    [
        (b"<html>", "", ""),
        (b"<Error><Code>x</Code></Error>", "", ""),
        (CUT % (b"", b"1"), "", ""),
        (CUT % (TOKEN, b"1"), "", "t"),
        (CUT % (TOKEN, b"1"), "a/c", ""),
        (CUT % (TOKEN, b"-1"), "", ""),
        (CUT % (TOKEN, "²".encode()), "", ""),
        (b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "", ""),
    ],
    ids=["no XML", "other", "cut", "same page", "foreign", "negative", "no digit", "no name"],
)
def test_a_listing_that_breaks_the_protocol_is_the_stores_failure(
    document: bytes, prefix: str, sent: str
) -> None:
    with pytest.raises(Unavailable):
        parse_listing(document, prefix, sent)


def test_a_cut_page_names_the_next_one() -> None:
    page, token = parse_listing(CUT % (TOKEN, b"1"), "a/", "before")
    assert (page.objects[0].name, token) == ("a/b", "t")


@pytest.mark.parametrize(
    "parsing",
    [
        parse_upload_id,
        parse_parts,
        parse_buckets,
        parse_uploads,
        parse_tags,
        lambda body: parse_etag(body, "CopyObjectResult"),
    ],
)
@pytest.mark.parametrize("document", [b"", b"no", b"<a/>", b"<!DOCTYPE a><a/>"])
def test_no_answer_of_a_store_is_our_clients_mistake(
    parsing: Callable[[bytes], object], document: bytes
) -> None:
    with pytest.raises(Unavailable):
        parsing(document)


def test_buckets_that_go_in_circles_are_not_followed() -> None:
    page = (
        b"<ListAllMyBucketsResult><Buckets/><ContinuationToken>t</ContinuationToken>"
        b"</ListAllMyBucketsResult>"
    )
    assert parse_buckets(page, "")[1] == "t"
    with pytest.raises(Unavailable):
        parse_buckets(page, "t")


@pytest.mark.parametrize(
    ("status", "code", "kind", "untouched", "lasting"),
    [
        (503, "SlowDown", Unavailable, True, False),
        (503, "", Unavailable, False, False),
        (429, "", Unavailable, True, False),
        (500, "InternalError", Unavailable, False, False),
        (502, "", Unavailable, False, False),
        (408, "", Unavailable, False, False),
        (400, "RequestTimeout", Unavailable, False, False),
        (400, "InvalidRequest", Malformed, None, None),
        (400, "InvalidDigest", Unavailable, False, True),
        (301, "PermanentRedirect", Unavailable, False, True),
        (403, "AccessDenied", Unavailable, False, True),
        (412, "", Conflict, None, None),
        (409, "ConditionalRequestConflict", Conflict, None, None),
        (404, "", NotFound, None, None),
        (501, "", Refused, None, None),
        (400, "EntityTooLarge", Malformed, None, None),
    ],
)
def test_a_refusal_says_whether_to_ask_again(
    status: int, code: str, kind: type[HyokError], untouched: bool | None, lasting: bool | None
) -> None:
    error = error_of(Failure(status, code))
    assert type(error) is kind
    if isinstance(error, Unavailable):
        assert (error.untouched, error.lasting) == (untouched, lasting)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("7", 7),
        ("99999999", 3600),
        ("-1", 0),
        ("later", 0),
        ("Sat, 28 Nov 2026 10:00:09 GMT", 9),
        ("Sat, 28 Nov 2026 09:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_counted_from_the_answers_own(
    text: str, seconds: float
) -> None:
    date = "Sat, 28 Nov 2026 10:00:00 GMT"
    assert retry_after({"retry-after": text, "date": date}) == seconds


@pytest.mark.parametrize(
    "headers",
    [{}, {"content-length": ""}, {"content-length": "²"}, {"content-length": "-5"}],
)
def test_an_answer_without_a_length_has_none(headers: dict[str, str]) -> None:
    with pytest.raises(Unavailable):
        total_size(200, headers)
    with pytest.raises(Unavailable):
        total_size(206, {**headers, "content-range": "bytes 0-1/*"})
    assert total_size(206, {"content-length": "2", "content-range": "bytes 0-1/9"}) == 9


@pytest.mark.parametrize(
    "told",
    ["null", "", "annullering"],
)
def test_a_version_is_called_what_the_store_calls_it(told: str) -> None:
    assert stored_of("n", {"x-amz-version-id": told}, 1).version_id == told


def test_what_was_just_put_is_as_old_as_the_answer() -> None:
    date = {"date": "Sat, 28 Nov 2026 04:10:38 GMT"}
    assert stored_of("n", date, 1).modified_ms == 1_795_839_038_000
    older = {**date, "last-modified": "Sat, 28 Nov 2026 04:10:00 GMT"}
    assert stored_of("n", older, 1).modified_ms == 1_795_839_000_000


@given(st.integers(1, 5 << 40), st.sampled_from([5 << 20, 1 << 30]))
def test_parts_of_a_long_copy_cover_it_once_and_never_number_too_many(
    size: int, part_bytes: int
) -> None:
    found = list(boundaries(size, part_bytes))
    assert found[0][0] == 0
    assert found[-1][1] == size
    assert all(one[1] == other[0] for one, other in pairwise(found))
    assert len(found) <= 10_000
    assert all(stop - start >= part_bytes for start, stop in found[:-1])
