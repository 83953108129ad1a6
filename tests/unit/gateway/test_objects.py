"""Objects through the door: sizes, ranges, conditions and headers as the client must see them."""

from __future__ import annotations

import base64
from dataclasses import replace
from hashlib import md5
from xml.etree import ElementTree

import pytest
from tests.unit.gateway.door import NOW_MS, Answer, Door

from hyok.errors import Conflict, Refused, Unavailable
from hyok.s3.answers import NAMESPACE

LARGE = bytes(range(256)) * 6000
MODIFIED = "Tue, 24 Nov 2026 11:59:55 GMT"


async def door_with(body: bytes = b"0123456789", **headers: str) -> Door:
    door = Door()
    answer = await door.send("PUT /bucket/k", body, **headers)  # type: ignore[arg-type]
    assert answer.status == 200
    return door


async def test_what_was_put_comes_back_with_its_metadata() -> None:
    door = await door_with(
        content_type="text/plain",
        cache_control="no-cache",
        x_amz_meta_author="Jo",
        x_amz_tagging="a=1&b=2",
    )
    answer = await door.send("GET /bucket/k")
    assert (answer.status, answer.body) == (200, b"0123456789")
    headers = answer.headers
    assert headers["content-type"] == "text/plain"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-amz-meta-author"] == "Jo"
    assert headers["x-amz-tagging-count"] == "2"
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "kek-1"
    assert headers["etag"] == f'"{md5(b"0123456789").hexdigest()}-h"'
    assert headers["last-modified"] == MODIFIED
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-amz-request-id"] == "0" * 16
    assert headers["x-amz-id-2"]
    assert not any(name.startswith("x-amz-checksum") for name in headers)
    assert ("object:get", "done") in door.vault.custodian.concluded
    assert door.vault.opened[0].closed


async def test_what_stands_in_clear_at_the_store_is_marked_and_told_to_the_log() -> None:
    door = await door_with()
    kept = door.vault.kept["bucket", "k"]
    kept.facts = replace(kept.facts, sealed=False, kek_id="", object_id="")
    for method in ("GET", "HEAD"):
        headers = (await door.send(f"{method} /bucket/k")).headers
        assert headers["x-hyok-unsealed"] == "true"
        assert "x-amz-server-side-encryption" not in headers
    assert ("object:get", "unsealed") in door.vault.custodian.concluded


async def test_without_a_content_type_s3_has_one() -> None:
    door = await door_with()
    assert (await door.send("GET /bucket/k")).headers["content-type"] == "binary/octet-stream"


async def test_a_large_object_streams() -> None:
    door = await door_with(LARGE)
    answer = await door.send("GET /bucket/k")
    assert (answer.status, answer.body, answer.finished) == (200, LARGE, True)
    assert answer.headers["content-length"] == str(len(LARGE))
    assert answer.headers["x-amz-request-id"]


async def test_head_has_the_plaintext_size_and_no_body() -> None:
    door = await door_with(LARGE)
    answer = await door.send("HEAD /bucket/k")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(LARGE))


@pytest.mark.parametrize(
    ("header", "status", "body", "span"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=10-", 416, None, None),
    ],
)
async def test_ranges(header: str, status: int, body: bytes | None, span: str | None) -> None:
    door = await door_with()
    answer = await door.send("GET /bucket/k", range=header)
    assert answer.status == status
    if body is not None:
        assert answer.body == body
    assert answer.headers.get("content-range") == span
    head = await door.send("HEAD /bucket/k", range=header)
    assert head.status == status
    if body is not None:
        assert head.headers["content-length"] == str(len(body))
    assert head.body == b""


async def test_a_range_with_a_condition_of_its_own_gets_the_whole() -> None:
    door = await door_with()
    answer = await door.send("GET /bucket/k", range="bytes=0-1", if_range='"old"')
    assert (answer.status, answer.body) == (200, b"0123456789")


async def test_a_part_of_a_multipart_object() -> None:
    door = await door_with()
    for method in ("GET", "HEAD"):
        answer = await door.send(f"{method} /bucket/k", query=[("partNumber", "2")])
        assert answer.status == 206
        assert answer.headers["x-amz-mp-parts-count"] == "3"
        assert answer.headers["content-range"] == "bytes 2-4/10"
    both = await door.send("GET /bucket/k", query=[("partNumber", "2")], range="bytes=0-1")
    assert both.code == "InvalidRequest"


