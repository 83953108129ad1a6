"""The door on the real HTTP engine, with boto3 in front and fakes behind: loopback only."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import trustme
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from tests.unit.gateway.door import AKID, SECRET, Door

from hyok.http1.pump import PumpPool
from hyok.http1.server import serve
from hyok.http1.tls import TlsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LARGE = bytes(range(256)) * 8192  # 2 MiB: pumped


class Client:
    """boto3 in a thread of its own, so that the loop can answer it."""

    def __init__(self, url: str, verify: str | bool) -> None:
        self.verify = verify
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=AKID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            verify=verify,
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    async def __call__(self, name: str, **members: Any) -> dict[str, Any]:
        def act() -> dict[str, Any]:
            answer = getattr(self.s3, name)(**members)
            if "Body" in answer:
                answer["Body"] = answer["Body"].read()
            return answer  # type: ignore[no-any-return]

        return await asyncio.to_thread(act)


@pytest.fixture(params=["http", "https"])
async def served(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Door, Client]]:
    door = Door()
    door.gateway._clock_ms = _now_ms  # boto3 signs with the clock of the machine
    pump = PumpPool(2, "door")
    tls: TlsSettings | None = None
    verify: str | bool = True
    if request.param == "https":
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        tls = _tls(tmp_path)
        verify = str(tmp_path / "ca.pem")
    server = await serve(door.gateway.handle, pump=pump, host="127.0.0.1", tls=tls)
    try:
        yield door, Client(f"{request.param}://localhost:{server.port}", verify)
    finally:
        await server.close()
        pump.close()


def _now_ms() -> int:
    return int(time.time() * 1000)


def _tls(folder: Path) -> TlsSettings:
    return TlsSettings(certificate=folder / "both.pem", key=folder / "both.pem")


@pytest.mark.parametrize("body", [b"", b"hello", LARGE], ids=["empty", "small", "large"])
async def test_boto3_puts_and_gets(served: tuple[Door, Client], body: bytes) -> None:
    door, client = served
    key = "a folder/€ + %41//x"
    put = await client("put_object", Bucket="bucket", Key=key, Body=body, Metadata={"a": "1"})
    assert put["ChecksumCRC32"]
    assert door.vault.kept["bucket", key].plain == body
    got = await client("get_object", Bucket="bucket", Key=key)
    assert (got["Body"], got["Metadata"]) == (body, {"a": "1"})
    assert got["ETag"] == put["ETag"]
    if body:
        part = await client("get_object", Bucket="bucket", Key=key, Range="bytes=1-3")
        assert part["Body"] == body[1:4]
    head = await client("head_object", Bucket="bucket", Key=key)
    assert head["ContentLength"] == len(body)
    listed = await client("list_objects_v2", Bucket="bucket")
    assert [row["Key"] for row in listed["Contents"]] == [key]
    gone = await client("delete_objects", Bucket="bucket", Delete={"Objects": [{"Key": key}]})
    assert gone["Deleted"] == [{"Key": key}]


async def test_boto3_uploads_in_parts(served: tuple[Door, Client]) -> None:
    _, client = served
    place = {"Bucket": "bucket", "Key": "k"}
    begun = await client("create_multipart_upload", **place)
    part = await client(
        "upload_part", **place, UploadId=begun["UploadId"], PartNumber=1, Body=b"part"
    )
    done = await client(
        "complete_multipart_upload",
        **place,
        UploadId=begun["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert done["ETag"].endswith('-2"')


async def test_boto3_is_told_of_errors_by_name(served: tuple[Door, Client]) -> None:
    door, client = served
    with pytest.raises(ClientError) as refusal:
        await client("get_object", Bucket="bucket", Key="absent")
    assert refusal.value.response["Error"]["Code"] == "NoSuchKey"
    with pytest.raises(ClientError) as refusal:
        await client("put_object", Bucket="theirs", Key="k", Body=LARGE)
    assert refusal.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError) as refusal:
        await client("put_object", Bucket="bucket", Key="k", Body=LARGE, ContentMD5="A" * 22 + "==")
    assert refusal.value.response["Error"]["Code"] == "BadDigest"
    assert not door.vault.kept


async def test_a_body_damaged_half_way_is_cut_off(served: tuple[Door, Client]) -> None:
    door, client = served
    await client("put_object", Bucket="bucket", Key="k", Body=LARGE)
    door.vault.damage = 300_000
    with pytest.raises((HTTPClientError, OSError)):
        await client("get_object", Bucket="bucket", Key="k")
