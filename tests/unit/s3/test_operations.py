"""Every operation of S3 is known by name, recognised on the wire, and answered on purpose.

The list of operations and their wire form come from botocore's model of the service, so a new
operation of S3 fails this test until somebody decides about it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from hyok.errors import Malformed, Refused
from hyok.gateway.handlers import TABLE
from hyok.s3.operations import OPERATIONS, ROWS, Answer, Operation, check_served, identify
from hyok.s3.request import S3Request
from hyok.s3.table import render

# Older names of the same request on the wire.
SAME_WIRE = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}

SESSION = botocore.session.get_session()
MODEL: Any = SESSION.get_service_model("s3")


def on_the_wire(name: str) -> S3Request:
    """What botocore sends for this operation, with every required member filled."""
    client = SESSION.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://h:1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(
            s3={"addressing_style": "path"},
            signature_version=UNSIGNED,
            disable_request_compression=True,
        ),
    )
    operation = MODEL.operation_model(name)
    shape = operation.input_shape
    members: dict[str, Any] = {}
    for member in shape.required_members if shape else ():
        members[member] = filled(shape.members[member])
    if name == "ListDirectoryBuckets":
        members["MaxDirectoryBuckets"] = 5
    if name == "WriteGetObjectResponse":
        members["Body"] = b""
    caught: list[S3Request] = []

    def catch(request: Any, **_: object) -> Any:
        parts = urlsplit(request.url)
        headers = [
            (n.lower().encode(), v if isinstance(v, bytes) else str(v).encode())
            for n, v in request.headers.items()
        ]
        caught.append(S3Request(request.method, parts.path.encode(), parts.query.encode(), headers))
        raise _Caught

    client.meta.events.register("before-send.s3", catch)
    with contextlib.suppress(_Caught):
        client._make_api_call(name, members)
    return caught[0]


class _Caught(Exception):
    pass


def filled(shape: Any) -> Any:
    if shape.type_name == "structure":
        names = shape.required_members or (list(shape.members)[:1] if shape.is_tagged_union else [])
        return {name: filled(shape.members[name]) for name in names}
    if shape.type_name == "list":
        return [filled(shape.member)]
    if shape.type_name == "string":
        return (
            shape.enum[0] if shape.enum else ("bucket" if shape.name == "BucketName" else "k" * 24)
        )
    return {"integer": 1, "boolean": True, "blob": b"x", "long": 1, "timestamp": 0}[shape.type_name]


@pytest.mark.parametrize("name", sorted(set(MODEL.operation_names)))
def test_every_operation_is_recognised_as_it_stands_on_the_wire(name: str) -> None:
    if name in ("CreateSession", "WriteGetObjectResponse", "ListDirectoryBuckets"):
        pytest.skip("sent to endpoints of their own; their rows are tested below")
    request = on_the_wire(name)
    assert identify(request).value == SAME_WIRE.get(name, name)


def test_every_operation_of_s3_has_exactly_one_row() -> None:
    names = [row.operation.value for row in ROWS]
    assert len(names) == len(set(names))
    assert set(names) == {o.value for o in Operation}
    assert set(MODEL.operation_names) - set(SAME_WIRE) <= set(names)
    assert not {row.operation.value for row in ROWS if row.answer is Answer.FORWARDED}


def test_an_answer_that_is_not_sealed_says_why() -> None:
    for row in ROWS:
        assert bool(row.reason) is (row.answer is not Answer.SEALED)


def test_every_operation_that_we_serve_has_a_handler_and_no_other() -> None:
    assert {operation.value for operation in TABLE} == {
        row.operation.value for row in ROWS if row.served
    }


def test_what_is_refused_is_refused_by_name_with_the_reason() -> None:
    for operation, row in OPERATIONS.items():
        if row.served:
            check_served(operation)
            continue
        with pytest.raises(Refused, match=operation.value) as refusal:
            check_served(operation)
        assert refusal.value.reason == "NotImplemented"
        assert row.reason in str(refusal.value)


def request(line: str, **headers: str) -> S3Request:
    method, _, target = line.partition(" ")
    raw = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    return S3Request.of_target(method, target.encode(), raw)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("GET /", "ListBuckets"),
        ("GET /?x-id=ListBuckets", "ListBuckets"),
        ("GET /b", "ListObjects"),
        ("GET /b/", "ListObjects"),
        ("GET /b?list-type=2&prefix=a", "ListObjectsV2"),
        ("GET /b?list-type=1", "ListObjects"),
        ("GET /b?versions&prefix=a", "ListObjectVersions"),
        ("GET /b/k?uploadId=u", "ListParts"),
        ("PUT /b/k?partNumber=1&uploadId=u", "UploadPart"),
        ("PUT /b/k?x-id=PutObject&X-Amz-Signature=0", "PutObject"),
        ("PUT /b/k?acl", "PutObjectAcl"),
        ("POST /b/k?uploads=", "CreateMultipartUpload"),
        ("POST /b?delete", "DeleteObjects"),
        ("POST /b", "PostObject"),
        ("DELETE /b/k?uploadId=u", "AbortMultipartUpload"),
        ("DELETE /b/k?versionId=v", "DeleteObject"),
        ("GET /b//", "GetObject"),
        ("GET /b?session", "CreateSession"),
        ("GET /?max-directory-buckets=5", "ListDirectoryBuckets"),
        ("GET /b?analytics&id=1", "GetBucketAnalyticsConfiguration"),
        ("PUT /b?policy", "PutBucketPolicy"),
    ],
)
def test_requests_are_recognised(line: str, name: str) -> None:
    assert identify(request(line)).value == name


def test_a_copy_is_known_by_its_header() -> None:
    assert identify(request("PUT /b/k", x_amz_copy_source="/b/a")) is Operation.COPY_OBJECT
    line = "PUT /b/k?partNumber=1&uploadId=u"
    assert identify(request(line, x_amz_copy_source="/b/a")) is Operation.UPLOAD_PART_COPY
    write = request("POST /b", x_amz_request_route="r")
    assert identify(write) is Operation.WRITE_GET_OBJECT_RESPONSE


@pytest.mark.parametrize(
    "line",
    ["PUT /b/k?uploadId=u", "PUT /b/k?append", "DELETE /b/k?newthing", "PUT /b?newthing=1"],
)
def test_a_write_with_an_unknown_parameter_is_refused(line: str) -> None:
    with pytest.raises(Refused) as refusal:
        identify(request(line))
    assert refusal.value.reason == "NotImplemented"


@pytest.mark.parametrize("line", ["POST /", "PATCH /b/k", "POST /b/k", "PUT /", "DELETE /"])
def test_what_is_no_operation_is_not_allowed(line: str) -> None:
    with pytest.raises(Malformed) as refusal:
        identify(request(line))
    assert refusal.value.reason == "MethodNotAllowed"


def test_the_published_table_is_the_one_in_the_program() -> None:
    page = Path(__file__).parents[3] / "docs" / "s3-compatibility.md"
    assert page.read_text(encoding="utf-8") == render(), "run docs/generate_s3_table.py"
