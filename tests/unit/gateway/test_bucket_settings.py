"""Settings of a bucket through the door: kept ones, fixed ones, and who is let in unsigned."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.gateway.door import Answer, Door

from hyok.errors import Refused
from hyok.vocabulary import ClassificationName

RULES = b"""<CORSConfiguration>
<CORSRule><AllowedOrigin>https://*.gemeente.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod>
<AllowedMethod>PUT</AllowedMethod><AllowedHeader>content-type</AllowedHeader>
<ExposeHeader>etag</ExposeHeader><MaxAgeSeconds>600</MaxAgeSeconds></CORSRule></CORSConfiguration>"""
HERE = "https://www.gemeente.example"
TAGS = b"<Tagging><TagSet><Tag><Key>%b</Key><Value>%b</Value></Tag></TagSet></Tagging>"


async def asked(door: Door, line: str, what: str, body: bytes = b"") -> Answer:
    return await door.send(line, body, query=[(what, "")])


async def test_cors_rules_are_kept_told_and_forgotten() -> None:
    door = Door()
    assert (await asked(door, "GET /bucket", "cors")).code == "NoSuchCORSConfiguration"
    assert (await asked(door, "PUT /bucket", "cors", RULES)).status == 200
    told = await asked(door, "GET /bucket", "cors")
    assert told.status == 200
    assert b"<AllowedOrigin>https://*.gemeente.example</AllowedOrigin>" in told.body
    assert (await asked(door, "DELETE /bucket", "cors")).status == 204
    assert door.keeper.asked == ["bucket:configure"] * 2
    assert (await asked(door, "GET /bucket", "cors")).code == "NoSuchCORSConfiguration"


async def test_rules_that_s3_does_not_allow_are_not_kept() -> None:
    door = Door()
    bad = RULES.replace(b"<AllowedMethod>GET", b"<AllowedMethod>PATCH")
    assert (await asked(door, "PUT /bucket", "cors", bad)).code == "InvalidRequest"
    assert (await asked(door, "PUT /bucket", "cors")).code == "MissingRequestBodyError"
    assert (await asked(door, "GET /bucket", "cors")).code == "NoSuchCORSConfiguration"


@pytest.mark.parametrize("path", ["/bucket/a", "/bucket"])
async def test_a_browser_asks_first_and_needs_no_credentials_for_that(path: str) -> None:
    door = Door()
    await asked(door, "PUT /bucket", "cors", RULES)
    told = await door.send(
        f"OPTIONS {path}",
        signed=False,
        origin=HERE,
        access_control_request_method="PUT",
        access_control_request_headers="Content-Type",
    )
    assert told.status == 200
    assert told.headers["access-control-allow-origin"] == HERE
    assert told.headers["access-control-allow-headers"] == "content-type"
    assert told.headers["access-control-max-age"] == "600"
    elsewhere = await door.send(
        f"OPTIONS {path}",
        signed=False,
        origin="https://elders.example",
        access_control_request_method="PUT",
    )
    assert elsewhere.code == "AccessForbidden"
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_the_answer_itself_tells_the_browser_errors_and_unsigned_ones_included() -> None:
    door = Door()
    await asked(door, "PUT /bucket", "cors", RULES)
    assert (await door.send("PUT /bucket/a", b"1", origin=HERE)).status == 200
    for answer, status in (
        (await door.send("GET /bucket/a", origin=HERE), 200),
        (await door.send("GET /bucket/niets", origin=HERE), 404),
        (await door.send("GET /bucket/a", signed=False, origin=HERE), 403),
    ):
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == HERE
        assert answer.headers["access-control-expose-headers"] == "etag"
    other = await door.send("GET /bucket/a", origin="https://elders.example")
    assert other.status == 200
    assert "access-control-allow-origin" not in other.headers


async def test_tags_are_kept_and_a_label_among_them_changes_no_classification() -> None:
    door = Door()
    assert (await asked(door, "GET /bucket", "tagging")).code == "NoSuchTagSet"
    assert (await asked(door, "PUT /bucket", "tagging", TAGS % (b"team", b"zorg"))).status == 204
    assert b"<Value>zorg</Value>" in (await asked(door, "GET /bucket", "tagging")).body
    same = TAGS % (b"classification", b"intern")
    assert (await asked(door, "PUT /bucket", "tagging", same)).status == 204
    for label, code in ((b"openbaar", "AccessDenied"), (b"onzin", "InvalidArgument")):
        other = TAGS % (b"classification", label)
        assert (await asked(door, "PUT /bucket", "tagging", other)).code == code
    assert b"intern" in (await asked(door, "GET /bucket", "tagging")).body
    assert (await asked(door, "DELETE /bucket", "tagging")).status == 204
    assert (await asked(door, "GET /bucket", "tagging")).code == "NoSuchTagSet"


@pytest.mark.parametrize(
    ("what", "held"),
    [
        ("acl", b"<Permission>FULL_CONTROL</Permission>"),
        ("ownershipControls", b"BucketOwnerEnforced"),
        ("requestPayment", b"<Payer>BucketOwner</Payer>"),
        ("encryption", b"<SSEAlgorithm>aws:kms</SSEAlgorithm>"),
        ("policyStatus", b"<IsPublic>false</IsPublic>"),
        ("publicAccessBlock", b"<BlockPublicAcls>true</BlockPublicAcls>"),
    ],
)
async def test_what_has_one_value_is_told(what: str, held: bytes) -> None:
    answer = await asked(Door(), "GET /bucket", what)
    assert answer.status == 200
    assert held in answer.body


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
    ],
)
async def test_what_no_bucket_has_is_told_as_absent(what: str, code: str) -> None:
    assert (await asked(Door(), "GET /bucket", what)).code == code


async def test_an_acl_that_grants_nobody_anything_is_accepted_and_no_other() -> None:
    door = Door()
    await door.send("PUT /bucket/a", b"1")
    for line in ("PUT /bucket", "PUT /bucket/a"):
        assert (await door.send(line, query=[("acl", "")], x_amz_acl="private")).status == 200
        granted = await door.send(line, query=[("acl", "")], x_amz_acl="public-read")
        assert granted.code == "AccessControlListNotSupported"
        full = await door.send(line, query=[("acl", "")], x_amz_grant_full_control='id="iemand"')
        assert full.code == "AccessControlListNotSupported"
    told = await asked(door, "GET /bucket/a", "acl")
    assert b"<ID>ours</ID>" in told.body
    assert (await asked(door, "GET /bucket/niets", "acl")).code == "NoSuchKey"


@pytest.mark.parametrize(
    ("default", "status", "code"),
    [
        ("<SSEAlgorithm>AES256</SSEAlgorithm>", 200, ""),
        ("<SSEAlgorithm>aws:kms</SSEAlgorithm>", 200, ""),
        (
            "<SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID>",
            403,
            "AccessDenied",
        ),
        ("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>", 501, "NotImplemented"),
        ("<SSEAlgorithm>rot13</SSEAlgorithm>", 400, "MalformedXML"),
    ],
)
async def test_encryption_that_is_so_already_is_accepted_and_a_key_is_not_chosen(
    default: str, status: int, code: str
) -> None:
    door = Door()
    inner = f"<ApplyServerSideEncryptionByDefault>{default}</ApplyServerSideEncryptionByDefault>"
    root = "ServerSideEncryptionConfiguration"
    body = f"<{root}><Rule>{inner}</Rule></{root}>".encode()
    before = (await asked(door, "GET /bucket", "encryption")).body
    answer = await door.send("PUT /bucket", body, query=[("encryption", "")])
    assert (answer.status, answer.code) == (status, code)
    assert (await asked(door, "DELETE /bucket", "encryption")).status == 204
    assert (await asked(door, "GET /bucket", "encryption")).body == before
    assert [ask.action for ask in door.vault.custodian.decided].count("bucket:configure") == (
        2 if status == 200 else 1
    )


async def test_who_may_not_list_is_told_no_setting() -> None:
    door = Door(buckets=frozenset({"second"}))
    for what in ("cors", "tagging", "acl", "encryption", "publicAccessBlock"):
        assert (await asked(door, "GET /bucket", what)).code == "AccessDenied"


def public_door() -> Door:
    door = Door()
    bucket = door.registry.buckets["bucket"]
    door.registry.buckets["bucket"] = replace(
        bucket, classification=ClassificationName("openbaar"), public=True
    )
    return door


async def test_a_public_bucket_is_read_without_credentials_and_only_read() -> None:
    door = public_door()
    await door.send("PUT /bucket/a", b"voor iedereen")
    got = await door.send("GET /bucket/a", signed=False)
    assert (got.status, got.body) == (200, b"voor iedereen")
    assert door.vault.asks[-1].principal.kind == "anonymous"
    assert (await door.send("HEAD /bucket/a", signed=False)).status == 200
    for line in ("PUT /bucket/b", "DELETE /bucket/a", "GET /bucket", "PUT /bucket", "GET /"):
        answer = await door.send(line, b"x" if line == "PUT /bucket/b" else b"", signed=False)
        assert (answer.status, answer.code) == (403, "AccessDenied"), line
    chosen = await door.send(
        "GET /bucket/a", query=[("response-content-type", "text/html")], signed=False
    )
    assert chosen.code == "InvalidRequest"


async def test_other_buckets_are_not_read_without_credentials() -> None:
    door = Door()
    await door.send("PUT /bucket/a", b"1")
    assert (await door.send("GET /bucket/a", signed=False)).code == "AccessDenied"


@pytest.mark.parametrize(
    ("what", "root"),
    [
        ("accelerate", b"<AccelerateConfiguration "),
        ("logging", b"<BucketLoggingStatus "),
        ("notification", b"<NotificationConfiguration "),
    ],
)
async def test_what_nobody_could_set_is_told_as_never_set(what: str, root: bytes) -> None:
    door = Door()
    told = await asked(door, "GET /bucket", what)
    assert (told.status, told.headers["content-type"]) == (200, "application/xml")
    assert root in told.body
    assert (await asked(door, "PUT /bucket", what, b"<x/>")).status == 501


@pytest.mark.parametrize("what", ["analytics", "intelligent-tiering", "inventory", "metrics"])
async def test_lists_of_configurations_are_empty(what: str) -> None:
    door = Door()
    told = await asked(door, "GET /bucket", what)
    assert told.status == 200
    assert b"<IsTruncated>false</IsTruncated>" in told.body
    for method in ("GET", "DELETE"):
        one = await door.send(f"{method} /bucket", query=[(what, ""), ("id", "x")])
        assert (one.status, one.code) == (404, "NoSuchConfiguration")
    put = await door.send("PUT /bucket", b"<x/>", query=[(what, ""), ("id", "x")])
    assert (put.status, put.code) == (501, "NotImplemented")


async def test_a_bucket_has_no_policy_of_its_own_to_tell_or_to_take_away() -> None:
    door = Door()
    told = await asked(door, "GET /bucket", "policy")
    assert (told.status, told.code) == (404, "NoSuchBucketPolicy")
    for what in ("policy", "replication", "website"):
        assert (await asked(door, "DELETE /bucket", what)).status == 204


async def test_who_may_not_see_a_bucket_is_told_no_setting() -> None:
    door = Door()
    door.vault.custodian.refuse = Refused("no", reason="AccessDenied")
    for what in ("policy", "logging", "inventory"):
        assert (await asked(door, "GET /bucket", what)).status == 403


async def test_an_object_that_is_in_no_archive_cannot_be_restored() -> None:
    door = Door()
    await door.send("PUT /bucket/k", b"x")
    body = b"<RestoreRequest><Days>1</Days></RestoreRequest>"
    told = await door.send("POST /bucket/k", body, query=[("restore", "")])
    assert (told.status, told.code) == (403, "InvalidObjectState")
    gone = await door.send("POST /bucket/none", body, query=[("restore", "")])
    assert (gone.status, gone.code) == (404, "NoSuchKey")
    bad = await door.send("POST /bucket/k", b"<Restore/>", query=[("restore", "")])
    assert (bad.status, bad.code) == (400, "MalformedXML")
