"""Unmodified S3 clients behind one small interface: two SDKs, three command-line tools."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import urllib3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from minio import Minio
from minio.error import S3Error
from tests.e2e import running

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
PART = 5 << 20


class Client(Protocol):
    """What a client of S3 does.  ``put`` returns what the client said where it was refused."""

    ranges_to_the_end_only: bool

    def can_say(self, key: str) -> bool:
        """Can the client name this key at all?"""

    def put(self, bucket: str, key: str, file: Path) -> str: ...
    def get(self, bucket: str, key: str, file: Path) -> None: ...
    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None: ...
    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None: ...
    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """Return names below ``prefix`` and lengths, as a listing tells them."""

    def head(self, bucket: str, key: str) -> int: ...
    def range(self, bucket: str, key: str, first: int, last: int) -> bytes: ...


def _files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}


class Boto3:
    """boto3 with its defaults; longer files go up and down in parts."""

    ranges_to_the_end_only = False

    def __init__(self, home: Path, endpoint: str) -> None:
        self.s3 = running.client_of(home, endpoint)
        self._parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=PART)

    def can_say(self, key: str) -> bool:
        return bool(key)

    def put(self, bucket: str, key: str, file: Path) -> str:
        try:
            with file.open("rb") as body:
                self.s3.put_object(Bucket=bucket, Key=key, Body=body)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return f"{status} {error.response['Error']['Code']}"
        return ""

    def get(self, bucket: str, key: str, file: Path) -> None:
        file.write_bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        for name, path in _files(folder).items():
            self.s3.upload_file(str(path), bucket, prefix + name, Config=self._parts)

    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        for name in self.sizes(bucket, prefix):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, prefix + name, str(target), Config=self._parts)

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": 5}
        )
        return {
            found["Key"].removeprefix(prefix): found["Size"]
            for page in pages
            for found in page.get("Contents", [])
        }

    def head(self, bucket: str, key: str) -> int:
        return int(self.s3.head_object(Bucket=bucket, Key=key)["ContentLength"])

    def range(self, bucket: str, key: str, first: int, last: int) -> bytes:
        answer = self.s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
        body: bytes = answer["Body"].read()
        return body


class MinioSdk:
    """MinIO's own SDK."""

    ranges_to_the_end_only = False

    def __init__(self, home: Path, endpoint: str) -> None:
        demo = json.loads((home / "demo.json").read_text())
        parts = urlsplit(endpoint)
        self.pool: Any = urllib3.PoolManager(ca_certs=str(home / "ca.pem"), retries=False)
        self.sdk = Minio(
            parts.netloc,
            access_key=demo["access_key"],
            secret_key=demo["secret"],
            secure=parts.scheme == "https",
            region="us-east-1",
            http_client=self.pool,
        )

    def can_say(self, key: str) -> bool:
        return bool(key)

    def put(self, bucket: str, key: str, file: Path) -> str:
        try:
            size = file.stat().st_size
            self.sdk.put_object(bucket, key, io.BytesIO(file.read_bytes()), size, part_size=PART)
        except S3Error as error:
            return f"{error.response.status} {error.code}"
        return ""

    def get(self, bucket: str, key: str, file: Path) -> None:
        file.write_bytes(self._read(bucket, key))

    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        for name, path in _files(folder).items():
            assert self.put(bucket, prefix + name, path) == "", name

    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        for name in self.sizes(bucket, prefix):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.get(bucket, prefix + name, target)

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        found = self.sdk.list_objects(bucket, prefix, recursive=True)
        return {(one.object_name or "").removeprefix(prefix): one.size or 0 for one in found}

    def head(self, bucket: str, key: str) -> int:
        return self.sdk.stat_object(bucket, key).size or 0

    def range(self, bucket: str, key: str, first: int, last: int) -> bytes:
        return self._read(bucket, key, offset=first, length=last - first + 1)

    def _read(self, bucket: str, key: str, **more: int) -> bytes:
        answer = self.sdk.get_object(bucket, key, **more)  # type: ignore[arg-type]
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()


