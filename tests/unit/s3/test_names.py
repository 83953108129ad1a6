"""Names and ETags: what is allowed, and that the ETag mapping can be undone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import HyokError, Malformed, NotFound, Refused
from hyok.s3.metadata import (
    check_user_metadata,
    content_encoding,
)
from hyok.s3.names import (
    check_bucket_name,
    check_key,
    check_upload_id,
    etag_in,
    etag_out,
    parse_copy_source,
    parse_part_number,
    part_etag_in,
    part_etag_out,
    unquote_etag,
)

MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize("name", ["abc", "a.b-c", "0" * 63, "readyz"])
def test_bucket_names(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", "ab", "A" * 3, "a_b", "a" * 64, "-ab", "ab-", "a..b", "1.2.3.4", "abc\n", ".hyok"),
        *("a.-b", "a-.b"),  # no host name: a store refuses them
    ],
)
def test_names_that_no_bucket_may_have(name: str) -> None:
    with pytest.raises(Malformed) as refusal:
        check_bucket_name(name)
    assert refusal.value.reason == "InvalidBucketName"


@pytest.mark.parametrize(
    "key", ["a", "/", "a//b/../c", "x" * 1024, "€" * 341, ".hyok", "a/.hyok/b"]
)
def test_keys(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize(
    ("key", "kind", "reason"),
    [
        ("x" * 1025, Malformed, "KeyTooLongError"),
        ("€" * 342, Malformed, "KeyTooLongError"),
        ("", Malformed, "InvalidArgument"),
        ("a\x00b", Malformed, "InvalidArgument"),
        (".hyok/keyring", Refused, "AccessDenied"),
        (".hyok/", Refused, "AccessDenied"),
    ],
)
def test_keys_that_no_object_may_have(key: str, kind: type[HyokError], reason: str) -> None:
    with pytest.raises(kind) as refusal:
        check_key(key)
    assert refusal.value.reason == reason


def test_a_client_never_sees_32_hex_digits_alone() -> None:
    assert etag_out(MD5) == MD5 + "-h"
    assert etag_out(MD5.upper()) == MD5.upper() + "-h"
    assert etag_out(MD5 + "-2") == MD5 + "-2"
    assert etag_out("0x8D4") == "0x8D4"
    assert etag_in(MD5) is None
    assert etag_in("") is None


@given(
    st.one_of(st.from_regex(r"[0-9a-fA-F]{31,33}(-[0-9]{1,4})?", fullmatch=True), st.text("ab0-"))
)
def test_the_mapping_of_etags_can_be_undone(etag: str) -> None:
    shown = etag_out(etag)
    assert etag_in(shown) == (etag or None)


@given(store=st.text("0123456789abcdef-", min_size=1), part_id=st.binary(min_size=16, max_size=16))
def test_a_parts_etag_carries_its_attempt(store: str, part_id: bytes) -> None:
    assert part_etag_in(part_etag_out(store, part_id)) == (store, part_id)


def test_a_parts_etag_without_an_attempt_is_the_stores() -> None:
    assert part_etag_in(MD5) == (MD5, None)
    assert part_etag_in(MD5 + "-2") == (MD5 + "-2", None)


def test_quotes_come_off() -> None:
    assert unquote_etag('"a-1"') == unquote_etag(" a-1 ") == "a-1"
    assert unquote_etag('"') == '"'


def test_upload_ids_and_part_numbers() -> None:
    check_upload_id("aZ09._~=-")
    for text in ("", "a b", "a\n", "x" * 1025, "é"):
        with pytest.raises(NotFound):
            check_upload_id(text)
    assert [parse_part_number(text) for text in ("1", "10000")] == [1, 10000]
    for text in ("0", "10001", "-1", "1.0", "", "\uff11", "1" * 30):
        with pytest.raises(Malformed):
            parse_part_number(text)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("b/k", ("b", "k", "")),
        ("/b/k%20x%2By/z", ("b", "k x+y/z", "")),
        ("b/k?versionId=v", ("b", "k", "v")),
        ("b/k%3FversionId=v", ("b", "k?versionId=v", "")),
        ("b//k", ("b", "/k", "")),
        ("b", None),
        ("/b/", None),
        ("b/%ff", None),
        ("b/%zz", None),
        ("b/%", None),
        ("", None),
        ("/", None),
        ("//k", None),
        ("b/" + "%41" * 3000, None),
        ("/b/a%2Fb%20c", ("b", "a/b c", "")),
        ("b%2Fk", ("b", "k", "")),
        ("%2Fb/k", ("b", "k", "")),
        ("b/a+b", ("b", "a+b", "")),
        ("b/\u20ac%E2%82%AC", ("b", "\u20ac\u20ac", "")),
        ("b/k?versionId=null", ("b", "k", "null")),
        ("b/k?versionId=a%2Bb", ("b", "k", "a+b")),
        ("b/k?versionId=", None),
        ("b/k?versionId=a b", None),
        ("b/k?x=y", ("b", "k?x=y", "")),
    ],
)
def test_copy_sources(header: str, expected: tuple[str, str, str] | None) -> None:
    if expected is None:
        with pytest.raises(Malformed):
            parse_copy_source(header)
    else:
        assert parse_copy_source(header) == expected


def test_user_metadata_is_bounded_and_the_gateways_own_name_is_refused() -> None:
    check_user_metadata({"a": "x" * 2047, "": ""})
    check_user_metadata({"hyokje": "x"})
    with pytest.raises(Malformed) as refusal:
        check_user_metadata({"a": "x" * 2048})
    assert refusal.value.reason == "MetadataTooLarge"
    for name in ("hyok", "hyok-version"):
        with pytest.raises(Refused):
            check_user_metadata({name: "x"})


def test_the_transfers_own_coding_is_not_kept() -> None:
    assert content_encoding("aws-chunked") == ""
    assert content_encoding("aws-chunked, gzip") == content_encoding("gzip,aws-chunked") == "gzip"
    assert content_encoding(None) == ""


@pytest.mark.parametrize(
    "source",
    [
        "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/object/k",
        "arn%3Aaws%3As3%3Aeu-west-1%3A123456789012%3Aaccesspoint%2Fmine%2Fobject%2Fk",
        "/arn:aws:s3-outposts:eu-west-1:123456789012:outpost/o/object/k",
    ],
)
def test_access_points_are_refused_as_copy_sources(source: str) -> None:
    with pytest.raises(Refused, match="access point") as refusal:
        parse_copy_source(source)
    assert refusal.value.reason == "NotImplemented"
