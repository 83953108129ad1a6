"""Unmodified S3 clients against a running gateway, over TLS: SDKs and command-line tools."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from boto3.s3.transfer import TransferConfig
from minio import Minio
from tests.compat.matrix import ODD_KEYS, SIZES, content
from tests.e2e import running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
BIN = Path(sys.executable).parent
CLASSES = ("openbaar", "vertrouwelijk", "geheim")
LARGE = (100 if os.environ.get("HYOK_LONG") else 30) << 20
FILES = {"klein.bin": 1, "leeg.bin": 0, "naam met spatie é.bin": 262_105, "groot.bin": 12 << 20}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.start(tmp_path_factory.mktemp("compat") / "home", "--reset")
    yield made
    assert made.stop() == 0


@pytest.fixture
def demo(installation: running.Running) -> dict[str, str]:
    found: dict[str, str] = json.loads((installation.home / "demo.json").read_text())
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bron"
    made.mkdir()
    for name, size in FILES.items():
        (made / name).write_bytes(content(size, size))
    return made


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env={**os.environ, "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def same(left: Path, right: Path) -> None:
    for name in FILES:
        assert (left / name).read_bytes() == (right / name).read_bytes(), name


@pytest.mark.parametrize("bucket", CLASSES)
def test_boto3_brings_every_size_and_range(installation: running.Running, bucket: str) -> None:
    s3 = installation.client()
    for size in SIZES:
        body, key = content(size), f"maat/{size}"
        s3.put_object(
            Bucket=bucket, Key=key, Body=body, ContentType="text/x", Metadata={"soort": "brief"}
        )
        answer = s3.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert answer["Body"].read() == body
        assert (answer["ContentType"], answer["Metadata"]) == ("text/x", {"soort": "brief"})
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size
        for first, last in ((0, 0), (5, size - 3), (size // 2, size - 1), (262_000, 262_200)):
            if 0 <= first <= last < size:
                part = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
                assert part["Body"].read() == body[first : last + 1]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="maat/")["Contents"]
    assert {found["Key"]: found["Size"] for found in listed} == {f"maat/{n}": n for n in SIZES}


@pytest.mark.parametrize("bucket", ["openbaar", "vertrouwelijk"])
def test_boto3_brings_every_odd_key(installation: running.Running, bucket: str) -> None:
    s3 = installation.client()
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD_KEYS:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 5}
    )
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    assert set(ODD_KEYS) <= set(keys)
    assert keys == sorted(keys, key=str.encode)
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in ODD_KEYS]})
    assert len(gone["Deleted"]) == len(ODD_KEYS)


@pytest.mark.parametrize("bucket", CLASSES)
def test_boto3_uploads_in_parts_and_copies(installation: running.Running, bucket: str) -> None:
    s3 = installation.client()
    body = content(LARGE + 3, 7)
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=7 << 20)
    s3.upload_fileobj(io.BytesIO(body), bucket, "delen/groot", Config=parts)
    target = io.BytesIO()
    s3.download_fileobj(bucket, "delen/groot", target, Config=parts)
    assert target.getvalue() == body
    s3.copy_object(
        Bucket=bucket, Key="delen/kopie", CopySource={"Bucket": bucket, "Key": "delen/groot"}
    )
    assert s3.get_object(Bucket=bucket, Key="delen/kopie")["Body"].read() == body
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_aws_cli(
    installation: running.Running, demo: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    access = {
        "AWS_ACCESS_KEY_ID": demo["access_key"],
        "AWS_SECRET_ACCESS_KEY": demo["secret"],
        "AWS_CA_BUNDLE": str(installation.home / "ca.pem"),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    aws = ["aws", "--endpoint-url", installation.endpoint, "s3"]
    run([*aws, "cp", "--recursive", "--quiet", str(folder), "s3://intern/aws/"], **access)
    shown = run([*aws, "ls", "s3://intern/aws/"], **access)
    assert f"{12 << 20} groot.bin" in shown
    run([*aws, "sync", "--quiet", "s3://intern/aws/", str(tmp_path / "terug")], **access)
    same(folder, tmp_path / "terug")
    run([*aws, "rm", "--recursive", "--quiet", "s3://intern/aws/"], **access)


def test_rclone(
    installation: running.Running, demo: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(
        f"[hyok]\ntype = s3\nprovider = Other\naccess_key_id = {demo['access_key']}\n"
        f"secret_access_key = {demo['secret']}\nendpoint = {installation.endpoint}\n"
        "region = us-east-1\nforce_path_style = true\nuse_multipart_etag = false\n"
    )
    ca = str(installation.home / "ca.pem")
    rclone = ["rclone", "--config", str(config), "--ca-cert", ca, "--s3-chunk-size", "5M"]
    rclone += ["--s3-upload-cutoff", "6M", "--retries", "1"]
    run([*rclone, "copy", str(folder), "hyok:vertrouwelijk/rclone"])
    run([*rclone, "check", "--download", str(folder), "hyok:vertrouwelijk/rclone"])
    run([*rclone, "copy", "hyok:vertrouwelijk/rclone", str(tmp_path / "terug")])
    same(folder, tmp_path / "terug")


def test_s3cmd(
    installation: running.Running, demo: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    host = installation.endpoint.removeprefix("https://")
    config = tmp_path / "s3cfg"
    config.write_text(
        f"[default]\naccess_key = {demo['access_key']}\nsecret_key = {demo['secret']}\n"
        f"host_base = {host}\nhost_bucket = {host}\nuse_https = True\nbucket_location = us-east-1\n"
        f"ca_certs_file = {installation.home}/ca.pem\nmultipart_chunk_size_mb = 5\n"
    )
    s3cmd = ["s3cmd", "-c", str(config), "--no-progress"]
    run([*s3cmd, "sync", f"{folder}/", "s3://intern/s3cmd/"])
    (tmp_path / "terug").mkdir()
    run([*s3cmd, "sync", "s3://intern/s3cmd/", f"{tmp_path}/terug/"])
    same(folder, tmp_path / "terug")


def test_minio_sdk(installation: running.Running, demo: dict[str, str]) -> None:
    pool: Any = urllib3.PoolManager(ca_certs=str(installation.home / "ca.pem"))
    client = Minio(
        installation.endpoint.removeprefix("https://"),
        access_key=demo["access_key"],
        secret_key=demo["secret"],
        region="us-east-1",
        http_client=pool,
    )
    for size in (0, 1, 262_105, 12 << 20):
        body = content(size, 3)
        client.put_object("geheim", f"minio/{size}", io.BytesIO(body), size, part_size=5 << 20)
        answer = client.get_object("geheim", f"minio/{size}")
        assert answer.read() == body
        answer.close()
        answer.release_conn()
    listed = {found.object_name: found.size for found in client.list_objects("geheim", "minio/")}
    assert listed == {f"minio/{size}": size for size in (0, 1, 262_105, 12 << 20)}
    address = client.presigned_get_object("geheim", "minio/1")
    assert pool.request("GET", address).data == content(1, 3)
    pool.clear()
