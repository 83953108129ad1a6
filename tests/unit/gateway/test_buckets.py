"""Buckets and listings through the door; and that every operation is answered on purpose."""

from __future__ import annotations

import pytest
import structlog.testing
from tests.unit.gateway.door import Door, FakeExchange

from hyok.errors import Refused
from hyok.gateway.handlers import TABLE
from hyok.s3.operations import OPERATIONS


def test_the_table_has_a_handler_for_what_is_served_and_for_nothing_else() -> None:
    assert set(TABLE) == {operation for operation, row in OPERATIONS.items() if row.served}


@pytest.mark.parametrize(
    ("line", "query", "name"),
    [
        ("PUT /bucket", [("notification", "")], "PutBucketNotificationConfiguration"),
        ("PUT /bucket", [("policy", "")], "PutBucketPolicy"),
        ("POST /bucket/k", [("select", ""), ("select-type", "2")], "SelectObjectContent"),
    ],
)
async def test_what_is_refused_is_refused_by_name(
    line: str, query: list[tuple[str, str]], name: str
) -> None:
    answer = await Door().send(line, query=query)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert name.encode() in answer.body


async def test_a_tenants_buckets_are_listed_and_no_others() -> None:
    answer = await Door().send("GET /")
    assert answer.headers["content-type"] == "application/xml"
    assert b"<Name>bucket</Name>" in answer.body
    assert b"theirs" not in answer.body


async def test_a_bucket_is_made_with_the_default_or_the_named_class() -> None:
    door = Door()
    answer = await door.send("PUT /new-bucket")
    assert (answer.status, answer.headers["location"]) == (200, "/new-bucket")
    assert door.keeper.wanted.classification == "onbekend"
    assert door.keeper.wanted.tenant == "ours"
    body = (
        b"<CreateBucketConfiguration><Tags><Tag><Key>classification</Key><Value>geheim</Value>"
        b"</Tag></Tags></CreateBucketConfiguration>"
    )
    assert (await door.send("PUT /other-bucket", body)).status == 200
    assert door.keeper.wanted.classification == "geheim"
    assert (await door.send("PUT /bucket")).code == "BucketAlreadyOwnedByYou"
    assert (await door.send("PUT /Bad")).code == "InvalidBucketName"
    there = body.replace(b"<Tags>", b"<LocationConstraint>mars</LocationConstraint><Tags>")
    assert (await door.send("PUT /more-bucket", there)).code == "InvalidLocationConstraint"


async def test_a_bucket_can_be_asked_for_and_removed() -> None:
    door = Door()
    answer = await door.send("HEAD /bucket")
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (200, "us-east-1")
    assert (await door.send("HEAD /absent")).status == 404
    answer = await door.send("GET /bucket", query=[("location", "")])
    assert b"LocationConstraint" in answer.body
    assert (await door.send("DELETE /bucket")).status == 204
    assert (await door.send("HEAD /bucket")).status == 404
    door.vault.custodian.refuse = Refused("no")
    assert (await door.send("HEAD /second")).status == 403


async def test_listings_have_plaintext_sizes_and_pages() -> None:
    door = Door()
    for key in ("a", "b c", "d"):
        await door.send(f"PUT /bucket/{key}", b"12345")
    first = await door.send(
        "GET /bucket",
        query=[("list-type", "2"), ("max-keys", "2"), ("encoding-type", "url"), ("prefix", "")],
    )
    assert b"<Key>b%20c</Key>" in first.body
    assert b"<Size>5</Size>" in first.body
    assert b"<NextContinuationToken>b c</NextContinuationToken>" in first.body
    assert b"<KeyCount>2</KeyCount>" in first.body
    assert b"<Owner>" not in first.body
    rest = await door.send("GET /bucket", query=[("list-type", "2"), ("continuation-token", "b c")])
    assert b"<Key>d</Key>" in rest.body
    assert b"<IsTruncated>false" in rest.body
    one = await door.send("GET /bucket", query=[("max-keys", "1"), ("marker", "a")])
    assert b"<NextMarker>b c</NextMarker>" in one.body
    assert b"<Owner>" in one.body
    assert door.listings.asked["limit"] == 1


@pytest.mark.parametrize(
    "query",
    [
        [("max-keys", "-1")],
        [("max-keys", "x")],
        [("encoding-type", "base64")],
        [("list-type", "2"), ("continuation-token", "")],
        [("allow-unordered", "true"), ("delimiter", "/")],
        [("list-type", "2"), ("allow-unordered", "true"), ("delimiter", "/")],
    ],
)
async def test_nonsense_in_a_listing_is_refused(query: list[tuple[str, str]]) -> None:
    assert (await Door().send("GET /bucket", query=query)).code == "InvalidArgument"


async def test_a_bucket_may_stand_in_the_host() -> None:
    door = Door()
    await door.send("PUT /k", b"x", host="bucket.s3.example")
    assert door.vault.kept["bucket", "k"].plain == b"x"


async def test_the_log_has_one_line_per_request_and_no_name_of_an_object() -> None:
    door = Door()
    with structlog.testing.capture_logs() as lines:
        await door.send("PUT /bucket/bsn-123456782.pdf", b"x")
        await door.send("GET /bucket/bsn-absent.pdf")
    requests = [line for line in lines if line["event"] == "s3.request"]
    assert [line["operation"] for line in requests] == ["PutObject", "GetObject"]
    assert requests[0]["bucket"] == "bucket"
    assert requests[0]["classification"] == "intern"
    assert requests[1]["status"] == 404
    assert "bsn" not in repr(lines)


@pytest.mark.parametrize(("key", "error"), [("there", "client-gone"), ("absent", "NotFound")])
async def test_a_client_that_went_away_is_no_fault_of_ours(
    key: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door()
    await door.send("PUT /bucket/there", b"x")

    async def gone(*_args: object) -> None:
        raise ConnectionResetError("the client is gone")

    monkeypatch.setattr(FakeExchange, "respond", gone)
    with structlog.testing.capture_logs() as lines:
        answer = await door.send(f"HEAD /bucket/{key}")
    assert answer.aborted
    assert [(line["event"], line["error"]) for line in lines] == [("s3.request", error)]


@pytest.mark.parametrize(
    ("line", "query", "action"),
    [
        ("PUT /bucket/k", [], "object:put"),
        ("GET /bucket/k", [], "object:get"),
        ("HEAD /bucket/k", [], "object:head"),
        ("DELETE /bucket/k", [], "object:delete"),
    ],
)
async def test_the_policy_is_asked_about_the_action_of_the_table(
    line: str, query: list[tuple[str, str]], action: str
) -> None:
    door = Door()
    await door.send(line, query=query)
    assert [ask.action for ask in door.vault.asks] == [action]
