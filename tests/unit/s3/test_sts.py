"""AssumeRoleWithWebIdentity as botocore sends and reads it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest

from hyok.errors import HyokError, Malformed, Refused
from hyok.s3 import sts
from hyok.s3.request import S3Request

MODEL: Any = botocore.session.get_session().get_service_model("sts")
OPERATION: Any = MODEL.operation_model("AssumeRoleWithWebIdentity")
FORM = [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")]
GOOD = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": "arn:hyok:iam::zaken:role/app",
    "RoleSessionName": "pod-1",
    "WebIdentityToken": "aaaa.bbbb.cccc",
}


def parse(fields: dict[str, str], query: str = "") -> sts.RoleAsked:
    request = S3Request("POST", b"/", query.encode(), FORM)
    return sts.parse_request(request, urlencode(fields).encode())


def as_botocore_reads(body: bytes, status: int = 200) -> dict[str, Any]:
    parser = botocore.parsers.create_parser("query")
    answer = {"body": body, "headers": {}, "status_code": status}
    parsed: dict[str, Any] = parser.parse(answer, OPERATION.output_shape)
    return parsed


def test_what_the_sdk_sends_is_read() -> None:
    serializer = botocore.serialize.create_serializer("query")
    sent = serializer.serialize_to_request(
        {
            "RoleArn": GOOD["RoleArn"],
            "RoleSessionName": "pod-1",
            "WebIdentityToken": "aaaa.bbbb+cc=c",
            "DurationSeconds": 900,
        },
        OPERATION,
    )
    headers = [(n.lower().encode(), v.encode()) for n, v in sent["headers"].items()]
    request = S3Request(sent["method"], b"/", b"", headers)
    assert sts.is_for_sts(request)
    asked = sts.parse_request(request, urlencode(sent["body"]).encode())
    assert asked == sts.RoleAsked(GOOD["RoleArn"], "pod-1", "aaaa.bbbb+cc=c", 900)
    assert "bbbb" not in repr(asked)


def test_parameters_may_stand_in_the_query() -> None:
    request = S3Request("GET", b"/", urlencode(GOOD).encode(), [])
    assert sts.is_for_sts(request)
    assert sts.parse_request(request, b"").duration_s == 3600


@pytest.mark.parametrize(
    ("method", "target", "headers", "expected"),
    [
        ("POST", b"/", FORM, True),
        ("POST", b"/?Action=x", [], True),
        ("GET", b"/?Action=x", [], True),
        ("GET", b"/", [], False),
        ("POST", b"/b", FORM, False),
        ("POST", b"/", [(b"content-type", b"application/xml")], False),
        ("PUT", b"/", FORM, False),
    ],
)
def test_which_requests_are_for_it(
    method: str, target: bytes, headers: list[tuple[bytes, bytes]], expected: bool
) -> None:
    assert sts.is_for_sts(S3Request.of_target(method, target, headers)) is expected


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"Action": ""}, Malformed, "MissingAction"),
        ({"Action": "GetCallerIdentity"}, Refused, "InvalidAction"),
        ({"Version": "2010-01-01"}, Refused, "InvalidAction"),
        ({"RoleArn": "short"}, Malformed, "ValidationError"),
        ({"RoleArn": "arn:hyok:iam::zaken:role/a b"}, Malformed, "ValidationError"),
        ({"RoleSessionName": "a"}, Malformed, "ValidationError"),
        ({"RoleSessionName": "a/b"}, Malformed, "ValidationError"),
        ({"WebIdentityToken": "abc"}, Malformed, "ValidationError"),
        ({"WebIdentityToken": "a" * 20_001}, Malformed, "ValidationError"),
        ({"WebIdentityToken": "secret token"}, Malformed, "ValidationError"),
        ({"DurationSeconds": "899"}, Malformed, "ValidationError"),
        ({"DurationSeconds": "43201"}, Malformed, "ValidationError"),
        ({"DurationSeconds": "-1"}, Malformed, "ValidationError"),
        ({"DurationSeconds": ""}, Malformed, "ValidationError"),
        ({"Policy": "{}"}, Refused, "NotImplemented"),
        ({"PolicyArns.member.1.arn": "x"}, Refused, "NotImplemented"),
    ],
)
def test_what_is_wrong_is_said_without_the_token(
    change: dict[str, str], kind: type[HyokError], reason: str
) -> None:
    with pytest.raises(kind) as refusal:
        parse(GOOD | change)
    assert refusal.value.reason == reason
    assert refusal.value.reason in sts.CODES
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "body",
    [b"Action", b"a=1&a=2", b"\xff=1", b"a=%ff", b"a=1&" * 65, b"a=" + b"1" * (64 << 10)],
)
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        sts.parse_request(S3Request("POST", b"/", b"", FORM), body)
    assert refusal.value.reason == "MalformedInput"


def test_a_parameter_in_query_and_form_is_refused() -> None:
    with pytest.raises(Malformed) as refusal:
        parse(GOOD, "RoleArn=arn:hyok:iam::other:role/app")
    assert refusal.value.reason == "MalformedInput"


def test_the_answer_is_what_the_sdk_reads() -> None:
    credentials = sts.SessionCredentials("HYOKTMP", "s3cr3t", "t<oken", 1_795_521_600_000)
    assert "s3cr3t" not in repr(credentials)
    body = sts.render(
        credentials, asked=parse(GOOD), role_id="app", subject="system:serviceaccount:a:b",
        audience="hyok", issuer="https://issuer", request_id="r",
    )  # fmt: skip
    read = as_botocore_reads(body)
    assert read["Credentials"]["AccessKeyId"] == "HYOKTMP"
    assert read["Credentials"]["SecretAccessKey"] == "s3cr3t"
    assert read["Credentials"]["SessionToken"] == "t<oken"
    assert read["Credentials"]["Expiration"].isoformat() == "2026-11-24T12:00:00+00:00"
    assert read["SubjectFromWebIdentityToken"] == "system:serviceaccount:a:b"
    assert (read["Audience"], read["Provider"]) == ("hyok", "https://issuer")
    assert read["AssumedRoleUser"] == {
        "Arn": f"{GOOD['RoleArn']}/pod-1",
        "AssumedRoleId": "app:pod-1",
    }
    assert read["ResponseMetadata"]["RequestId"] == "r"


def test_errors_are_what_the_sdk_reads() -> None:
    for code, status in sts.CODES.items():
        read = as_botocore_reads(sts.render_error(code, "no & no", "r"), status)
        assert read["Error"]["Code"] == code
        assert read["Error"]["Message"] == "no & no"
        assert read["Error"]["Type"] == ("Sender" if status < 500 else "Receiver")
