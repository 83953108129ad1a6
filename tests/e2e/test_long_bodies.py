"""Bodies longer than one PUT to a real S3 store may be: one object to the client all the same.

The short form lowers the limit by the store's settings; HYOK_LONG sends 5 GiB, S3's own limit.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.e2e import running
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

LONG = bool(os.environ.get("HYOK_LONG"))
SIZE = 5 << 30 if LONG else (40 << 20) + 5
SETTINGS = "" if LONG else f"single_put_bytes_max = {16 << 20}\nsplit_part_bytes = {8 << 20}\n"
MANY = 1_001 if LONG else 7  # parts that a client sends
PARTS = 6  # the sealed length is a little more than five times a part
BUCKET = "lang"
PIECE_BYTES = 1 << 20
SECONDS_MAX = 300  # without a byte
PATTERN = os.urandom(PIECE_BYTES - 8)


def piece(number: int) -> bytes:
    """Return the bytes of one MiB; no two are alike."""
    return number.to_bytes(8, "big") + PATTERN


class Body:
    """A body that is made as it is sent."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.number, self.piece = -1, b""

    def __len__(self) -> int:
        return self.size

    def tell(self) -> int:
        return self.at

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = self.size + at if whence == 2 else self.at + at if whence == 1 else at
        return self.at

    def read(self, count: int = -1) -> bytes:
        number, skip = divmod(self.at, PIECE_BYTES)
        left = self.size - self.at
        if number != self.number:
            self.number, self.piece = number, piece(number)
        found = self.piece[skip : skip + min(left, left if count < 0 else count)]
        self.at += len(found)
        return found


@pytest.fixture(scope="module")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweedfs.SeaweedFS]:
    folder = tmp_path_factory.mktemp("weed")
    made = seaweedfs.start(folder)
    yield made
    made.stop()
    shutil.rmtree(folder)  # pytest would keep the gigabytes of three runs


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, weed: seaweedfs.SeaweedFS) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("gateway") / "home"
    running.prepare(home)
    store = running.s3_store("weed", weed.endpoint, weed.credentials_file(), more=SETTINGS)
    config = running.configure(home, "lang", store, https=False)
    running.make_bucket(config, BUCKET, "openbaar", "weed")
    gateway = running.serve(config)
    yield gateway.client(signature_version="s3v4")
    assert gateway.stop() == 0


def behind(weed: seaweedfs.SeaweedFS) -> Any:
    """Return a client of the store itself."""
    return boto3.client(
        "s3",
        endpoint_url=weed.endpoint,
        aws_access_key_id=weed.access_key,
        aws_secret_access_key=weed.secret,
        region_name="us-east-1",
    )


def put(client: Any, key: str, size: int) -> None:
    """Send by a signed link, so that the client need not hash gigabytes first."""
    link = urlsplit(
        client.generate_presigned_url(
            "put_object", {"Bucket": BUCKET, "Key": key, "Metadata": {"soort": "film"}}
        )
    )
    wire = http.client.HTTPConnection(link.netloc, timeout=SECONDS_MAX)
    with closing(wire):
        wire.putrequest("PUT", f"{link.path}?{link.query}")
        wire.putheader("content-length", str(size))
        wire.putheader("x-amz-meta-soort", "film")
        wire.endheaders()
        body = Body(size)
        with suppress(BrokenPipeError):  # an early answer says why
            while found := body.read():
                wire.send(found)
        answer = wire.getresponse()
        assert answer.status == 200, answer.read()


