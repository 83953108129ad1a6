"""Documents in are strict and bounded; documents out are what botocore's parser expects."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.s3.wire import as_botocore_reads

from hyok.errors import Malformed
from hyok.s3 import answers, documents
from hyok.s3.checksums import Algorithm
from hyok.s3.codes import CODES
from hyok.s3.elements import NAMESPACE

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@pytest.mark.parametrize("ns", ["", NS, 'xmlns="urn:other"'])
def test_complete_multipart_upload(ns: str) -> None:
    body = (
        f"<CompleteMultipartUpload {ns}>"
        '<Part><ETag>"a-1"</ETag><PartNumber>1</PartNumber>'
        "<ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>"
        "<Part><PartNumber> 10000 </PartNumber><ETag>&quot;b&quot;</ETag></Part>"
        "</CompleteMultipartUpload>"
    )
    first, second = documents.parse_complete(body.encode())
    assert (first.number, first.etag) == (1, "a-1")
    assert first.checksums == {Algorithm.CRC32: "AAAAAA=="}
    assert (second.number, second.etag) == (10000, "b")


def part(number: object, etag: str = "e") -> str:
    return f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("", "MalformedXML"),
        (part(2) + part(1), "InvalidPartOrder"),
        (part(1) + part(1), "InvalidPartOrder"),
        (part(0), "InvalidArgument"),
        (part(10001), "InvalidArgument"),
        (part("x"), "MalformedXML"),
        ("<Part><PartNumber>1</PartNumber></Part>", "MalformedXML"),
        ("<Part><PartNumber>1</PartNumber><ETag>a</ETag><ETag>b</ETag></Part>", "MalformedXML"),
        ("<a>" * 9 + "</a>" * 9, "MalformedXML"),
    ],
)
def test_wrong_lists_of_parts_are_refused(inner: str, reason: str) -> None:
    body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>"
    with pytest.raises(Malformed) as refusal:
        documents.parse_complete(body.encode())
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Delete>",
        b"<Other/>",
        b"<!DOCTYPE Delete><Delete/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<Delete><Object><Key>&a;</Key></Object></Delete>",
        b"<Delete><Object><Key>\xff</Key></Object></Delete>",
        b"<Delete/>",
        b"<Delete><Object><Key/></Object></Delete>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
        b"<Delete>" + b"<a/>" * 100_001 + b"</Delete>",
    ],
)
def test_hostile_documents_are_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        documents.parse_delete(body)
    assert refusal.value.reason == "MalformedXML"


def test_a_document_has_a_limit() -> None:
    with pytest.raises(Malformed) as refusal:
        documents.parse_create_bucket(b" " * (documents.SMALL_BYTES_MAX + 1))
    assert refusal.value.reason == "MaxMessageLengthExceeded"


def test_delete_objects() -> None:
    body = (
        f"<Delete {NS}><Quiet>true</Quiet>"
        "<Object><Key>a &amp; b</Key></Object>"
        '<Object><Key> c&#x9;</Key><VersionId>v</VersionId><ETag>"e"</ETag></Object></Delete>'
    )
    keys, quiet = documents.parse_delete(memoryview(body.encode()))
    assert quiet
    assert keys == [documents.DeleteKey("a & b"), documents.DeleteKey(" c\t", "v", "e")]


def test_create_bucket() -> None:
    assert documents.parse_create_bucket(b"") == documents.BucketAsked()
    body = (
        f"<CreateBucketConfiguration {NS}><LocationConstraint>eu-west-1</LocationConstraint>"
        "<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags></CreateBucketConfiguration>"
    )
    assert documents.parse_create_bucket(body.encode()) == documents.BucketAsked(
        "eu-west-1", {"a": "b"}
    )


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20))
def test_whatever_a_key_holds_the_document_is_sound(text: str) -> None:
    page = answers.Page(
        "b", entries=answers.Entries.of([answers.Entry(text, 1, "e", 0)]), encode_url=True
    )
    body = answers.list_objects_v2(page, token=None, next_token="", start_after=None)
    parsed = as_botocore_reads("ListObjectsV2", body)
    from urllib.parse import unquote

    assert unquote(parsed["Contents"][0]["Key"]) == text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), max_size=20))
def test_printable_keys_need_no_encoding(text: str) -> None:
    page = answers.Page("b", entries=answers.Entries.of([answers.Entry(text, 1, "e", 0)]))
    body = answers.list_objects(page, marker="", next_marker="")
    root = ElementTree.fromstring(body)
    found = root.find(f"{{{NAMESPACE}}}Contents/{{{NAMESPACE}}}Key")
    assert found is not None
    assert (found.text or "") == text


def test_listings() -> None:
    page = answers.Page(
        "b", "p/", "/", 2,
        entries=answers.Entries.of([answers.Entry("p/a", 5, "e-h", 1_795_521_600_250)]),
        prefixes=["p/x y/"], truncated=True, encode_url=True, owner="me",
    )  # fmt: skip
    two = as_botocore_reads(
        "ListObjectsV2",
        answers.list_objects_v2(page, token="t", next_token="n", start_after="p/ "),
    )
    assert two["KeyCount"] == 2
    assert two["IsTruncated"] is True
    assert two["ContinuationToken"] == "t"
    assert two["NextContinuationToken"] == "n"
    assert two["StartAfter"] == "p/%20"
    entry = two["Contents"][0]
    assert (entry["Key"], entry["Size"], entry["ETag"]) == ("p/a", 5, '"e-h"')
    assert entry["LastModified"].isoformat() == "2026-11-24T12:00:00.250000+00:00"
    assert two["CommonPrefixes"] == [{"Prefix": "p/x%20y/"}]
    one = as_botocore_reads(
        "ListObjects", answers.list_objects(page, marker="m", next_marker="p/a")
    )
    assert (one["Marker"], one["NextMarker"], one["MaxKeys"]) == ("m", "p/a", 2)


def test_buckets_and_their_settings() -> None:
    body = answers.list_buckets("me", [("a", 0), ("b", 1000)])
    parsed = as_botocore_reads("ListBuckets", body)
    assert [bucket["Name"] for bucket in parsed["Buckets"]] == ["a", "b"]
    assert parsed["Owner"]["ID"] == "me"
    assert b"/>" in answers.location("us-east-1")
    assert b">eu-west-1</LocationConstraint>" in answers.location("eu-west-1")


def test_multipart_answers() -> None:
    parsed = as_botocore_reads("CreateMultipartUpload", answers.initiated("b", "k<", "u"))
    assert (parsed["Bucket"], parsed["Key"], parsed["UploadId"]) == ("b", "k<", "u")
    parsed = as_botocore_reads(
        "CompleteMultipartUpload",
        answers.completed("b", "k", "e-2", "/b/k", {Algorithm.SHA256: "x"}, "COMPOSITE"),
    )
    assert (parsed["ETag"], parsed["ChecksumSHA256"]) == ('"e-2"', "x")
    assert parsed["ChecksumType"] == "COMPOSITE"
    parts = answers.PartsPage(
        "b", "k", "u", "me", 0, 2, [answers.PartEntry(2, "e-x", 7, 0, {Algorithm.CRC32: "c"})],
        truncated=True,
    )  # fmt: skip
    parsed = as_botocore_reads("ListParts", answers.list_parts(parts))
    assert parsed["NextPartNumberMarker"] == 2
    assert parsed["Parts"][0]["Size"] == 7
    assert parsed["Parts"][0]["ChecksumCRC32"] == "c"
    frame = answers.Page("b", truncated=True, owner="me")
    body = answers.list_uploads(
        frame, [answers.UploadEntry("k", "u", 0)], key_marker="", upload_id_marker=""
    )
    parsed = as_botocore_reads("ListMultipartUploads", body)
    assert (parsed["NextKeyMarker"], parsed["NextUploadIdMarker"]) == ("k", "u")
    assert parsed["Uploads"][0]["UploadId"] == "u"


def test_results_of_deletes_and_copies() -> None:
    body = answers.delete_result(["a"], [answers.DeleteFailure("b", "AccessDenied", "no")])
    parsed = as_botocore_reads("DeleteObjects", body)
    assert parsed["Deleted"] == [{"Key": "a"}]
    assert parsed["Errors"] == [{"Key": "b", "Code": "AccessDenied", "Message": "no"}]
    parsed = as_botocore_reads("CopyObject", answers.copy_result("e-h", 0))
    assert parsed["CopyObjectResult"]["ETag"] == '"e-h"'
    body = answers.copy_result("e-x", 0, {Algorithm.SHA256: "c="}, root="CopyPartResult")
    part = as_botocore_reads("UploadPartCopy", body)["CopyPartResult"]
    assert (part["ETag"], part["ChecksumSHA256"]) == ('"e-x"', "c=")


def test_errors() -> None:
    body = answers.error(
        "NoSuchKey", "<none>", resource="/b/k&", request_id="r", host_id="h", extra={"Region": "x"}
    )
    parsed = as_botocore_reads("GetObject", body, 404)
    assert parsed["Error"] == {
        "Code": "NoSuchKey", "Message": "<none>", "Resource": "/b/k&", "HostId": "h",
        "RequestId": "r", "Region": "x",
    } or parsed["Error"]["Code"] == "NoSuchKey"  # fmt: skip
    assert b"&lt;none&gt;" in body


def test_every_code_has_a_status_of_an_error() -> None:
    for name, code in CODES.items():
        assert name == code.name
        assert 300 <= code.status < 600
        assert code.message
