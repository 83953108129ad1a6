"""Versions: the state of a bucket, version ids, and listings as clients read them."""

from __future__ import annotations

import pytest
from tests.unit.s3.wire import as_botocore_reads, as_botocore_writes

from hyok.errors import Malformed, Refused
from hyok.s3 import answers, documents
from hyok.s3.names import parse_version_id
from hyok.s3.versions import (
    MarkerEntry,
    VersionEntry,
    Versioning,
    VersionsPage,
    list_versions,
    parse_markers,
    parse_versioning,
    render_versioning,
)


@pytest.mark.parametrize("state", ["Enabled", "Suspended"])
def test_the_state_of_a_bucket_goes_both_ways(state: str) -> None:
    for configuration in ({"Status": state}, {"Status": state, "MFADelete": "Disabled"}):
        body = as_botocore_writes(
            "PutBucketVersioning", Bucket="b", VersioningConfiguration=configuration
        )
        assert parse_versioning(body) is Versioning(state)
    read = as_botocore_reads("GetBucketVersioning", render_versioning(Versioning(state)))
    assert read == {"Status": state}
    assert as_botocore_reads("GetBucketVersioning", render_versioning(Versioning.NEVER)) == {}


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("<Status>On</Status>", "MalformedXML"),
        ("<Status>enabled</Status>", "MalformedXML"),
        ("", "IllegalVersioningConfigurationException"),
        ("<Status>Enabled</Status><Status>Suspended</Status>", "MalformedXML"),
        ("<Status>Enabled</Status><MfaDelete>x</MfaDelete>", "MalformedXML"),
    ],
)
def test_another_state_is_refused(inner: str, reason: str) -> None:
    body = f"<VersioningConfiguration>{inner}</VersioningConfiguration>"
    with pytest.raises(Malformed) as refusal:
        parse_versioning(body.encode())
    assert refusal.value.reason == reason


def test_mfa_delete_is_refused_by_name() -> None:
    body = as_botocore_writes(
        "PutBucketVersioning",
        Bucket="b",
        VersioningConfiguration={"Status": "Enabled", "MFADelete": "Enabled"},
    )
    with pytest.raises(Refused, match="MFA delete") as refusal:
        parse_versioning(body)
    assert refusal.value.reason == "NotImplemented"


@pytest.mark.parametrize(
    "text", ["null", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo", "a" * 1024]
)
def test_version_ids(text: str) -> None:
    assert parse_version_id(text) == text


@pytest.mark.parametrize("text", ["", " ", "a b", "é", "a\n", "a" * 1025, "<x>"])
def test_what_is_no_version_id(text: str) -> None:
    with pytest.raises(Malformed) as refusal:
        parse_version_id(text)
    assert refusal.value.reason == "InvalidArgument"


def test_no_version_asked() -> None:
    assert parse_version_id(None) == ""


def test_markers() -> None:
    assert parse_markers(None, None) == ("", "")
    assert parse_markers("k", None) == ("k", "")
    assert parse_markers("k", "") == ("k", "")
    assert parse_markers("k", "v") == ("k", "v")
    assert parse_markers("", "") == ("", "")
    for key, version in ((None, "v"), ("", "v"), ("k", "a b")):
        with pytest.raises(Malformed):
            parse_markers(key, version)


def test_a_page_of_versions() -> None:
    page = VersionsPage(
        "b", "me", "p/", "/", "p/a", "v0", 3,
        entries=[
            VersionEntry("p/b c", "v2", True, 1_795_521_600_250, 5, "e-h", "CRC32", "FULL_OBJECT"),
            MarkerEntry("p/d", "v1", False, 0),
        ],
        prefixes=["p/x y/"], truncated=True, next_key_marker="p/d",
        next_version_id_marker="v1", encode_url=True,
    )  # fmt: skip
    read = as_botocore_reads("ListObjectVersions", list_versions(page))
    version, marker = read["Versions"][0], read["DeleteMarkers"][0]
    assert (version["Key"], version["VersionId"], version["IsLatest"]) == ("p/b%20c", "v2", True)
    assert (version["Size"], version["ETag"], version["StorageClass"]) == (5, '"e-h"', "STANDARD")
    assert version["ChecksumAlgorithm"] == ["CRC32"]
    assert version["Owner"] == {"ID": "me", "DisplayName": "hyok"}
    assert version["LastModified"].isoformat() == "2026-11-24T12:00:00.250000+00:00"
    assert (marker["Key"], marker["VersionId"], marker["IsLatest"]) == ("p/d", "v1", False)
    assert (read["KeyMarker"], read["VersionIdMarker"]) == ("p/a", "v0")
    assert (read["NextKeyMarker"], read["NextVersionIdMarker"]) == ("p/d", "v1")
    assert (read["IsTruncated"], read["MaxKeys"], read["EncodingType"]) == (True, 3, "url")
    assert read["CommonPrefixes"] == [{"Prefix": "p/x%20y/"}]


def test_an_empty_page_and_a_last_one_tell_no_next_marker() -> None:
    read = as_botocore_reads("ListObjectVersions", list_versions(VersionsPage("b", "me")))
    assert (read["Name"], read["IsTruncated"]) == ("b", False)
    assert not {"Versions", "DeleteMarkers", "NextKeyMarker", "EncodingType"} & set(read)


def test_results_of_deletes_tell_versions_and_markers() -> None:
    body = answers.delete_result(
        [
            "a",
            answers.Deleted("b", "v1"),
            answers.Deleted("c", "", "m1"),
            answers.Deleted("d", "m2", "m2"),
        ],
        [answers.DeleteFailure("e", "NoSuchVersion", "no", "v9")],
    )
    read = as_botocore_reads("DeleteObjects", body)
    assert read["Deleted"] == [
        {"Key": "a"},
        {"Key": "b", "VersionId": "v1"},
        {"Key": "c", "DeleteMarker": True, "DeleteMarkerVersionId": "m1"},
        {"Key": "d", "VersionId": "m2", "DeleteMarker": True, "DeleteMarkerVersionId": "m2"},
    ]
    assert read["Errors"][0]["VersionId"] == "v9"


def test_a_delete_names_versions() -> None:
    body = as_botocore_writes(
        "DeleteObjects",
        Bucket="b",
        Delete={"Objects": [{"Key": "k", "VersionId": "null"}, {"Key": "l"}]},
    )
    keys, quiet = documents.parse_delete(body)
    assert [(key.key, key.version_id) for key in keys] == [("k", "null"), ("l", "")]
    assert not quiet
