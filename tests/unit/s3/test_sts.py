"""The one operation of STS is read strictly and answered so that SDKs understand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import urlencode

import botocore.parsers
import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.s3 import sts

GOOD = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": "arn:hyok:iam::gemeente:role/zaaksysteem",
    "RoleSessionName": "pod-1",
    "WebIdentityToken": "a.b.c",
}


def parsed(**changes: str | None) -> sts.AssumeAsked:
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return sts.parse_assume(sts.parse_form(urlencode(fields).encode()))


def test_a_form_as_boto3_sends_it_is_read() -> None:
    asked = parsed(DurationSeconds="900")
    assert asked.role == sts.RoleAsked("gemeente", "zaaksysteem")
    assert (asked.session_name, asked.token, asked.duration_seconds) == ("pod-1", "a.b.c", 900)
    assert parsed().duration_seconds is None
    assert "a.b.c" not in repr(asked)


def test_the_plain_form_of_an_arn_names_no_tenant() -> None:
    assert parsed(RoleArn="arn:aws:iam::000000000000:role/app").role == sts.RoleAsked("", "app")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Action": None}, "InvalidAction"),
        ({"Action": "AssumeRole"}, "InvalidAction"),
        ({"Action": "GetCallerIdentity"}, "InvalidAction"),
        ({"Version": None}, "InvalidAction"),
        ({"Version": "2010-05-08"}, "InvalidAction"),
        ({"RoleArn": None}, "ValidationError"),
        ({"RoleArn": "zaaksysteem"}, "ValidationError"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/zaaksysteem"}, "ValidationError"),
        ({"RoleArn": "arn:hyok:iam::gemeente:user/zaaksysteem"}, "ValidationError"),
        ({"RoleArn": "arn:hyok:iam::gemeente:role/a/b"}, "ValidationError"),
        ({"RoleArn": "arn:hyok:iam::gemeente:role/a\n"}, "ValidationError"),
        ({"RoleSessionName": None}, "ValidationError"),
        ({"RoleSessionName": "a"}, "ValidationError"),
        ({"RoleSessionName": "a" * 65}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"RoleSessionName": "naam\n"}, "ValidationError"),
        ({"WebIdentityToken": None}, "ValidationError"),
        ({"WebIdentityToken": "a" * 20_001}, "ValidationError"),
        ({"DurationSeconds": "899"}, "ValidationError"),
        ({"DurationSeconds": "43201"}, "ValidationError"),
        ({"DurationSeconds": "-900"}, "ValidationError"),
        ({"DurationSeconds": "1e3"}, "ValidationError"),
        ({"DurationSeconds": "٩٠٠"}, "ValidationError"),
        ({"Policy": "{}"}, "ValidationError"),
        ({"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/X"}, "ValidationError"),
        ({"ProviderId": "www.amazon.com"}, "ValidationError"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parsed(**changes)
    assert caught.value.reason == reason


@pytest.mark.parametrize("raw", [b"a=1&a=2", b"a=%zz", b"a=%ff", b"&".join([b"a"] * 33)])
def test_a_form_that_reads_two_ways_or_none_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        sts.parse_form(raw)
    assert caught.value.reason == "ValidationError"


@given(st.binary(max_size=300))
def test_any_form_is_read_or_refused(raw: bytes) -> None:
    try:
        sts.parse_assume(sts.parse_form(raw))
    except Malformed as error:
        assert error.reason in sts.CODES


@pytest.mark.parametrize(
    ("content_type", "query", "ours"),
    [
        ("application/x-www-form-urlencoded; charset=utf-8", b"", True),
        ("Application/X-WWW-Form-Urlencoded", b"", True),
        ("", b"Action=AssumeRoleWithWebIdentity", True),
        ("", b"Version=2011-06-15&Action=x", True),
        ("", b"", False),
        ("", b"NoAction=1", False),
        ("multipart/form-data; boundary=x", b"", False),
        ("application/xml", b"delete", False),
    ],
)
def test_a_request_for_sts_is_known_by_its_form(
    content_type: str, query: bytes, *, ours: bool
) -> None:
    assert sts.is_ours(content_type, query) is ours


def test_botocore_reads_the_answer() -> None:
    assumed = sts.Assumed(
        access_key="ASIA" + "A" * 16,
        secret="s<&>",
        session_token="t",
        expires_ms=1_800_000_000_500,
        role_arn="arn:hyok:sts::gemeente:assumed-role/app",
        session_name="pod-1",
        subject='a&b"<c>',
        audience="https://hyok.example",
        issuer="https://issuer.example",
    )
    document = sts.render_assumed(assumed, "REQ")
    model = botocore.session.get_session().get_service_model("sts")
    shape = model.operation_model(sts.OPERATION).output_shape
    reader = botocore.parsers.create_parser("query")
    read = reader.parse({"status_code": 200, "headers": {}, "body": document}, shape)
    held = read["Credentials"]
    assert (held["AccessKeyId"], held["SecretAccessKey"], held["SessionToken"]) == (
        assumed.access_key,
        assumed.secret,
        "t",
    )
    assert int(held["Expiration"].timestamp()) == 1_800_000_000
    assert read["SubjectFromWebIdentityToken"] == assumed.subject
    assert read["AssumedRoleUser"]["Arn"].endswith("assumed-role/app/pod-1")
    assert read["ResponseMetadata"]["RequestId"] == "REQ"
    assert assumed.secret not in repr(assumed)


@pytest.mark.parametrize("code", sorted(sts.CODES))
def test_botocore_reads_every_error(code: str) -> None:
    document = sts.render_error(code, "a <sentence>", "REQ")
    ET.fromstring(document)
    reader = botocore.parsers.create_parser("query")
    shape = botocore.session.get_session().get_service_model("sts")
    read = reader.parse(
        {"status_code": sts.CODES[code], "headers": {}, "body": document},
        shape.operation_model(sts.OPERATION).output_shape,
    )
    assert read["Error"]["Code"] == code
    assert read["Error"]["Message"] == "a <sentence>"
    assert read["Error"]["Type"] == ("Receiver" if sts.CODES[code] >= 500 else "Sender")


def test_codes_that_sdks_have_a_class_for_are_spelt_as_they_expect() -> None:
    shapes = botocore.session.get_session().get_service_model("sts").error_shapes
    known = {shape.metadata["error"]["code"] for shape in shapes}
    assert {"InvalidIdentityToken", "ExpiredTokenException", "IDPCommunicationError"} <= known
