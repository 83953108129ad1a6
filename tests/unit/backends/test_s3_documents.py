"""Versions, tags and locks as an S3 store says them, read, and as we say them."""

from __future__ import annotations

import pytest

from hyok.backends import s3_documents as documents
from hyok.backends import s3_wire as wire
from hyok.backends.port import DefaultLock, Lock, StoredFacts
from hyok.backends.s3_bodies import check_version, version_query
from hyok.backends.s3_errors import error_of, failure_of
from hyok.errors import HyokError, Malformed, NotFound, Unavailable
from hyok.s3.documents import parse


def versions(*entries: str, more: str = "") -> bytes:
    return (
        '<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"{more}{''.join(entries)}</ListVersionsResult>"
    ).encode()


def version(
    name: str, version_id: str, second: int, *, latest: bool = False, kind: str = "Version"
) -> str:
    return (
        f"<{kind}><Key>{name}</Key><VersionId>{version_id}</VersionId>"
        f"<IsLatest>{'true' if latest else 'false'}</IsLatest>"
        f"<LastModified>2026-01-01T00:00:{second:02d}.000Z</LastModified>"
        f"<ETag>&quot;e{version_id}&quot;</ETag><Size>7</Size></{kind}>"
    )


def test_versions_and_markers_come_in_one_order() -> None:
    page = documents.parse_versions(
        versions(
            version("a", "3", 3, latest=True, kind="DeleteMarker"),
            version("a", "2", 2),
            version("b", "1", 1, latest=True),
        )
    )
    found = [(v.name, v.version_id, v.marker, v.latest) for v in page.versions]
    assert found == [("a", "3", True, True), ("a", "2", False, False), ("b", "1", False, True)]
    assert (page.versions[1].etag, page.versions[1].size) == ("e2", 7)
    assert (page.next_name, page.next_version) == ("", "")


def test_markers_that_a_store_lists_apart_come_to_their_place() -> None:
    page = documents.parse_versions(
        versions(
            version("a", "2", 2),
            version("a", "1", 1),
            version("b", "4", 4, latest=True),
            version("a", "3", 3, latest=True, kind="DeleteMarker"),
        )
    )
    assert [v.version_id for v in page.versions] == ["3", "2", "1", "4"]


def test_the_null_version_comes_first_where_it_is_the_newest() -> None:
    page = documents.parse_versions(
        versions(version("a", "1", 5), version("a", "null", 5, latest=True))
    )
    assert [v.version_id for v in page.versions] == ["null", "1"]


def test_a_page_of_versions_says_where_the_next_begins() -> None:
    page = documents.parse_versions(
        versions(
            version("een+naam%2B", "1", 1),
            "<CommonPrefixes><Prefix>map+x/</Prefix></CommonPrefixes>",
            more="<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
            "<NextKeyMarker>een+naam%2B</NextKeyMarker>"
            "<NextVersionIdMarker>1</NextVersionIdMarker>",
        )
    )
    assert (page.next_name, page.next_version) == ("een naam+", "1")
    assert page.versions[0].name == "een naam+"
    assert list(page.prefixes) == ["map x/"]


@pytest.mark.parametrize(
    "body",
    [
        versions(more="<IsTruncated>true</IsTruncated>"),
        versions("<Version><Key>a</Key><Size>many</Size></Version>"),
        b"<ListBucketResult></ListBucketResult>",
        b"",
        b'<!DOCTYPE x [<!ENTITY e "x">]><ListVersionsResult>&e;</ListVersionsResult>',
    ],
)
def test_a_listing_that_cannot_be_trusted_is_an_error(body: bytes) -> None:
    with pytest.raises((Unavailable, Malformed)):
        documents.parse_versions(body)


def test_the_state_of_versions_is_one_of_three() -> None:
    for status in ("Enabled", "Suspended"):
        assert documents.parse_versioning(documents.render_versioning(status)) == status
    assert documents.parse_versioning(b"<VersioningConfiguration/>") == ""
    with pytest.raises(Unavailable):
        documents.parse_versioning(
            b"<VersioningConfiguration><Status>Maybe</Status></VersioningConfiguration>"
        )


def test_tags_come_back_as_they_were_said() -> None:
    tags = {"a<b>&": 'c"d', "leeg": "", "é": "+ ="}
    assert documents.parse_tags(documents.render_tags(tags)) == tags
    assert documents.parse_tags(documents.render_tags({})) == {}


@pytest.mark.parametrize(
    "default",
    [DefaultLock(), DefaultLock("GOVERNANCE", days=3), DefaultLock("COMPLIANCE", years=2)],
)
def test_a_default_retention_comes_back_as_it_was_said(default: DefaultLock) -> None:
    assert documents.parse_object_lock(documents.render_object_lock(default)) == default


