"""Tags: what S3 allows, in a header and in a document, of objects and of buckets."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.s3.wire import as_botocore_reads, as_botocore_writes

from hyok.errors import Malformed
from hyok.s3.tagging import parse_bucket_tagging, parse_tagging, render_tagging
from hyok.s3.tags import BUCKET_TAGS_MAX, check_tags, count_header, parse_tagging_header

LETTERS = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Nd"], include_characters="_.:/=+-@ "),
    min_size=1,
    max_size=40,
).filter(lambda text: not text.lower().startswith("aws:"))
TAGS = st.dictionaries(LETTERS, LETTERS | st.just(""), max_size=10)


@given(TAGS)
def test_tags_go_both_ways(tags: dict[str, str]) -> None:
    pairs = [{"Key": k, "Value": v} for k, v in tags.items()]
    body = as_botocore_writes("PutObjectTagging", Bucket="b", Key="k", Tagging={"TagSet": pairs})
    assert parse_tagging(body) == tags
    assert as_botocore_reads("GetObjectTagging", render_tagging(tags)) == {"TagSet": pairs}
    assert parse_tagging_header(urlencode(tags)) == tags


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("k", "v"), ("k", "w")], "InvalidTag"),
        ([("", "v")], "InvalidTag"),
        ([("k" * 129, "")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([("a&b", "")], "InvalidTag"),
        ([("a", "<b>")], "InvalidTag"),
        ([("a", "b\n")], "InvalidTag"),
        ([("a", "b\u2028")], "InvalidTag"),
        ([("a", "b\x85")], "InvalidTag"),
        ([("aws:x", "")], "InvalidTag"),
        ([("AWS:x", "")], "InvalidTag"),
        ([(f"k{i}", "") for i in range(11)], "BadRequest"),
    ],
)
def test_what_is_no_tag(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        check_tags(pairs)
    assert refusal.value.reason == reason


def test_the_longest_tags_and_the_most_of_them_are_taken() -> None:
    check_tags([("k" * 127 + chr(48 + i), "é" * 256) for i in range(10)])
    pairs = [{"Key": f"k{i}", "Value": "é" * 256} for i in range(BUCKET_TAGS_MAX)]
    body = as_botocore_writes("PutBucketTagging", Bucket="b", Tagging={"TagSet": pairs})
    assert len(parse_bucket_tagging(body)) == BUCKET_TAGS_MAX
    with pytest.raises(Malformed) as refusal:
        parse_tagging(body)
    assert refusal.value.reason == "BadRequest"
    pairs.append({"Key": "one more", "Value": ""})
    body = as_botocore_writes("PutBucketTagging", Bucket="b", Tagging={"TagSet": pairs})
    with pytest.raises(Malformed, match="Bucket tag count"):
        parse_bucket_tagging(body)


@pytest.mark.parametrize(
    "body",
    [
        "<Tagging/>",
        "<Tagging><TagSet/><TagSet/></Tagging>",
        "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        "<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
    ],
)
def test_what_is_no_tagging_document(body: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_tagging(body.encode())
    assert refusal.value.reason == "MalformedXML"


def test_tags_in_a_header() -> None:
    assert parse_tagging_header("a=1&b=x+y%2Bz&c=") == {"a": "1", "b": "x y+z", "c": ""}
    assert parse_tagging_header(None) == parse_tagging_header("") == {}
    for header in ("a=1&a=2", "&".join(f"k{i}=1" for i in range(11)), "=v", "a=%ff"):
        with pytest.raises(Malformed):
            parse_tagging_header(header)


def test_the_number_of_tags_is_told_where_there_are_any() -> None:
    assert count_header({}) == []
    assert count_header({"a": "", "b": ""}) == [("x-amz-tagging-count", "2")]