def compare(client: Any, key: str, size: int) -> None:
    """Read all of it and compare every byte."""
    link = urlsplit(client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": key}))
    wire = http.client.HTTPConnection(link.netloc, timeout=SECONDS_MAX)
    with closing(wire):
        wire.request("GET", f"{link.path}?{link.query}")
        answer = wire.getresponse()
        assert answer.status == 200, answer.read()
        assert int(answer.headers["content-length"]) == size
        want = Body(size)
        while wanted := want.read():
            assert answer.read(len(wanted)) == wanted, want.at
        assert answer.read() == b""


def test_a_put_longer_than_the_store_takes_at_once_reads_back_byte_for_byte(
    client: Any, weed: seaweedfs.SeaweedFS
) -> None:
    began = time.monotonic()
    put(client, "lang", SIZE)
    sent = time.monotonic()
    compare(client, "lang", SIZE)
    read = time.monotonic()
    print(f"{SIZE} bytes: PUT {sent - began:.1f} s, GET {read - sent:.1f} s")
    stored = behind(weed).head_object(Bucket=BUCKET, Key="lang")
    assert stored["ETag"].strip('"').endswith(f"-{PARTS}")
    assert stored["ContentLength"] > SIZE
    assert client.head_object(Bucket=BUCKET, Key="lang")["Metadata"] == {"soort": "film"}
    edge = SIZE // PARTS
    ranged = client.get_object(Bucket=BUCKET, Key="lang", Range=f"bytes={edge}-{edge + 99_999}")
    want = Body(SIZE)
    want.seek(edge)
    wanted = b""
    while len(wanted) < 100_000:
        wanted += want.read(100_000 - len(wanted))
    assert ranged["Body"].read() == wanted
    assert not behind(weed).list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_a_long_put_that_fails_its_checksum_leaves_no_object_and_no_upload(
    client: Any, weed: seaweedfs.SeaweedFS
) -> None:
    size = (40 << 20) + 5
    with pytest.raises(ClientError) as caught:
        client.put_object(
            Bucket=BUCKET, Key="fout", Body=Body(size), ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="
        )
    assert caught.value.response["Error"]["Code"] == "BadDigest"
    with pytest.raises(ClientError) as caught:
        client.head_object(Bucket=BUCKET, Key="fout")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    deadline = time.monotonic() + 20  # the upload is given up beside the answer
    while behind(weed).list_multipart_uploads(Bucket=BUCKET).get("Uploads"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_more_parts_than_one_listing_shows_become_one_object(
    client: Any, weed: seaweedfs.SeaweedFS
) -> None:
    """Sent four at a time from the last to the first; completed by what ListParts says."""
    where = {"Bucket": BUCKET, "Key": "veel"}
    upload = {**where, "UploadId": client.create_multipart_upload(**where)["UploadId"]}

    def send(number: int) -> None:
        body = part_body(number)
        client.upload_part(**upload, PartNumber=number, Body=body)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(MANY, 0, -1)))
    found: list[dict[str, Any]] = []
    page = client.list_parts(**upload)
    found += page["Parts"]
    assert page["IsTruncated"] == (MANY > 1_000)
    while page["IsTruncated"]:
        page = client.list_parts(**upload, PartNumberMarker=page["NextPartNumberMarker"])
        found += page["Parts"]
    assert [part["PartNumber"] for part in found] == list(range(1, MANY + 1))
    chosen = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in found]
    made = client.complete_multipart_upload(**upload, MultipartUpload={"Parts": chosen})
    seen = client.head_object(**where)
    assert seen["ETag"] == made["ETag"]
    assert seen["ContentLength"] == sum(part["Size"] for part in found)
    assert client.head_object(**where, PartNumber=MANY)["PartsCount"] == MANY
    last = client.get_object(**where, PartNumber=MANY)["Body"].read()
    assert last == part_body(MANY)
    whole = client.get_object(**where)["Body"]
    for number in range(1, MANY + 1):
        wanted = part_body(number)
        assert whole.read(len(wanted)) == wanted, number
    assert whole.read() == b""
    assert behind(weed).head_object(Bucket=BUCKET, Key="veel")["ETag"].endswith(f'-{MANY}"')


def part_body(number: int) -> bytes:
    """Return 5 MiB that no other part has, and less for the last."""
    if number == MANY:
        return piece(1_000_000 + number)[: 100_000 + 7]
    return b"".join(piece(5 * number + n) for n in range(5))