class Tool:
    """A program: its standard arguments and environment."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.command = [str(BIN / command[0]), *command[1:]]
        self.environment = {**os.environ, "HOME": "/nonexistent", **environment}

    def attempt(self, *arguments: str) -> tuple[int, bytes, str]:
        done = subprocess.run(
            [*self.command, *arguments], env=self.environment, capture_output=True, check=False
        )
        return done.returncode, done.stdout, done.stderr.decode()

    def __call__(self, *arguments: str) -> bytes:
        code, out, err = self.attempt(*arguments)
        assert code == 0, f"{arguments}: {err}"
        return out

    def refusal(self, *arguments: str) -> str:
        """Run; return nothing when it went well, else what the program said."""
        code, out, err = self.attempt(*arguments)
        return (out.decode() + err) or str(code) if code else ""


class AwsCli:
    """The AWS CLI, version 1."""

    ranges_to_the_end_only = False

    def __init__(self, home: Path, endpoint: str, folder: Path) -> None:
        demo = json.loads((home / "demo.json").read_text())
        self._piece = folder / "piece"
        self.aws = Tool(
            *("aws", "--endpoint-url", endpoint, "--output", "json"),
            AWS_ACCESS_KEY_ID=demo["access_key"],
            AWS_SECRET_ACCESS_KEY=demo["secret"],
            AWS_CA_BUNDLE=str(home / "ca.pem"),
            AWS_DEFAULT_REGION="us-east-1",
            AWS_MAX_ATTEMPTS="1",
        )

    def can_say(self, key: str) -> bool:
        return bool(key)

    def put(self, bucket: str, key: str, file: Path) -> str:
        here = ["--bucket", bucket, "--key", key, "--body", str(file)]
        return self.aws.refusal("s3api", "put-object", *here)

    def get(self, bucket: str, key: str, file: Path) -> None:
        self.aws("s3api", "get-object", "--bucket", bucket, "--key", key, str(file))

    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.aws(
            "s3", "cp", "--recursive", "--only-show-errors", f"{folder}/", f"s3://{bucket}/{prefix}"
        )

    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.aws("s3", "sync", "--only-show-errors", f"s3://{bucket}/{prefix}", str(folder))

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        page = json.loads(
            self.aws("s3api", "list-objects-v2", "--bucket", bucket, "--prefix", prefix) or "{}"
        )
        return {
            found["Key"].removeprefix(prefix): found["Size"] for found in page.get("Contents", [])
        }

    def head(self, bucket: str, key: str) -> int:
        answer = json.loads(self.aws("s3api", "head-object", "--bucket", bucket, "--key", key))
        return int(answer["ContentLength"])

    def range(self, bucket: str, key: str, first: int, last: int) -> bytes:
        here = ["--bucket", bucket, "--key", key, "--range", f"bytes={first}-{last}"]
        self.aws("s3api", "get-object", *here, str(self._piece))
        return self._piece.read_bytes()


class Rclone:
    """rclone, told that the provider's ETags are no MD5."""

    ranges_to_the_end_only = False

    def __init__(self, home: Path, endpoint: str, folder: Path) -> None:
        demo = json.loads((home / "demo.json").read_text())
        config = folder / "rclone.conf"
        config.write_text(
            f"[hyok]\ntype = s3\nprovider = Other\naccess_key_id = {demo['access_key']}\n"
            f"secret_access_key = {demo['secret']}\nendpoint = {endpoint}\nregion = us-east-1\n"
            "force_path_style = true\nuse_multipart_etag = false\nno_check_bucket = true\n"
            "chunk_size = 5M\nupload_cutoff = 6M\n"
        )
        ca = str(home / "ca.pem")
        self.rclone = Tool("rclone", "--config", str(config), "--ca-cert", ca, "--retries", "1")
        self.rclone.command += ["--low-level-retries", "1"]

    def can_say(self, key: str) -> bool:
        """It takes slashes at the front, at the end and in a row out of a path."""
        return "//" not in key and not key.startswith("/") and not key.endswith("/")

    def put(self, bucket: str, key: str, file: Path) -> str:
        return self.rclone.refusal("copyto", str(file), f"hyok:{bucket}/{key}")

    def get(self, bucket: str, key: str, file: Path) -> None:
        self.rclone("copyto", f"hyok:{bucket}/{key}", str(file))

    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.rclone("copy", str(folder), f"hyok:{bucket}/{prefix}")
        self.rclone("check", "--download", str(folder), f"hyok:{bucket}/{prefix}")

    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.rclone("copy", f"hyok:{bucket}/{prefix}", str(folder))

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        found = json.loads(
            self.rclone("lsjson", "--recursive", "--files-only", f"hyok:{bucket}/{prefix}")
        )
        return {one["Path"]: one["Size"] for one in found}

    def head(self, bucket: str, key: str) -> int:
        return int(json.loads(self.rclone("lsjson", "--stat", f"hyok:{bucket}/{key}"))["Size"])

    def range(self, bucket: str, key: str, first: int, last: int) -> bytes:
        span = ["--offset", str(first), "--count", str(last - first + 1)]
        return self.rclone("cat", *span, f"hyok:{bucket}/{key}")


