"""Settings with one value: botocore reads them, and only what is so already may be asked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.s3.wire import as_botocore_reads, as_botocore_writes

from hyok.errors import HyokError, Malformed, Refused
from hyok.s3 import ownership


def acl(*grants: dict[str, Any], owner: str = "me") -> bytes:
    policy: dict[str, Any] = {"Owner": {"ID": owner}, "Grants": list(grants)}
    return as_botocore_writes("PutBucketAcl", Bucket="b", AccessControlPolicy=policy)


def grant(identity: str, permission: str = "FULL_CONTROL") -> dict[str, Any]:
    return {"Grantee": {"Type": "CanonicalUser", "ID": identity}, "Permission": permission}


EVERYBODY = {
    "Grantee": {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"},
    "Permission": "READ",
}


@pytest.mark.parametrize("operation", ["GetBucketAcl", "GetObjectAcl"])
def test_an_acl_gives_the_owner_full_control(operation: str) -> None:
    read = as_botocore_reads(operation, ownership.render_acl("a&b"))
    assert read["Owner"]["ID"] == "a&b"
    assert len(read["Grants"]) == 1
    only = read["Grants"][0]
    assert only["Permission"] == "FULL_CONTROL"
    assert (only["Grantee"]["Type"], only["Grantee"]["ID"]) == ("CanonicalUser", "a&b")


def test_the_acl_that_is_told_may_be_put_back() -> None:
    ownership.check_acl_document(ownership.render_acl("me"), "me")
    ownership.check_acl_document(acl(grant("me")), "me")
    ownership.check_acl_document(b"", "me")


@pytest.mark.parametrize(
    "body",
    [
        acl(),
        acl(grant("me", "READ")),
        acl(grant("other")),
        acl(grant("me"), grant("other")),
        acl(grant("me"), EVERYBODY),
        acl(EVERYBODY),
    ],
)
def test_a_grant_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        ownership.check_acl_document(body, "me")
    assert refusal.value.reason == "AccessControlListNotSupported"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, ""),
        ({"x-amz-acl": "private"}, ""),
        ({"x-amz-acl": "bucket-owner-full-control"}, ""),
        ({"x-amz-acl": "public-read"}, "AccessControlListNotSupported"),
        ({"x-amz-acl": "authenticated-read"}, "AccessControlListNotSupported"),
        ({"x-amz-acl": "bucket-owner-read"}, "AccessControlListNotSupported"),
        ({"x-amz-acl": "Private"}, "InvalidArgument"),
        ({"x-amz-acl": ""}, "InvalidArgument"),
        ({"x-amz-grant-read": "id=x"}, "AccessControlListNotSupported"),
        (
            {"x-amz-acl": "private", "x-amz-grant-full-control": "id=x"},
            "AccessControlListNotSupported",
        ),
    ],
)
def test_acls_in_headers(headers: dict[str, str], reason: str) -> None:
    if not reason:
        ownership.check_acl_headers(headers.get)
        return
    with pytest.raises(Malformed) as refusal:
        ownership.check_acl_headers(headers.get)
    assert refusal.value.reason == reason


def test_ownership_controls() -> None:
    body = ownership.render_ownership_controls()
    told = {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}
    assert as_botocore_reads("GetBucketOwnershipControls", body) == told
    ownership.check_ownership_controls(
        as_botocore_writes("PutBucketOwnershipControls", Bucket="b", **told)
    )
    for wanted, kind in (
        ("ObjectWriter", Refused),
        ("BucketOwnerPreferred", Refused),
        ("x", Malformed),
    ):
        controls = {"Rules": [{"ObjectOwnership": wanted}]}
        sent = as_botocore_writes(
            "PutBucketOwnershipControls", Bucket="b", OwnershipControls=controls
        )
        with pytest.raises(kind):
            ownership.check_ownership_controls(sent)


def test_who_pays() -> None:
    body = ownership.render_request_payment()
    assert as_botocore_reads("GetBucketRequestPayment", body) == {"Payer": "BucketOwner"}
    kinds: list[tuple[str, type[HyokError] | None]] = [
        ("BucketOwner", None), ("Requester", Refused), ("x", Malformed),
    ]  # fmt: skip
    for payer, kind in kinds:
        sent = as_botocore_writes(
            "PutBucketRequestPayment", Bucket="b", RequestPaymentConfiguration={"Payer": payer}
        )
        if kind is None:
            ownership.check_request_payment(sent)
            continue
        with pytest.raises(kind):
            ownership.check_request_payment(sent)


def test_encryption_and_public_access_are_told() -> None:
    read = as_botocore_reads("GetBucketEncryption", ownership.render_encryption("kek-1"))
    rule = read["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": "kek-1",
    }
    for public in (False, True):
        status = as_botocore_reads(
            "GetBucketPolicyStatus", ownership.render_policy_status(public=public)
        )
        assert status == {"PolicyStatus": {"IsPublic": public}}
        block = as_botocore_reads(
            "GetPublicAccessBlock", ownership.render_public_access_block(public=public)
        )["PublicAccessBlockConfiguration"]
        assert block.pop("RestrictPublicBuckets") is not public
        assert list(block.values()) == [True] * 3


def test_the_ownership_that_a_new_bucket_asks_for() -> None:
    name = "x-amz-object-ownership"
    ownership.check_ownership_header({}.get)
    ownership.check_ownership_header({name: "BucketOwnerEnforced"}.get)
    for wanted, kind in (
        ("ObjectWriter", Refused),
        ("BucketOwnerPreferred", Refused),
        ("", Malformed),
    ):
        with pytest.raises(kind):
            ownership.check_ownership_header({name: wanted}.get)
