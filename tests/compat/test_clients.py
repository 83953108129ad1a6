"""Every client, through every store, over http and over https: unmodified clients all."""

from __future__ import annotations

import io
import os
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from tests.compat.clients import CLIENTS, Boto3, Client, MinioSdk
from tests.compat.installation import (
    CLEAR,
    DIRECT,
    FRONTS,
    MISNAMED,
    SEALED,
    STORES,
    STRANGE,
    WIRED,
    Matrix,
)
from tests.compat.matrix import (
    ODD_KEYS,
    SIZE_LARGE,
    SIZE_LARGE_OF_TOOLS,
    SIZES,
    content,
    is_path,
    ranges,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
TREE = {f"maat {size}.bin": size for size in (*SIZES, SIZE_LARGE_OF_TOOLS)}
SAMPLES = (1, 262_105, (5 << 20) + 3)
MIXED = SAMPLES[1]

WEED_CANNOT_HOLD = {"dubbel//streep///hier", "/voor-aan", "achter/", "x" * 1000}
"""Of the odd keys under clear names; sealed, the long path of short segments joins them."""

every_cell = pytest.mark.parametrize("front", FRONTS)
every_store = pytest.mark.parametrize("store", STORES)
LONG = bool(os.environ.get("HYOK_LONG"))
every_client = pytest.mark.parametrize(
    ("name", "store", "front"),
    [
        (name, store, front)
        for at, name in enumerate(CLIENTS)
        for (n, store), (m, front) in product(enumerate(STORES), enumerate(FRONTS))
        # In the short form each client meets both stores and both fronts, and each pair of these
        # meets two clients; all of them together in the long one.
        if LONG or (at + n + m) % 2 == 0
    ],
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name, size in TREE.items():
        (folder / name).write_bytes(content(size))
    return folder


@pytest.fixture
def client(matrix: Matrix, name: str, front: str, tmp_path: Path) -> Client:
    return CLIENTS[name](matrix.home, matrix.doors[front].endpoint, tmp_path)


def refused(store: str, key: str, *, sealed: bool) -> bool:
    """Is this a key that the store behind the bucket cannot hold?"""
    if store == "files":
        return False
    return key in WEED_CANNOT_HOLD or (sealed and len(key) > 900)


@every_client
def test_every_size_range_and_length_comes_back(
    client: Client, tree: Path, tmp_path: Path, store: str, name: str, front: str
) -> None:
    bucket, prefix = SEALED[store], f"{name}-{front}/"
    client.put_tree(bucket, prefix, tree)
    assert client.sizes(bucket, prefix) == TREE
    back = tmp_path / "back"
    back.mkdir()
    client.get_tree(bucket, prefix, back)
    for one, size in TREE.items():
        assert (back / one).read_bytes() == content(size), one
    for size in SAMPLES:
        key = f"{prefix}maat {size}.bin"
        assert client.head(bucket, key) == size
        for first, last in ranges(size) if size == MIXED else ranges(size)[1:3]:
            if last < size - 1 and client.ranges_to_the_end_only:
                last = size - 1  # noqa: PLW2901 - what this client can ask for
            assert client.range(bucket, key, first, last) == content(size)[first : last + 1]


@every_client
def test_odd_keys_come_back_or_are_refused_by_name_and_leave_nothing(
    client: Client,
    matrix: Matrix,
    tmp_path: Path,
    store: str,
    name: str,
    front: str,
) -> None:
    bucket = CLEAR[store]
    behind = matrix.behind()

    def stored() -> set[str]:
        pages = behind.get_paginator("list_objects_v2").paginate(Bucket=CLEAR["seaweedfs"])
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    oracle = Boto3(matrix.home, matrix.doors[front].endpoint)
    for left in oracle.sizes(bucket, ""):
        oracle.s3.delete_object(Bucket=bucket, Key=left)
    # What a folder can hold goes up at once where the client copies folders.
    folder, piece = tmp_path / "odd", tmp_path / "piece"
    at_once = {key for key in ODD_KEYS if is_path(key)} if name not in ("boto3", "minio") else set()
    for key in at_once:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(key.encode())
    if at_once:
        client.put_tree(bucket, "", folder)
        client.get_tree(bucket, "", tmp_path / "again")
        for key in at_once:
            assert (tmp_path / "again" / key).read_bytes() == key.encode()
    expected = set(at_once)
    for key in ODD_KEYS:
        if key in at_once or not client.can_say(key):
            continue
        piece.write_bytes(key.encode())
        before = stored()
        said = client.put(bucket, key, piece)
        if refused(store, key, sealed=False):
            # rclone looks first, with a HEAD, whose answer has a status and no code.
            codes = ("400",) if name == "rclone" else ("InvalidArgument", "KeyTooLongError")
            assert any(code in said for code in codes), (key, said)
            assert "400" in said or name == "aws"  # which tells the code alone
            assert stored() == before, key
            continue
        assert said == "", (key, said)
        expected.add(key)
        client.get(bucket, key, piece)
        assert piece.read_bytes() == key.encode(), key
    listed = oracle.sizes(bucket, "")
    assert set(listed) == expected
    assert listed == {key: len(key.encode()) for key in expected}
    if store == "files":  # clear names of another store come in that store's order
        assert list(listed) == sorted(listed, key=str.encode)
    assert client.sizes(bucket, "").keys() == expected


@every_store
@every_cell
def test_odd_keys_in_a_bucket_of_sealed_names(matrix: Matrix, store: str, front: str) -> None:
    s3, bucket, prefix = matrix.doors[front].client(), SEALED[store], ""
    held = [key for key in ODD_KEYS if not refused(store, key, sealed=True)]
    for key in ODD_KEYS:
        if key in held:
            s3.put_object(Bucket=bucket, Key=prefix + key, Body=key.encode())
            continue
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket=bucket, Key=prefix + key, Body=key.encode())
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert caught.value.response["Error"]["Code"] in {"InvalidArgument", "KeyTooLongError"}
    for key in held:
        assert s3.get_object(Bucket=bucket, Key=prefix + key)["Body"].read() == key.encode()
    listed = Boto3(matrix.home, matrix.doors[front].endpoint).sizes(bucket, "")
    assert set(held) == set(ODD_KEYS) & set(listed)
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in held]})
    assert len(gone["Deleted"]) == len(held)