class S3cmd:
    """s3cmd, which asks for a range only to go on with a file that it has the front of."""

    ranges_to_the_end_only = True

    def __init__(self, home: Path, endpoint: str, folder: Path) -> None:
        demo = json.loads((home / "demo.json").read_text())
        parts = urlsplit(endpoint)
        config = folder / "s3cfg"
        config.write_text(
            f"[default]\naccess_key = {demo['access_key']}\nsecret_key = {demo['secret']}\n"
            f"host_base = {parts.netloc}\nhost_bucket = {parts.netloc}\n"
            f"use_https = {parts.scheme == 'https'}\nbucket_location = us-east-1\n"
            f"ca_certs_file = {home}/ca.pem\nmultipart_chunk_size_mb = 5\nmax_retries = 1\n"
        )
        self.s3cmd = Tool("s3cmd", "-c", str(config), "--no-progress")
        self._rest = folder / "rest"

    def can_say(self, key: str) -> bool:
        """It fetches nothing whose name ends in a slash, and has no key begin with one."""
        return not key.endswith("/") and not key.startswith("/")

    def put(self, bucket: str, key: str, file: Path) -> str:
        return self.s3cmd.refusal("put", str(file), f"s3://{bucket}/{key}")

    def get(self, bucket: str, key: str, file: Path) -> None:
        self.s3cmd("get", "--force", f"s3://{bucket}/{key}", str(file))

    def put_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.s3cmd("sync", f"{folder}/", f"s3://{bucket}/{prefix}")

    def get_tree(self, bucket: str, prefix: str, folder: Path) -> None:
        self.s3cmd("sync", f"s3://{bucket}/{prefix}", f"{folder}/")

    def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        lines = self.s3cmd("ls", "--recursive", f"s3://{bucket}/{prefix}").decode().splitlines()
        found = {}
        for line in lines:
            _, _, size, address = line.split(maxsplit=3)
            found[address.removeprefix(f"s3://{bucket}/{prefix}")] = int(size)
        return found

    def head(self, bucket: str, key: str) -> int:
        for line in self.s3cmd("info", f"s3://{bucket}/{key}").decode().splitlines():
            if line.strip().startswith("File size:"):
                return int(line.split(":")[1])
        raise AssertionError("s3cmd tells no length")

    def range(self, bucket: str, key: str, first: int, last: int) -> bytes:
        del last
        self._rest.write_bytes(bytes(first))
        self.s3cmd("get", "--continue", f"s3://{bucket}/{key}", str(self._rest))
        return self._rest.read_bytes()[first:]


CLIENTS: dict[str, Callable[[Path, str, Path], Client]] = {
    "boto3": lambda home, endpoint, _: Boto3(home, endpoint),
    "minio": lambda home, endpoint, _: MinioSdk(home, endpoint),
    "aws": AwsCli,
    "rclone": Rclone,
    "s3cmd": S3cmd,
}
