"""Versions, tags that change and object lock, through a real gateway, on both kinds of store."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import running
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

STORES = ("files", "weed")
CLEAR, SEALED, LOCKED = "v-openbaar", "v-vertrouwelijk", "v-slot"
LARGE = bytes(range(256)) * (5 << 12)  # 5 MiB: read and written in streams

every_store = pytest.mark.parametrize("store", STORES)
every_bucket = pytest.mark.parametrize("kind", [CLEAR, SEALED])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("versions")
    (folder / "weed").mkdir()
    weed = seaweedfs.start(folder / "weed")
    home = folder / "home"
    running.prepare(home)
    stores = running.s3_store("weed", weed.endpoint, weed.credentials_file())
    config = running.configure(home, "versions", stores, https=False)
    for store in STORES:
        of = "local" if store == "files" else store
        for bucket, classification in (
            (CLEAR, "openbaar"),
            (SEALED, "vertrouwelijk"),
            (LOCKED, "openbaar"),
        ):
            running.make_bucket(config, f"{bucket}-{store}", classification, of)
    gateway = running.serve(config)
    made = gateway.client()
    for store in STORES:
        for bucket in (CLEAR, SEALED, LOCKED):
            made.put_bucket_versioning(
                Bucket=f"{bucket}-{store}", VersioningConfiguration={"Status": "Enabled"}
            )
    yield made
    assert gateway.stop() == 0
    weed.stop()


def refused(call: Any, **asked: Any) -> tuple[int, str, dict[str, str]]:
    with pytest.raises(ClientError) as caught:
        call(**asked)
    told = caught.value.response
    metadata = told["ResponseMetadata"]
    return metadata["HTTPStatusCode"], told["Error"]["Code"], metadata["HTTPHeaders"]


def tag_set(**tags: str) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


@every_store
@every_bucket
def test_an_older_version_stays_readable_until_it_is_removed(
    client: Any, kind: str, store: str
) -> None:
    at = {"Bucket": f"{kind}-{store}", "Key": "map/brief.txt"}
    first = client.put_object(**at, Body=b"eerste")["VersionId"]
    second = client.put_object(**at, Body=LARGE)["VersionId"]
    assert first != second
    old = client.get_object(**at, VersionId=first)
    assert (old["Body"].read(), old["VersionId"]) == (b"eerste", first)
    new = client.get_object(**at)
    assert (new["Body"].read(), new["VersionId"]) == (LARGE, second)
    assert client.head_object(**at, VersionId=first)["ContentLength"] == 6

    source = {"Bucket": at["Bucket"], "Key": at["Key"], "VersionId": first}
    copied = client.copy_object(**at, CopySource=source)
    assert copied["CopySourceVersionId"] == first
    third = copied["VersionId"]
    assert client.get_object(**at)["Body"].read() == b"eerste"

    deleted = client.delete_object(**at)
    marker = deleted["VersionId"]
    assert deleted["DeleteMarker"]
    status, code, headers = refused(client.get_object, **at)
    assert (status, code) == (404, "NoSuchKey")
    if store == "files":  # SeaweedFS tells no marker in an answer to a read
        assert headers["x-amz-delete-marker"] == "true"
        assert headers["x-amz-version-id"] == marker
        status, code, _ = refused(client.get_object, **at, VersionId=marker)
        assert (status, code) == (405, "MethodNotAllowed")
    assert client.get_object(**at, VersionId=second)["Body"].read() == LARGE

    page = client.list_object_versions(Bucket=at["Bucket"], Prefix="map/br")
    listed = [(v["VersionId"], v["Size"], v["IsLatest"]) for v in page["Versions"]]
    assert listed == [(third, 6, False), (second, len(LARGE), False), (first, 6, False)]
    [found] = page["DeleteMarkers"]
    assert (found["VersionId"], found["IsLatest"], found["Key"]) == (marker, True, at["Key"])

    gone = client.delete_objects(
        Bucket=at["Bucket"],
        Delete={"Objects": [{"Key": at["Key"], "VersionId": v} for v in (marker, second)]},
    )
    told = {entry["VersionId"]: entry.get("DeleteMarker", False) for entry in gone["Deleted"]}
    assert told == {marker: True, second: False}
    assert client.get_object(**at)["Body"].read() == b"eerste"
    assert refused(client.get_object, **at, VersionId=second)[:2] == (404, "NoSuchVersion")
    assert refused(client.get_object, **at, VersionId="a/../b")[1] == "NoSuchVersion"


@every_store
@every_bucket
def test_pages_of_versions_hold_each_of_them_once_in_order(
    client: Any, kind: str, store: str
) -> None:
    bucket = f"{kind}-{store}"
    keys = ["p/a", "p/b/1", "p/b/2", "p/c"]
    wanted = []
    for key in keys:
        made = [client.put_object(Bucket=bucket, Key=key, Body=b"x")["VersionId"] for _ in "123"]
        wanted += [(key, version) for version in reversed(made)]
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, Prefix="p/", PaginationConfig={"PageSize": 2}
    )
    seen = [(v["Key"], v["VersionId"]) for page in pages for v in page.get("Versions", [])]
    assert seen == wanted
    rolled = client.list_object_versions(Bucket=bucket, Prefix="p/", Delimiter="/")
    assert [prefix["Prefix"] for prefix in rolled["CommonPrefixes"]] == ["p/b/"]
    assert {v["Key"] for v in rolled["Versions"]} == {"p/a", "p/c"}


@every_store
@every_bucket
def test_tags_change_without_a_new_version_and_leave_etag_and_time_alone(
    client: Any, kind: str, store: str
) -> None:
    at = {"Bucket": f"{kind}-{store}", "Key": "getagd"}
    version = client.put_object(**at, Body=b"brief", Tagging="soort=brief&jaar=2025")["VersionId"]
    before = client.head_object(**at)
    assert before["TagCount"] == 2
    time.sleep(1.1)  # a time that changed would show
    tags = tag_set(soort="besluit", **{"naam van burger": "Jansen é"})
    assert client.put_object_tagging(**at, Tagging=tags)["VersionId"] == version
    after = client.head_object(**at)
    assert (after["ETag"], after["LastModified"], after["VersionId"]) == (
        before["ETag"], before["LastModified"], version,
    )  # fmt: skip
    assert after["TagCount"] == 2
    found = client.get_object_tagging(**at)["TagSet"]
    assert sorted(found, key=str) == sorted(tags["TagSet"], key=str)
    assert client.get_object(**at)["Body"].read() == b"brief"
    versions = client.list_object_versions(Bucket=at["Bucket"], Prefix="getagd")["Versions"]
    assert [v["VersionId"] for v in versions] == [version]

    copy = {"Bucket": at["Bucket"], "Key": "kopie"}
    client.copy_object(**copy, CopySource=at)
    assert len(client.get_object_tagging(**copy)["TagSet"]) == 2, "a copy has the tags of now"
    client.delete_object_tagging(**at)
    assert client.get_object_tagging(**at)["TagSet"] == []
    assert "TagCount" not in client.head_object(**at)
    client.put_object(**at, Body=b"nieuw")
    client.put_object_tagging(**at, VersionId=version, Tagging=tag_set(oud="ja"))
    assert (
        client.get_object_tagging(**at, VersionId=version)["TagSet"] == tag_set(oud="ja")["TagSet"]
    )
    assert client.get_object_tagging(**at)["TagSet"] == []


@every_store
def test_a_label_that_raises_has_the_object_sealed_anew_and_one_that_lowers_is_refused(
    client: Any, store: str
) -> None:
    at = {"Bucket": f"{CLEAR}-{store}", "Key": "label"}
    first = client.put_object(**at, Body=b"open", Tagging="a=b")
    raised = client.put_object_tagging(**at, Tagging=tag_set(classification="intern"))
    now = client.head_object(**at)
    assert "/intern/" in now["SSEKMSKeyId"]
    assert raised["VersionId"] == now["VersionId"] != first["VersionId"]
    assert client.get_object(**at)["Body"].read() == b"open"
    assert client.get_object_tagging(**at)["TagSet"] == tag_set(classification="intern")["TagSet"]
    for lower in (tag_set(classification="openbaar"), tag_set()):
        status, code, _ = refused(client.put_object_tagging, **at, Tagging=lower)
        assert (status, code) == (403, "AccessDenied")
    assert "/intern/" in client.head_object(**at)["SSEKMSKeyId"]
    status, code, _ = refused(
        client.put_object_tagging,
        **at,
        VersionId=first["VersionId"],
        Tagging=tag_set(classification="intern"),
    )
    assert (status, code) == (403, "AccessDenied"), "an older version is not sealed anew"


@every_store
def test_a_locked_version_stays_until_its_time_and_a_right_of_its_own_ends_that(
    client: Any, store: str
) -> None:
    bucket = f"{LOCKED}-{store}"
    at = {"Bucket": bucket, "Key": "dossier"}
    assert refused(client.get_object_lock_configuration, Bucket=bucket)[1] == (
        "ObjectLockConfigurationNotFoundError"
    )
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    told = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    assert told == {"ObjectLockEnabled": "Enabled"}
    until = datetime.fromtimestamp(int(time.time()) + 3600, UTC)
    version = client.put_object(
        **at, Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until
    )["VersionId"]
    head = client.head_object(**at)
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    assert client.get_object_retention(**at)["Retention"]["Mode"] == "GOVERNANCE"
    assert refused(client.delete_object, **at, VersionId=version)[:2] == (403, "AccessDenied")
    assert client.delete_object(**at)["DeleteMarker"], "a marker may always be laid"
    client.put_object_legal_hold(**at, VersionId=version, LegalHold={"Status": "ON"})
    assert client.get_object_legal_hold(**at, VersionId=version)["LegalHold"]["Status"] == "ON"
    bypass = {"BypassGovernanceRetention": True}
    assert refused(client.delete_object, **at, VersionId=version, **bypass)[1] == "AccessDenied"
    client.put_object_legal_hold(**at, VersionId=version, LegalHold={"Status": "OFF"})
    client.put_object_tagging(**at, VersionId=version, Tagging=tag_set(mag="wel"))
    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(minutes=30)}
    asked = {**at, "VersionId": version, "Retention": sooner}
    assert refused(client.put_object_retention, **asked)[1] == "AccessDenied"
    client.put_object_retention(**asked, **bypass)
    client.delete_object(**at, VersionId=version, **bypass)
    assert refused(client.head_object, **at, VersionId=version)[0] == 404


@every_store
def test_an_upload_in_parts_has_a_version(client: Any, store: str) -> None:
    at = {"Bucket": f"{SEALED}-{store}", "Key": "in delen"}
    upload = client.create_multipart_upload(**at)["UploadId"]
    part = client.upload_part(**at, UploadId=upload, PartNumber=1, Body=LARGE + b"rest")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    version = client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)[
        "VersionId"
    ]
    assert client.head_object(**at)["VersionId"] == version
    client.put_object(**at, Body=b"later")
    assert client.get_object(**at, VersionId=version)["Body"].read() == LARGE + b"rest"


def test_a_bucket_in_which_versions_are_left_is_not_removed(client: Any) -> None:
    bucket = "v-weg"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="map/stuk", Body=b"x")
    client.delete_object(Bucket=bucket, Key="map/stuk")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert refused(client.delete_bucket, Bucket=bucket)[:2] == (409, "BucketNotEmpty")
    left = client.list_object_versions(Bucket=bucket)
    for found in [*left["Versions"], *left["DeleteMarkers"]]:
        client.delete_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
    client.delete_bucket(Bucket=bucket)