@pytest.mark.parametrize(
    ("store", "front"),
    list(product(STORES, FRONTS) if LONG else zip(STORES, FRONTS, strict=True)),
)
def test_boto3_brings_100_mib_in_parts_a_copy_of_it_and_all_at_once(
    matrix: Matrix, store: str, front: str
) -> None:
    s3, bucket = matrix.doors[front].client(), CLEAR[store]
    body = content(SIZE_LARGE)
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=20 << 20)
    s3.upload_fileobj(io.BytesIO(body), bucket, "groot/delen", Config=parts)
    assert s3.get_object(Bucket=bucket, Key="groot/delen")["Body"].read() == body
    middle = SIZE_LARGE // 2
    part = s3.get_object(Bucket=bucket, Key="groot/delen", Range=f"bytes={middle - 9}-{middle}")
    assert part["Body"].read() == body[middle - 9 : middle + 1]
    s3.put_object(Bucket=bucket, Key="groot/heel", Body=body)
    assert s3.get_object(Bucket=bucket, Key="groot/heel")["Body"].read() == body
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    for key in ("groot/delen", "groot/heel"):
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == SIZE_LARGE
        s3.delete_object(Bucket=bucket, Key=key)


@every_store
@every_cell
@pytest.mark.parametrize("of", [CLEAR, SEALED, DIRECT], ids=["clear", "sealed", "direct"])
def test_metadata_tags_and_copies_come_back(
    matrix: Matrix, store: str, front: str, of: dict[str, str]
) -> None:
    s3, bucket = matrix.doors[front].client(), of[store]
    facts: dict[str, Any] = {
        "ContentType": "text/x",
        "ContentDisposition": 'attachment; filename="brief.pdf"',
        "Metadata": {"soort": "brief"},
    }
    body = content((7 << 20) + 1)
    s3.put_object(Bucket=bucket, Key="feiten/een", Body=body, ChecksumAlgorithm="SHA256", **facts)
    source = {"Bucket": bucket, "Key": "feiten/een"}
    s3.copy_object(Bucket=bucket, Key="feiten/twee", CopySource=source)
    for key in ("feiten/een", "feiten/twee"):
        answer = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert answer["Body"].read() == body
        assert {name: answer[name] for name in facts} == facts
    assert s3.get_object(Bucket=bucket, Key="feiten/een", ChecksumMode="ENABLED")["ChecksumSHA256"]
    s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "feiten/een"}, {"Key": "feiten/twee"}]}
    )


@every_store
@every_cell
def test_conditions_are_decided_by_the_store(matrix: Matrix, store: str, front: str) -> None:
    s3, bucket, key = matrix.doors[front].client(), CLEAR[store], f"eens/{front}"
    s3.put_object(Bucket=bucket, Key=key, Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key=key, Body=b"2", IfNoneMatch="*")
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"1"
    etag = s3.head_object(Bucket=bucket, Key=key)["ETag"]
    for rare in ({"IfNoneMatch": etag}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket=bucket, Key=key, Body=b"2", **rare)
        assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key=key, Body=b"3", IfMatch="*")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=bucket, Key=f"{key}/geen", Body=b"4", IfMatch="*")
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    s3.put_object(Bucket=bucket, Key=key, Body=b"5", IfNoneMatch=etag)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"5"