def test_object_lock_that_is_not_enabled_is_none() -> None:
    assert documents.parse_object_lock(b"<ObjectLockConfiguration/>") is None


def test_a_lock_is_said_to_the_second_and_never_shorter() -> None:
    lock = Lock("GOVERNANCE", 1_900_000_000_001)
    retention = parse(documents.render_retention(lock), "Retention")
    assert retention.value("Mode") == "GOVERNANCE"
    assert retention.value("RetainUntilDate") == "2030-03-17T17:46:41Z"
    headers = wire.facts_headers(StoredFacts(lock=lock))
    assert headers["x-amz-object-lock-retain-until-date"] == "2030-03-17T17:46:41Z"
    assert "x-amz-object-lock-legal-hold" not in headers
    assert parse(documents.render_hold(True), "LegalHold").value("Status") == "ON"
    assert parse(documents.render_hold(False), "LegalHold").value("Status") == "OFF"


@pytest.mark.parametrize(
    "lock",
    [
        Lock(),
        Lock("COMPLIANCE", 1_900_000_000_000),
        Lock(hold=True),
        Lock("GOVERNANCE", 1000, False),
    ],
)
def test_a_lock_in_headers_comes_back_as_it_was_said(lock: Lock) -> None:
    stored = wire.stored_of("a", wire.facts_headers(StoredFacts(lock=lock)), 1)
    assert stored.facts is not None
    assert stored.facts.lock == lock


def test_headers_tell_version_and_tags() -> None:
    headers = {"x-amz-version-id": "null", "x-amz-tagging-count": "2", "x-amz-tagging-k": "v"}
    stored = wire.stored_of("a", headers, 1)
    assert (stored.version_id, stored.tag_count) == ("null", 2)
    assert stored.facts is not None
    assert stored.facts.user_metadata == {}
    assert wire.stored_of("a", {"x-amz-tagging-count": "some"}, 1).tag_count == 0


def fault(status: int, code: str, missing: str, **headers: str) -> HyokError:
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of(failure_of(status, body, told), missing)


def test_a_store_that_tells_of_a_delete_marker_is_heard() -> None:
    told = {"x_amz_delete_marker": "true", "x_amz_version_id": "v1"}
    facts = {"delete-marker": "true", "version-id": "v1"}
    newest = fault(404, "", "NoSuchKey", **told)
    assert isinstance(newest, NotFound)
    assert (newest.reason, newest.facts) == ("NoSuchKey", facts)
    itself = fault(405, "MethodNotAllowed", "NoSuchVersion", **told)
    assert isinstance(itself, Malformed)
    assert (itself.reason, itself.facts) == ("MethodNotAllowed", facts)


def test_a_store_that_tells_nothing_of_a_marker_is_not_guessed_for() -> None:
    plain = fault(404, "NoSuchKey", "NoSuchKey")
    assert (type(plain), plain.reason, plain.facts) == (NotFound, "NoSuchKey", {})


@pytest.mark.parametrize("code", ["", "NoSuchKey", "NoSuchVersion"])
def test_it_is_the_version_that_is_missing_where_one_was_asked_for(code: str) -> None:
    assert fault(404, code, "NoSuchVersion").reason == "NoSuchVersion"
    assert fault(404, "NoSuchBucket", "NoSuchVersion").reason == "NoSuchBucket"


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidArgument", "InvalidTag"])
def test_what_the_store_calls_invalid_is_not_tried_again(code: str) -> None:
    refused = fault(400, code, "NoSuchKey")
    assert isinstance(refused, Malformed)
    assert refused.reason == code


def test_an_answer_of_another_version_is_not_taken() -> None:
    check_version("", {"x-amz-version-id": "v1"})
    check_version("v1", {"x-amz-version-id": "v1"})
    check_version("null", {})
    for headers in ({}, {"x-amz-version-id": "v2"}):
        with pytest.raises(NotFound) as caught:
            check_version("v1", headers)
        assert caught.value.reason == "NoSuchVersion"


@pytest.mark.parametrize("version_id", ["../x", "a/b", "a b", "é", "v" * 1025, "a\r\nb", "%2e"])
def test_an_id_that_could_be_a_path_is_not_sent(version_id: str) -> None:
    with pytest.raises(NotFound):
        version_query(version_id)
    assert version_query("3_L4kqtJl.cpXr-o~=+") == [("versionId", "3_L4kqtJl.cpXr-o~=+")]