async def test_checksums_come_on_request_for_the_whole_only() -> None:
    door = await door_with(x_amz_checksum_crc32="poTHxg==")
    answer = await door.send("GET /bucket/k", x_amz_checksum_mode="ENABLED")
    assert answer.headers["x-amz-checksum-crc32"] == "poTHxg=="
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    answer = await door.send("GET /bucket/k", x_amz_checksum_mode="ENABLED", range="bytes=0-1")
    assert not any(name.startswith("x-amz-checksum") for name in answer.headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_match": "ETAG"}, 200),
        ({"if_match": '"other"'}, 412),
        ({"if_none_match": "ETAG"}, 304),
        ({"if_none_match": '"other"'}, 200),
        ({"if_modified_since": MODIFIED}, 304),
        ({"if_unmodified_since": "Tue, 24 Nov 2026 11:00:00 GMT"}, 412),
    ],
)
async def test_conditions(headers: dict[str, str], status: int) -> None:
    door = await door_with()
    etag = (await door.send("HEAD /bucket/k")).headers["etag"]
    asked = {name: value.replace("ETAG", etag) for name, value in headers.items()}
    for method in ("GET", "HEAD"):
        answer = await door.send(f"{method} /bucket/k", **asked)  # type: ignore[arg-type]
        assert answer.status == status
        if status == 304:
            assert answer.body == b""
            assert answer.headers["etag"] == etag
        if status == 412 and method == "GET":
            assert answer.code == "PreconditionFailed"


async def test_a_get_may_replace_headers_but_forge_none() -> None:
    door = await door_with()
    query = [
        ("response-content-type", "text/html"),
        ("response-content-disposition", "attachment"),
    ]
    answer = await door.send("GET /bucket/k", query=query)
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-disposition"] == "attachment"
    answer = await door.send("GET /bucket/k", query=[("response-content-type", "a\r\nx: y")])
    assert answer.code == "InvalidArgument"


async def test_a_put_is_conditional() -> None:
    door = await door_with()
    answer = await door.send("PUT /bucket/k", b"new", if_none_match="*")
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert door.vault.kept["bucket", "k"].plain == b"0123456789"


async def test_what_is_not_there() -> None:
    door = Door()
    answer = await door.send("GET /bucket/k&<")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    root = ElementTree.fromstring(answer.body)
    assert root.findtext("Resource") == "/bucket/k%26%3C"
    assert root.findtext("RequestId") == answer.headers["x-amz-request-id"]
    head = await door.send("HEAD /bucket/k")
    assert (head.status, head.body) == (404, b"")
    query = [("versionId", "abc")]
    await door.send("PUT /bucket/k", b"x")
    assert (await door.send("GET /bucket/k", query=query)).code == "NoSuchVersion"
    odd = [("versionId", "a\nb")]
    assert (await door.send("GET /bucket/k", query=odd)).code == "InvalidArgument"
    assert (await door.send("DELETE /bucket/k")).status == 204


# --- failures ------------------------------------------------------------------------------------


async def test_early_damage_is_an_honest_error() -> None:
    for body in (b"0123456789", LARGE):
        door = await door_with(body)
        door.vault.damage = 0
        answer = await door.send("GET /bucket/k")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert b"secret detail" not in answer.body
        assert not answer.aborted


async def test_late_damage_breaks_the_connection() -> None:
    door = await door_with(LARGE)
    door.vault.damage = 1000
    answer = await door.send("GET /bucket/k")
    assert answer.aborted
    assert not answer.finished
    assert ("object:get", "failed") in door.vault.custodian.concluded
    assert door.vault.opened[0].closed


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Unavailable("HSM away", code="HY-2103"), 503, "ServiceUnavailable"),
        (Refused("policy says no"), 403, "AccessDenied"),
        (Refused("key is disabled", reason="KMS.DisabledException"), 403, "KMS.DisabledException"),
        (Conflict("race", reason="ConditionalRequestConflict"), 409, "ConditionalRequestConflict"),
        (ZeroDivisionError("our bug"), 500, "InternalError"),
    ],
)
async def test_failures_are_told_as_s3_tells_them(
    failure: BaseException, status: int, code: str
) -> None:
    door = Door()
    door.vault.fail = failure
    answer = await door.send("PUT /bucket/k", b"x")
    assert (answer.status, answer.code) == (status, code)
    assert b"our bug" not in answer.body
    assert door.meter.seen == [("PutObject", status)]


async def test_a_wrong_region_says_the_right_one() -> None:
    door = Door()
    answer = await door.send(
        "GET /bucket/k",
        signed=False,
        x_amz_content_sha256="0" * 64,
        x_amz_date="20261124T120000Z",
        authorization=(
            "AWS4-HMAC-SHA256 Credential=HYOKTESTACCESSKEY/20261124/xx/s3/aws4_request,"
            "SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=" + "0" * 64
        ),
    )
    assert answer.code == "AuthorizationHeaderMalformed"
    assert b"<Region>us-east-1</Region>" in answer.body


# --- delete and copy -----------------------------------------------------------------------------


def delete_document(*keys: str, quiet: bool = False) -> bytes:
    rows = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
    return f"<Delete><Quiet>{str(quiet).lower()}</Quiet>{rows}</Delete>".encode()


async def delete_many(door: Door, document: bytes) -> Answer:
    digest = base64.b64encode(md5(document).digest()).decode()
    return await door.send("POST /bucket", document, query=[("delete", "")], content_md5=digest)


