"""POST uploads: what boto3 signs passes, and whatever the policy does not say is refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config

from hyok.errors import HyokError, Malformed, NotAuthenticated, Refused
from hyok.s3 import forms
from hyok.s3.form_policy import FormPolicy, check_fields, check_size, parse_policy
from hyok.sigv4.form import LIFE_MS_MAX, parse_form_credentials, verify_form

NOW = 1_795_521_600_000  # 2026-11-24T12:00:00Z
LATER = "2026-11-24T13:00:00Z"
REGIONS = ("us-east-1",)


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def policy(*conditions: object, expiration: str = LATER) -> FormPolicy:
    return parse_policy(encoded({"expiration": expiration, "conditions": list(conditions)}))


# --- what boto3 makes ----------------------------------------------------------------------------


def presigned(key: str, fields: dict[str, str], conditions: list[Any]) -> dict[str, str]:
    client = boto3.client(
        "s3", region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key="s3cr3t",
        aws_session_token="tok", endpoint_url="http://h:1", config=Config(signature_version="s3v4"),
    )  # fmt: skip
    made = client.generate_presigned_post("b", key, fields, conditions, ExpiresIn=600)
    return {name.lower(): value for name, value in made["fields"].items()}


def test_a_form_that_boto3_signed_passes_and_a_changed_one_does_not() -> None:
    fields = presigned(
        "u/${filename}",
        {"acl": "private", "Content-Type": "image/png", "x-amz-meta-zaak": "é"},
        [
            {"acl": "private"},
            ["starts-with", "$Content-Type", "image/"],
            ["content-length-range", 1, 10],
            {"x-amz-meta-zaak": "é"},
        ],
    )
    claim = parse_form_credentials(fields)
    assert claim is not None
    assert (claim.access_key, claim.session_token) == ("AK", "tok")
    verified = verify_form(claim, "s3cr3t", now_ms=claim.at_ms, regions=REGIONS)
    assert verified.access_key == "AK"
    expanded = forms.expand_fields(fields, filename="C:\\fotos\\a.png", bucket="b")
    rules = parse_policy(claim.policy)
    check_fields(rules, expanded, now_ms=claim.at_ms)
    upload = forms.read_upload(expanded)
    assert (upload.bucket, upload.key, upload.status) == ("b", "u/a.png", 204)
    assert upload.headers == {
        "content-type": "image/png", "x-amz-acl": "private", "x-amz-meta-zaak": "é",
    }  # fmt: skip
    assert forms.user_metadata(upload) == {"zaak": "é"}

    with pytest.raises(NotAuthenticated) as refusal:
        verify_form(claim, "other", now_ms=claim.at_ms, regions=REGIONS)
    assert refusal.value.reason == "SignatureDoesNotMatch"
    document = json.loads(base64.b64decode(claim.policy))
    document["conditions"] = []
    changed = parse_form_credentials({**fields, "policy": encoded(document)})
    assert changed is not None
    with pytest.raises(NotAuthenticated):
        verify_form(changed, "s3cr3t", now_ms=claim.at_ms, regions=REGIONS)
    for name, value in (
        ("acl", "public-read"), ("content-type", "text/html"), ("key", "v/a.png"),
        ("x-amz-meta-more", "x"), ("x-amz-storage-class", "STANDARD"), ("bucket", "c"),
    ):  # fmt: skip
        with pytest.raises(Refused):
            check_fields(rules, {**expanded, name: value}, now_ms=claim.at_ms)
    # The session token is under the policy too.
    with pytest.raises(Refused):
        check_fields(rules, {**expanded, "x-amz-security-token": "x"}, now_ms=claim.at_ms)


# --- the claim -----------------------------------------------------------------------------------

CLAIM = {
    "policy": "e30=",
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": "AK/20261124/us-east-1/s3/aws4_request",
    "x-amz-date": "20261124T120000Z",
    "x-amz-signature": "0" * 64,
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x-amz-signature": ""}, "InvalidArgument"),
        ({"policy": ""}, "InvalidArgument"),
        ({"x-amz-credential": "AK"}, "InvalidArgument"),
        ({"x-amz-date": "yesterday"}, "InvalidArgument"),
        ({"x-amz-signature": "0"}, "InvalidArgument"),
        ({"x-amz-algorithm": "MD5"}, "InvalidArgument"),
        ({"x-amz-algorithm": "AWS4-ECDSA-P256-SHA256"}, "NotImplemented"),
        ({"x-amz-security-token": "a b"}, "InvalidToken"),
        ({"awsaccesskeyid": "AK"}, "InvalidRequest"),
        ({"signature": "x"}, "InvalidRequest"),
    ],
)
def test_a_claim_that_is_none(change: dict[str, str], reason: str) -> None:
    with pytest.raises(HyokError) as refusal:
        parse_form_credentials({**CLAIM, **change})
    assert refusal.value.reason == reason


def test_a_form_without_policy_and_signature_claims_nothing() -> None:
    assert parse_form_credentials({"key": "k", "x-amz-meta-a": "b"}) is None


@pytest.mark.parametrize(
    ("change", "now_ms", "reason"),
    [
        ({}, NOW, "SignatureDoesNotMatch"),
        ({"x-amz-credential": "AK/20261124/mars/s3/aws4_request"}, NOW, "InvalidArgument"),
        ({"x-amz-credential": "AK/20261124/us-east-1/sts/aws4_request"}, NOW, "InvalidArgument"),
        ({"x-amz-credential": "AK/20261123/us-east-1/s3/aws4_request"}, NOW, "InvalidArgument"),
        ({}, NOW - 15 * 60_000 - 1, "AccessDenied"),
        ({}, NOW + LIFE_MS_MAX + 1, "AccessDenied"),
    ],
)
def test_a_claim_for_another_place_or_time(
    change: dict[str, str], now_ms: int, reason: str
) -> None:
    claim = parse_form_credentials({**CLAIM, **change})
    assert claim is not None
    with pytest.raises(HyokError) as refusal:
        verify_form(claim, "s3cr3t", now_ms=now_ms, regions=REGIONS)
    assert refusal.value.reason == reason


# --- the policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("!", "Base64"),
        (base64.b64encode(b"{").decode(), "JSON"),
        (base64.b64encode(b"\xff").decode(), "JSON"),
        (base64.b64encode(b"[" * 20_000).decode(), "JSON"),
        (encoded([]), "JSON"),
        (encoded({"conditions": []}), "missing expiration"),
        (encoded({"EXPIRATION": LATER, "conditions": []}), "missing expiration"),
        (encoded({"expiration": LATER}), "missing conditions"),
        (encoded({"expiration": LATER, "CONDITIONS": []}), "missing conditions"),
        (encoded({"expiration": "2026-11-24 13:00:00+00:00", "conditions": []}), "expiration"),
        (encoded({"expiration": 5, "conditions": []}), "expiration"),
        (encoded({"expiration": LATER, "conditions": {}}), "conditions"),
        (encoded({"expiration": LATER, "conditions": [{}] * 201}), "conditions"),
        (base64.b64encode(b'{"a":1,"a":2}').decode(), "JSON"),
    ],
)
def test_a_policy_that_is_none(text: str, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence) as refusal:
        parse_policy(text)
    assert refusal.value.reason == "InvalidPolicyDocument"


@pytest.mark.parametrize(
    "condition",
    [
        {}, {"a": "b", "c": "d"}, {"a": 1}, {"": "x"}, "x", [], ["eq", "$a"], ["eq", "a", "b"],
        ["eq", "$", "b"], ["eq", "$a", 1], ["like", "$a", "b"], [1, "$a", "b"],
        ["content-length-range", 0], ["content-length-range", -1, 5],
        ["content-length-range", "x", 5], ["content-length-range", True, 5],
        ["content-length-range", 1.5, 5], ["content-length-range", 1, 2**63],
    ],
)  # fmt: skip
def test_a_condition_that_is_none(condition: object) -> None:
    with pytest.raises(Malformed) as refusal:
        policy(condition)
    assert refusal.value.reason == "InvalidPolicyDocument"


@pytest.mark.parametrize(
    ("conditions", "fields", "sentence"),
    [
        ([{"bucket": "b"}, ["starts-with", "$key", ""]], {}, ""),
        ([{"BuCkEt": "b"}, ["StArTs-WiTh", "$KeY", "f"]], {}, ""),
        ([{"bucket": "b"}, ["eq", "$key", "foo"], {"acl": ""}], {}, ""),
        ([{"bucket": "b"}, {"key": "foo"}], {"x-ignore-me": "x", "x-amz-signature": "0"}, ""),
        ([{"bucket": "b"}], {}, "Extra input fields: key"),
        ([{"key": "foo"}], {}, "Extra input fields: bucket"),
        ([{"bucket": "c"}, {"key": "foo"}], {}, r'failed: \["eq", "\$bucket", "c"\]'),
        (
            [{"bucket": "b"}, ["starts-with", "$key", "u/"]],
            {},
            r'failed: \["starts-with", "\$key", "u/"\]',
        ),
        ([{"bucket": "b"}, {"key": "foo"}, {"x-amz-meta-a": "b"}], {}, "Condition failed"),
        ([{"bucket": "b"}, {"key": "Foo"}], {}, "Condition failed"),
        ([{"bucket": "b"}, {"key": "foo"}], {"x-amz-meta-a": "b"}, "Extra input fields"),
        ([{"bucket": "b"}, {"key": "foo"}], {"acl": "private"}, "Extra input fields: acl"),
        (
            [{"bucket": "b"}, {"key": "foo"}, ["starts-with", "$Content-Type", "image/"]],
            {"content-type": "image/png,image/gif"},
            "",
        ),
        (
            [{"bucket": "b"}, {"key": "foo"}, ["starts-with", "$Content-Type", "image/"]],
            {"content-type": "image/png,text/html"},
            "Condition failed",
        ),
    ],
)
def test_every_field_is_held_against_the_policy(
    conditions: list[object], fields: dict[str, str], sentence: str
) -> None:
    held = {"bucket": "b", "key": "foo", "policy": "p", **fields}
    if not sentence:
        check_fields(policy(*conditions), held, now_ms=NOW)
        return
    with pytest.raises(Refused, match=f"^Invalid according to Policy: .*{sentence}") as refusal:
        check_fields(policy(*conditions), held, now_ms=NOW)
    assert refusal.value.reason == "AccessDenied"


def test_a_policy_expires() -> None:
    rules = policy({"bucket": "b"}, {"key": "k"})
    fields = {"bucket": "b", "key": "k"}
    expires = int(datetime.fromisoformat(LATER).astimezone(UTC).timestamp() * 1000)
    check_fields(rules, fields, now_ms=expires)
    with pytest.raises(Refused, match="Policy expired"):
        check_fields(rules, fields, now_ms=expires + 1)


def test_the_file_has_bounds() -> None:
    rules = policy(["content-length-range", 2, 10], ["content-length-range", "0", "8"])
    check_size(rules, 2, complete=True)
    check_size(rules, 8, complete=True)
    check_size(rules, 0, complete=False)
    for size, complete, reason in ((9, False, "EntityTooLarge"), (1, True, "EntityTooSmall")):
        with pytest.raises(Malformed) as refusal:
            check_size(rules, size, complete=complete)
        assert refusal.value.reason == reason
    check_size(policy(), 2**40, complete=True)


# --- the object and the answer -------------------------------------------------------------------


def upload(**fields: str) -> forms.FormUpload:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    named = {name.replace("success-action-", "success_action_"): v for name, v in named.items()}
    return forms.read_upload(forms.expand_fields(named, filename="dir/n.txt", bucket="b"))


def test_the_key_takes_the_name_of_the_file() -> None:
    assert upload(key="a/${filename}/b/${filename}").key == "a/n.txt/b/n.txt"
    assert upload(key="plain").key == "plain"
    for fields in ({}, {"key": ""}, {"key": "k", "bucket": "other"}):
        with pytest.raises(Malformed) as refusal:
            upload(**fields)
        assert refusal.value.reason == "InvalidArgument"


def test_fields_become_headers_and_tags() -> None:
    made = upload(
        key="k",
        expires="never",
        x_amz_checksum_crc32="AAAA",
        x_amz_credential="AK",
        x_amz_signature="0",
        x_ignore_me="x",
        unknown="y",
        tagging="<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    )
    assert made.headers == {"expires": "never", "x-amz-checksum-crc32": "AAAA"}
    assert made.tags == {"a": "b"}
    for bad in ({"content_type": "a\r\nset-cookie: b"}, {"x_amz_meta_a b": "x"}, {"tagging": "x"}):
        with pytest.raises(Malformed):
            upload(key="k", **bad)


@pytest.mark.parametrize(
    ("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("500", 204), ("", 204)]
)
def test_the_status_that_was_asked_for(asked: str, status: int) -> None:
    made = forms.answer(
        upload(key="a b&c", success_action_status=asked), etag="e-h", address="http://h/b/a%20b"
    )
    assert made.status == status
    assert dict(made.headers)["etag"] == '"e-h"'
    assert dict(made.headers)["location"] == "http://h/b/a%20b"
    if status != 201:
        assert made.body == b""
        return
    root = ElementTree.fromstring(made.body)
    assert root.tag == "PostResponse"
    assert {child.tag: child.text for child in root} == {
        "Location": "http://h/b/a%20b", "Bucket": "b", "Key": "a b&c", "ETag": '"e-h"',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.example/done", "https://a.example/done?bucket=b&key=a%20b&etag=%22e-h%22"),
        ("https://a.example/d?x=1#f", "https://a.example/d?x=1&bucket=b&key=a%20b&etag=%22e-h%22#f"),
        ("javascript:alert(1)", None),
        ("//evil.example", None),
        ("https://a.example/\r\nset-cookie: x", None),
        ("https://[bad", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_redirect_wins_over_the_status(url: str, location: str | None) -> None:
    asked = upload(key="a b", success_action_redirect=url, success_action_status="201")
    made = forms.answer(asked, etag="e-h", address="http://h/b/a")
    assert made.status == (201 if location is None else 303)
    assert dict(made.headers)["location"] == (location or "http://h/b/a")