@every_store
@every_cell
def test_parts_are_copied_from_both_stores_and_their_sizes_are_told(
    matrix: Matrix, store: str, front: str
) -> None:
    """What came from elsewhere reads back; the sizes and checksums are those of the plaintext."""
    s3, bucket, key = matrix.doors[front].client(), SEALED[store], f"delen/{front}"
    sources = {CLEAR[other]: content(6 << 20) for other in STORES} | {bucket: content(7 << 20)}
    for name, body in sources.items():
        s3.put_object(Bucket=name, Key="bron", Body=body)
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256")
    place = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
    parts, whole = [], b""
    for number, (name, body) in enumerate(sources.items(), 1):
        last = len(body) - 1 - 100 * number
        made = s3.upload_part_copy(
            **place,
            PartNumber=number,
            CopySource={"Bucket": name, "Key": "bron"},
            CopySourceRange=f"bytes=3-{last}",
        )["CopyPartResult"]
        parts.append({n: made[n] for n in ("ETag", "ChecksumSHA256")} | {"PartNumber": number})
        whole += body[3 : last + 1]
    done = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == whole
    told = s3.get_object_attributes(
        Bucket=bucket,
        Key=key,
        ObjectAttributes=["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"],
    )
    assert told["ObjectSize"] == len(whole)
    assert told["ETag"] == done["ETag"].strip('"')
    assert f"{told['Checksum']['ChecksumSHA256']}-{len(parts)}" == done["ChecksumSHA256"]
    assert told["ObjectParts"]["TotalPartsCount"] == len(parts)
    sizes = [part["Size"] for part in told["ObjectParts"]["Parts"]]
    assert sizes == [len(body) - 3 - 100 * n for n, body in enumerate(sources.values(), 1)]


@every_store
@every_cell
@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_a_form_of_a_browser_brings_its_file(
    matrix: Matrix, store: str, front: str, size: int
) -> None:
    door, bucket = matrix.doors[front], SEALED[store]
    s3 = door.client(signature_version="s3v4")
    limits = [["content-length-range", 1, 4 << 20]]
    made = s3.generate_presigned_post(bucket, "formulier/${filename}", Conditions=limits)
    minio = MinioSdk(matrix.home, door.endpoint)  # its pool knows our certificate
    url = f"{door.endpoint}/{bucket}"

    def post(body: bytes) -> int:
        fields = {**made["fields"], "file": (f"{front}.bin", body, "text/plain")}
        return int(minio.pool.request("POST", url, fields=fields, redirect=False).status)

    assert post(content(size)) == 204
    got = s3.get_object(Bucket=bucket, Key=f"formulier/{front}.bin")
    assert got["Body"].read() == content(size)
    assert post(content(size) + bytes(4 << 20)) == 400
    minio.pool.clear()


@every_store
@every_cell
def test_a_presigned_address_brings_the_object(matrix: Matrix, store: str, front: str) -> None:
    minio = MinioSdk(matrix.home, matrix.doors[front].endpoint)
    minio.sdk.put_object(SEALED[store], "adres", io.BytesIO(content(1000)), 1000)
    address = minio.sdk.presigned_get_object(SEALED[store], "adres")
    assert minio.pool.request("GET", address).data == content(1000)
    minio.pool.clear()


def test_what_one_door_wrote_the_other_reads(matrix: Matrix) -> None:
    one, other = (matrix.doors[front].client() for front in FRONTS)
    for writer, reader in ((one, other), (other, one)):
        for bucket in (*CLEAR.values(), *SEALED.values()):
            writer.put_object(Bucket=bucket, Key="deur", Body=content(300_000))
            assert reader.get_object(Bucket=bucket, Key="deur")["Body"].read() == content(300_000)


@every_cell
def test_the_hop_to_the_store_is_tls_that_was_verified(matrix: Matrix, front: str) -> None:
    s3, body = matrix.doors[front].client(), content(3 << 20)
    matrix.wire.clear()
    s3.put_object(Bucket=WIRED, Key="over-tls", Body=body)
    assert s3.get_object(Bucket=WIRED, Key="over-tls")["Body"].read() == body
    sent, answered = matrix.wire.sent(), matrix.wire.answered()
    assert len(sent) > len(body) < len(answered)
    for word in (b"HTTP/1.1", b"x-amz-", b"Authorization", b"over-tls", WIRED.encode()):
        assert word.lower() not in sent.lower()
        assert word.lower() not in answered.lower()


@every_cell
@pytest.mark.parametrize("bucket", [STRANGE, MISNAMED])
def test_a_store_with_a_wrong_certificate_is_refused_with_503(
    matrix: Matrix, front: str, bucket: str
) -> None:
    s3 = matrix.doors[front].client()
    for act in (
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"1"),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=content(3 << 20)),
        lambda: s3.get_object(Bucket=bucket, Key="k"),
        lambda: s3.list_objects_v2(Bucket=bucket),
    ):
        with pytest.raises(ClientError) as caught:
            act()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    left = matrix.behind().list_objects_v2(Bucket=bucket).get("Contents", [])
    assert [entry for entry in left if not entry["Key"].startswith(".hyok/")] == []
