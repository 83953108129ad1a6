"""The same promises over a real S3 store: SeaweedFS behind the gateway, boto3 in front."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from tests.compat.matrix import ODD_KEYS, SIZES, content
from tests.e2e import running
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
CLEAR, SEALED = "weed-intern", "weed-geheim"
MARKERS = (b"BSN-123456782", b"naam-van-Jansen", b"geboren-Jansen", b"besluit-Jansen")


class Setting:
    """A store, a gateway on it, and a client of each."""

    def __init__(self, store: seaweedfs.SeaweedFS, client: Any) -> None:
        self.store = store
        self.client = client
        self.behind = boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret,
            region_name="us-east-1",
        )


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("real")
    (folder / "weed").mkdir()
    store = seaweedfs.start(folder / "weed")
    home = folder / "home"
    try:
        running.start(home, "--reset").stop()
        process, endpoint = serve(home, store)
        try:
            demo = json.loads((home / "demo.json").read_text())
            yield Setting(
                store,
                boto3.client(
                    "s3",
                    endpoint_url=endpoint,
                    aws_access_key_id=demo["access_key"],
                    aws_secret_access_key=demo["secret"],
                    region_name="us-east-1",
                ),
            )
        finally:
            process.terminate()
            assert process.wait(40) == 0
    finally:
        store.stop()


def serve(home: Path, store: seaweedfs.SeaweedFS) -> tuple[subprocess.Popen[bytes], str]:
    """Start `hyok serve gateway` over plain http, with the real store in its settings."""
    port, management = running.free_port(), running.free_port()
    text = re.sub(r"(?m)^tls_.*\n", "", (home / "hyok.toml").read_text())
    text = re.sub(r"(\[gateway\]\n)port = \d+", rf"\1port = {port}", text)
    text = re.sub(r"(\[management\]\n)port = \d+", rf"\1port = {management}", text)
    text += (
        f'\n[[stores]]\nkind = "s3"\nname = "weed"\nendpoint = "{store.endpoint}"\n'
        f'credentials_file = "{store.credentials_file()}"\njurisdiction = "NL"\ncontrol = "NL"\n'
    )
    config = home / "real.toml"
    config.write_text(text)
    hyok = [sys.executable, "-m", "hyok"]
    for bucket, name in ((CLEAR, "intern"), (SEALED, "geheim")):
        make = ["buckets", "create", bucket, "--tenant", "gemeente", "--classification", name]
        subprocess.run([*hyok, *make, "--store", "weed", "--config", str(config)], check=True)
    process = subprocess.Popen([*hyok, "serve", "gateway", "--config", str(config)])
    endpoint = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 30
    import urllib.error
    import urllib.request

    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{management}/readyz").close()
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return process, endpoint


@pytest.mark.parametrize("bucket", [CLEAR, SEALED])
def test_every_size_and_range_comes_back(setting: Setting, bucket: str) -> None:
    s3 = setting.client
    for size in SIZES:
        body, key = content(size), f"maat/{size}"
        s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"soort": "brief"})
        answer = s3.get_object(Bucket=bucket, Key=key)
        assert answer["Body"].read() == body
        assert answer["Metadata"] == {"soort": "brief"}
        if size > 10:
            part = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=5-{size - 3}")
            assert part["Body"].read() == body[5 : size - 2]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="maat/")["Contents"]
    assert {found["Key"]: found["Size"] for found in listed} == {f"maat/{n}": n for n in SIZES}


def test_a_long_object_goes_up_in_parts_and_is_copied(setting: Setting) -> None:
    body = content((20 << 20) + 3, 7)
    parts = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=7 << 20)
    for bucket in (CLEAR, SEALED):
        setting.client.upload_fileobj(io.BytesIO(body), bucket, "delen", Config=parts)
        source = {"Bucket": bucket, "Key": "delen"}
        setting.client.copy_object(Bucket=bucket, Key="kopie", CopySource=source)
        for key in ("delen", "kopie"):
            assert setting.client.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        assert setting.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_key_that_the_store_cannot_hold_gets_its_own_error_and_leaves_nothing(
    setting: Setting,
) -> None:
    def behind() -> set[str]:
        pages = setting.behind.get_paginator("list_objects_v2").paginate(Bucket=CLEAR)
        return {found["Key"] for page in pages for found in page.get("Contents", [])}

    refused = 0
    for key in ODD_KEYS:
        before = behind()
        try:
            setting.client.put_object(Bucket=CLEAR, Key=key, Body=key.encode())
        except ClientError as error:
            refused += 1
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
            assert error.response["Error"]["Code"] in {"InvalidArgument", "KeyTooLongError"}
            assert behind() == before
        else:
            assert setting.client.get_object(Bucket=CLEAR, Key=key)["Body"].read() == key.encode()
    assert 0 < refused < len(ODD_KEYS) // 2


def test_conditions_are_decided_by_the_store(setting: Setting) -> None:
    s3 = setting.client
    s3.put_object(Bucket=CLEAR, Key="eens", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket=CLEAR, Key="eens", Body=b"2", IfNoneMatch="*")
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    assert s3.get_object(Bucket=CLEAR, Key="eens")["Body"].read() == b"1"


def test_the_supplier_finds_no_marker_on_its_disks(setting: Setting) -> None:
    body = MARKERS[0] * 1000
    request = {
        "Key": f"{MARKERS[1].decode()}/stuk.pdf",
        "Body": body,
        "Metadata": {"persoon": MARKERS[2].decode()},
        "ContentDisposition": f'attachment; filename="{MARKERS[3].decode()}"',
    }
    needles = [*MARKERS, hashlib.sha256(body).hexdigest().encode(), hashlib.md5(body).digest()]

    def found() -> set[bytes]:
        """Look at every file of the store, and at everything that it tells with its own keys."""
        told = [path.read_bytes() for path in setting.store.directory.rglob("*") if path.is_file()]
        for bucket in setting.behind.list_buckets()["Buckets"]:
            here = {"Bucket": bucket["Name"]}
            for entry in setting.behind.list_objects_v2(**here).get("Contents", []):
                answer = setting.behind.get_object(**here, Key=entry["Key"])
                told.append(repr((entry, answer)).encode() + answer["Body"].read())
        return {needle for needle in needles if any(needle in held for held in told)}

    setting.client.put_object(Bucket=SEALED, **request)
    assert found() == set()
    # The same upload straight to the store: the same search finds every marker.
    setting.behind.create_bucket(Bucket="in-clear")
    setting.behind.put_object(Bucket="in-clear", **request)
    assert found() >= set(MARKERS)


def test_a_lying_store_never_gets_a_wrong_byte_through(setting: Setting) -> None:
    one, two = content(400_000, 1), content(400_000, 2)
    for key, body in (("een", one), ("twee", two)):
        setting.client.put_object(Bucket=CLEAR, Key=key, Body=body)
    held = {key: setting.behind.get_object(Bucket=CLEAR, Key=key) for key in ("een", "twee")}
    raw = {key: answer["Body"].read() for key, answer in held.items()}
    facts = {key: answer["Metadata"] for key, answer in held.items()}
    good = raw["een"]
    lies = [
        (good[:100] + bytes([good[100] ^ 1]) + good[101:], facts["een"]),
        (good[:300_000] + bytes([good[300_000] ^ 1]) + good[300_001:], facts["een"]),
        (good[:-1] + bytes([good[-1] ^ 1]), facts["een"]),
        (good[:-1], facts["een"]),
        (good + b"\0", facts["een"]),
        (raw["twee"], facts["twee"]),
        (raw["twee"], facts["een"]),
        (good, facts["twee"]),
        (good, {}),
        (good, {"hyok": facts["een"]["hyok"][:-4] + "AAAA"}),
        (one, {}),
    ]
    for body, metadata in lies:
        setting.behind.put_object(Bucket=CLEAR, Key="een", Body=body, Metadata=metadata)
        got = b""
        with pytest.raises((ClientError, BotoCoreError, OSError)):
            answer = setting.client.get_object(Bucket=CLEAR, Key="een")
            for piece in answer["Body"].iter_chunks(65536):
                got += piece
        assert one.startswith(got)
    setting.behind.put_object(Bucket=CLEAR, Key="een", Body=good, Metadata=facts["een"])
    assert setting.client.get_object(Bucket=CLEAR, Key="een")["Body"].read() == one
