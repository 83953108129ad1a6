"""Addresses and forms that somebody else may use: every operation, as boto3 signs it."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ParamValidationError
from tests.unit.gateway.door import AKID, NOW_MS, SECRET, Answer, Door, FakeHead
from tests.unit.gateway.test_engine import Client, served
from urllib3 import encode_multipart_formdata

from hyok.s3.catalog import OPERATIONS
from hyok.s3.operations import Operation

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["served"]

# What an operation needs, by the name of the member; what is not here is the text "x".
VALUES: Mapping[str, Any] = {
    "Bucket": "bucket",
    "Key": "k",
    "CopySource": "bucket/from",
    "UploadId": "up0",
    "PartNumber": 1,
    "ObjectAttributes": ["ETag"],
}

# Sent to endpoints of their own, or no address at all.
ELSEWHERE = frozenset({"WriteGetObjectResponse", "CreateSession", "ListDirectoryBuckets"})

# Members that boto3 puts into headers: the signature is over them, so they are sent as well.
HEADERS = {
    "x-amz-copy-source": "bucket/from",
    "x-amz-object-attributes": "ETag",
    "x-amz-rename-source": "x",
}


def client(version: str | Any, **more: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url="http://h:9000",
        aws_access_key_id=AKID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
        config=Config(signature_version=version, s3={"addressing_style": "path"}, **more),
    )


S3 = client("s3v4")
MODEL = S3.meta.service_model
METHODS = {name: method for method, name in S3.meta.method_to_api_mapping.items()}
NAMES = sorted({o.value for o in OPERATIONS} & set(MODEL.operation_names) - ELSEWHERE)


def members(name: str) -> dict[str, Any]:
    """Return the least that an operation has to be told."""
    shape = MODEL.operation_model(name).input_shape
    if shape is None:
        return {}
    wanted = {n: shape.members[n] for n in shape.required_members}
    if "ClientToken" in shape.members:  # boto3 would make a new one for each
        wanted["ClientToken"] = shape.members["ClientToken"]
    return {n: value(n, member) for n, member in wanted.items()}


def value(name: str, shape: Any) -> Any:
    if name in VALUES:
        return VALUES[name]
    if shape.type_name == "structure":
        return {n: value(n, shape.members[n]) for n in shape.required_members}
    if shape.type_name == "list":
        return [value(shape.member.name, shape.member)]
    kinds = {"boolean": True, "integer": 1, "long": 1, "blob": b"", "timestamp": 0}
    return kinds.get(
        shape.type_name, (shape.enum or ["x"])[0] if shape.type_name == "string" else "x"
    )


def presign(name: str) -> str:
    """Return an address of boto3; of its signer alone where boto3 trips over the document."""
    shape = MODEL.operation_model(name)
    try:
        return str(S3.generate_presigned_url(METHODS[name], Params=members(name), ExpiresIn=60))
    except (ValueError, ParamValidationError):  # it takes every document for JSON
        pass
    required = {n: shape.input_shape.members[n] for n in shape.input_shape.required_members}
    named = [m.serialization for m in required.values()]
    query = [f"{one['name']}=x" for one in named if one.get("location") == "querystring"]
    fixed = shape.http["requestUri"].partition("?")[2]
    path = "/bucket/k" if "Key" in required else "/bucket"
    url = f"http://h:9000{path}?{'&'.join([fixed, *query])}"
    request = AWSRequest(shape.http["method"], url)
    credentials = Credentials(AKID, SECRET)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=60).add_auth(request)
    return request.url


async def use(door: Door, method: str, url: str, body: bytes = b"", **more: str) -> Answer:
    """Send what an address says, with the headers that were signed."""
    parts = urlsplit(url)
    signed = parse_qs(parts.query).get("X-Amz-SignedHeaders", ["host"])[0].split(";")
    names = [name for name in signed if name != "host"]
    headers = {name: HEADERS.get(name, more.get(name.replace("-", "_"), "x")) for name in names}
    raw = [(b"host", b"h:9000"), *((n.encode(), v.encode()) for n, v in headers.items())]
    target = f"{parts.path}?{parts.query}".encode()
    return await door.exchange(FakeHead(method, target, raw), body)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door()
    made.gateway._clock_ms = lambda: int(time.time() * 1000)
    return made


def test_nearly_every_operation_of_the_table_is_walked() -> None:
    assert len(NAMES) > 100
    missing = {o.value for o in OPERATIONS} - set(NAMES) - ELSEWHERE
    assert missing <= {"OptionsObject", "PostObject", "GetObjectTorrent"} | {
        o.value for o in OPERATIONS if o.value not in MODEL.operation_names
    }


@pytest.mark.parametrize("name", NAMES)
async def test_a_presigned_address_of_every_operation_gets_through_the_signature(
    door: Door, name: str
) -> None:
    operation = Operation(name)
    shape = MODEL.operation_model(name)
    url = presign(name)
    answer = await use(door, shape.http["method"], url)
    if OPERATIONS[operation].served:
        assert answer.code not in ("SignatureDoesNotMatch", "NotImplemented"), answer.body
        assert answer.status not in (403, 501) or answer.code == "", answer.body
    else:
        assert answer.status == 501, answer.body
        if shape.http["method"] != "HEAD":
            assert name.encode() in answer.body or b"query parameter" in answer.body
    assert door.meter.seen[-1][0] in (name, "unknown")
    changed = url[:-1] + ("0" if url[-1] != "0" else "1")
    refused = await use(door, shape.http["method"], changed)
    assert refused.status == 403, refused.body


async def test_an_address_expires_and_holds_for_its_own_request_alone(door: Door) -> None:
    url = S3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "k"})
    assert (await use(door, "PUT", url, b"body")).status == 200
    assert (await use(door, "DELETE", url)).code == "SignatureDoesNotMatch"
    assert (await use(door, "PUT", url.replace("/k?", "/other?"), b"")).code == (
        "SignatureDoesNotMatch"
    )
    later = int(time.time() * 1000) + 3601 * 1000
    door.gateway._clock_ms = lambda: later
    answer = await use(door, "PUT", url, b"late")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert b"expired" in answer.body
    assert door.vault.kept["bucket", "k"].plain == b"body"
    assert NOW_MS  # the other tests' clock stands still


@pytest.mark.parametrize("version", ["s3", "s3-query"])
async def test_an_address_of_signature_version_2_is_refused_with_a_sentence(
    door: Door, version: str
) -> None:
    """boto3 makes one unless told ``signature_version='s3v4'``."""
    old = client(version)
    url = old.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "k"})
    assert "AWSAccessKeyId=" in url
    answer = await use(door, "GET", url)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert b"AWS4-HMAC-SHA256" in answer.body


async def test_a_form_of_signature_version_2_is_refused_with_the_same_sentence(
    door: Door,
) -> None:
    made = client("s3").generate_presigned_post("bucket", "k")
    assert "AWSAccessKeyId" in made["fields"]
    body, kind = encode_multipart_formdata({**made["fields"], "file": ("f", b"x")})
    head = FakeHead("POST", b"/bucket", [(b"host", b"h:9000"), (b"content-type", kind.encode())])
    answer = await door.exchange(head, body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert b"AWS4-HMAC-SHA256" in answer.body


async def test_an_unsigned_header_beside_an_address_is_refused(door: Door) -> None:
    url = S3.generate_presigned_url("put_object", Params={"Bucket": "bucket", "Key": "k"})
    parts = urlsplit(url)
    raw = [(b"host", b"h:9000"), (b"x-amz-tagging", b"classification=openbaar")]
    head = FakeHead("PUT", f"{parts.path}?{parts.query}".encode(), raw)
    answer = await door.exchange(head, b"x")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert not door.vault.kept


def test_a_client_without_credentials_signs_nothing() -> None:
    assert "Signature" not in client(UNSIGNED).generate_presigned_url("list_buckets")


# --- forms, through real sockets -----------------------------------------------------------------


LARGE = bytes(range(256)) * 8192


def send_form(client: Client, fields: Mapping[str, str], content: bytes) -> tuple[int, bytes]:
    import ssl

    url = f"{client.s3.meta.endpoint_url}/bucket"
    body, kind = encode_multipart_formdata({**fields, "file": ("naam.txt", content)})
    context = None
    if isinstance(client.verify, str):
        context = ssl.create_default_context(cafile=client.verify)
    request = urllib.request.Request(url, body, {"content-type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("content", [b"", b"kort", LARGE], ids=["empty", "short", "long"])
async def test_a_form_of_boto3_brings_its_file(
    served: tuple[Door, Client],
    content: bytes,
) -> None:
    door, sender = served
    made = S3.generate_presigned_post(
        "bucket",
        "map/${filename}",
        Fields={"x-amz-meta-zaak": "7", "success_action_status": "201"},
        Conditions=[
            {"x-amz-meta-zaak": "7"},
            {"success_action_status": "201"},
            ["content-length-range", 0, len(LARGE)],
        ],
    )
    status, told = await asyncio.to_thread(send_form, sender, made["fields"], content)
    assert status == 201, told
    assert b"<Key>map/naam.txt</Key>" in told
    kept = door.vault.kept["bucket", "map/naam.txt"]
    assert (kept.plain, kept.facts.user_metadata) == (content, {"zaak": "7"})


@pytest.mark.parametrize("content", [b"kort", LARGE], ids=["short", "long"])
async def test_a_form_whose_file_is_too_long_leaves_no_object_and_the_door_open(
    served: tuple[Door, Client],
    content: bytes,
) -> None:
    door, sender = served
    made = S3.generate_presigned_post("bucket", "k", Conditions=[["content-length-range", 0, 3]])
    status, told = await asyncio.to_thread(send_form, sender, made["fields"], content)
    assert (status, b"EntityTooLarge" in told) == (400, True)
    assert not door.vault.kept
    assert await sender("list_objects_v2", Bucket="bucket")