async def test_many_are_deleted_and_the_refused_are_named() -> None:
    door = await door_with()
    answer = await delete_many(door, delete_document("k", "absent", ".hyok/x"))
    assert answer.status == 200
    root = ElementTree.fromstring(answer.body)
    deleted = [e.text for e in root.findall(f"{{{NAMESPACE}}}Deleted/{{{NAMESPACE}}}Key")]
    assert deleted == ["k", "absent"]
    assert root.findtext(f"{{{NAMESPACE}}}Error/{{{NAMESPACE}}}Code") == "AccessDenied"
    assert not door.vault.kept
    assert [ask.key for ask in door.vault.asks if ask.action == "object:delete"] == ["k", "absent"]
    quiet = await delete_many(door, delete_document("a", quiet=True))
    assert b"<Deleted>" not in quiet.body


async def test_a_delete_of_many_needs_a_digest() -> None:
    answer = await Door().send("POST /bucket", delete_document("k"), query=[("delete", "")])
    assert answer.code == "InvalidRequest"
    assert not answer.body_was_read


async def test_a_copy_keeps_or_replaces_metadata() -> None:
    door = await door_with(x_amz_meta_a="1", x_amz_tagging="t=1", content_type="text/plain")
    answer = await door.send("PUT /second/copy", x_amz_copy_source="/bucket/k")
    assert answer.status == 200
    assert b"<CopyObjectResult" in answer.body
    kept = door.vault.kept["second", "copy"]
    assert kept.plain == b"0123456789"
    assert kept.facts.user_metadata == {"a": "1"}
    assert kept.facts.tags == {"t": "1"}
    assert kept.facts.headers["content-type"] == "text/plain"
    await door.send(
        "PUT /second/other",
        x_amz_copy_source="bucket/k",
        x_amz_metadata_directive="REPLACE",
        x_amz_tagging_directive="REPLACE",
        x_amz_meta_b="2",
    )
    kept = door.vault.kept["second", "other"]
    assert (kept.facts.user_metadata, kept.facts.tags) == ({"b": "2"}, {})


async def test_a_copy_may_name_the_key_it_gets_and_no_other() -> None:
    door, name = await door_with(), "x_amz_server_side_encryption_aws_kms_key_id"
    for key, status in (("ours/intern/1", 200), ("ours/geheim/1", 403)):
        more = {
            "x_amz_copy_source": "bucket/k",
            "x_amz_server_side_encryption": "aws:kms",
            name: key,
        }
        answer = await door.send("PUT /bucket/c", **more)  # type: ignore[arg-type]
        assert answer.status == status, key


async def test_an_upload_may_name_the_key_it_gets_and_no_other() -> None:
    door, name = Door(), "x_amz_server_side_encryption_aws_kms_key_id"
    for key, status in (("ours/intern/1", 200), ("ours/geheim/1", 403)):
        more = {"x_amz_server_side_encryption": "aws:kms", name: key}
        answer = await door.send("POST /bucket/k", query=[("uploads", "")], **more)  # type: ignore[arg-type]
        assert answer.status == status, key


async def test_a_copy_is_never_less_than_its_source() -> None:
    door = await door_with(x_amz_tagging="classification=geheim")
    await door.send(
        "PUT /second/copy",
        x_amz_copy_source="bucket/k",
        x_amz_tagging_directive="REPLACE",
    )
    asks = [ask for ask in door.vault.asks if ask.action == "object:put"]
    assert asks[-1].classification == "geheim"
    sources = [ask for ask in door.vault.asks if ask.action == "object:get"]
    assert sources
    assert all(ask.bucket and ask.bucket.bucket_id == "bucket" for ask in sources)


@pytest.mark.parametrize(
    ("line", "headers", "code"),
    [
        ("PUT /bucket/k", {"x_amz_copy_source": "bucket/k"}, "InvalidRequest"),
        ("PUT /bucket/c", {"x_amz_copy_source": "theirs/k"}, "AccessDenied"),
        ("PUT /bucket/c", {"x_amz_copy_source": "bucket/.hyok/k"}, "AccessDenied"),
        ("PUT /bucket/c", {"x_amz_copy_source": "bucket/absent"}, "NoSuchKey"),
        ("PUT /bucket/c", {"x_amz_copy_source": "bucket"}, "InvalidArgument"),
        (
            "PUT /bucket/c",
            {"x_amz_copy_source": "bucket/k", "x_amz_copy_source_if_match": '"x"'},
            "PreconditionFailed",
        ),
        (
            "PUT /bucket/c",
            {"x_amz_copy_source": "bucket/k", "x_amz_metadata_directive": "X"},
            "InvalidArgument",
        ),
    ],
)
async def test_copies_that_are_refused(line: str, headers: dict[str, str], code: str) -> None:
    door = await door_with()
    answer = await door.send(line, **headers)  # type: ignore[arg-type]
    assert answer.code == code


def test_the_clock_of_these_tests_is_the_one_in_the_headers() -> None:
    assert NOW_MS % 1000 == 0
