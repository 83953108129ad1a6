"""An installation on PostgreSQL: moved there from SQLite, shared by two gateways, and it goes away.

Everything by the CLI and by S3 clients, on a real server; PostgreSQL keeps `fsync` here.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM
from tests.peers.postgresql import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]
PART = 5 << 20
CLASSES = operated.CLASSES
AGE_SECONDS_MAX = 30
"""How long a gateway serves from memory without its database (docs/operate.md)."""


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as made:
        yield made


def moved(folder: Path, url: str, **more: Any) -> operated.Operated:
    """Return the copied installation with its database moved there, as its operator does."""
    old = operated.copied(folder)
    backup = folder / "backup"
    old.alone("backup", str(backup))
    made = operated.reinstalled(old, database=url, **more)
    made.alone("restore", str(backup))
    (made.home / "hyok.db").unlink()
    return made


def test_an_installation_moves_there_and_back_with_every_object(
    tmp_path: Path, server: PostgreSQL
) -> None:
    old = operated.copied(tmp_path)
    bodies = {name: os.urandom(1000) for name in CLASSES}
    try:
        gateway = old.serve()
        for name, body in bodies.items():
            gateway.client().put_object(Bucket=name, Key="k", Body=body)
    finally:
        old.close()
    old.alone("backup", str(tmp_path / "one"))
    made = operated.reinstalled(old, database=server.new_database())
    made.alone("restore", str(tmp_path / "one"))
    (made.home / "hyok.db").unlink()
    checks = {row["check"]: row["said"] for row in json.loads(made.alone("doctor", "--json"))}
    assert checks["backup"] == "the last one is 0.0 days old"
    try:
        s3 = made.serve().client()
        for name, body in bodies.items():
            assert s3.get_object(Bucket=name, Key="k")["Body"].read() == body
            s3.put_object(Bucket=name, Key="new", Body=body)
    finally:
        made.close()
    made.alone("backup", str(tmp_path / "two"))
    assert "holds an installation" in made.alone("restore", str(tmp_path / "two"), ok=1)
    made.alone("restore", str(tmp_path / "two"), "--force")
    back = operated.reinstalled(made)
    back.alone("restore", str(tmp_path / "two"))
    try:
        s3 = back.serve().client()
        for name, body in bodies.items():
            assert s3.get_object(Bucket=name, Key="new")["Body"].read() == body
    finally:
        back.close()


def test_two_gateways_on_one_database_are_one(tmp_path: Path, server: PostgreSQL) -> None:
    """An upload begun at one and sent in parts to both; a new IK made by both at once is one."""
    made = moved(tmp_path, server.new_database())
    other = operated.reinstalled(made, beside=True)
    try:
        one, two = made.serve().client(), other.serve().client()
        for name in CLASSES:
            here = {"Bucket": name, "Key": "delen"}
            begun = one.create_multipart_upload(**here)
            here["UploadId"] = begun["UploadId"]
            bodies = [os.urandom(PART), os.urandom(PART), os.urandom(7)]
            parts = []
            for number, (s3, body) in enumerate(zip((one, two, one), bodies, strict=True), 1):
                part = s3.upload_part(**here, PartNumber=number, Body=body)
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            two.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})
            read = one.get_object(Bucket=name, Key="delen")["Body"].read()
            assert hashlib.sha256(read).digest() == hashlib.sha256(b"".join(bodies)).digest()
        shown = made.alone("apps", "create", "nieuw", "--tenant", operated.TENANT, "--json")
        other.act_as(shown)
        for gateway in (*made.gateways, *other.gateways):  # known to both at once
            gateway.client().put_object(Bucket="intern", Key="nieuw", Body=b"1")
    finally:
        other.close()
        made.close()


def test_a_lost_server_fails_closed_in_time_and_is_used_again_by_itself(
    tmp_path: Path, server: PostgreSQL
) -> None:
    made = moved(tmp_path, server.new_database())
    try:
        gateway = made.serve()
        s3 = gateway.client()
        with operated.Load(gateway, ("intern", "vertrouwelijk")) as load:
            time.sleep(1)
            server.kill()
            killed = time.monotonic()
            with pytest.raises(ClientError) as caught:  # what only the database knows
                s3.create_multipart_upload(Bucket="intern", Key="delen")
            assert operated.status_of(caught.value) == 503
            while not load.failed or load.failed[-1] != 503 or done_within(load, 2.0):
                assert time.monotonic() - killed < AGE_SECONDS_MAX + 8, "still served from memory"
            # Writes end with what was leased of them, perhaps before memory does.
            while made.readyz()[0] != 503:
                assert time.monotonic() - killed < AGE_SECONDS_MAX + 8, "ready without a database"
            server.start()
            started = time.monotonic()
            while not done_within(load, 0.5):
                assert time.monotonic() - started < 20, "the server is back, and not used"
        assert not load.wrong, load.wrong[:3]
        assert set(load.failed) == {503}
        upload = s3.create_multipart_upload(Bucket="intern", Key="delen")["UploadId"]
        s3.abort_multipart_upload(Bucket="intern", Key="delen", UploadId=upload)
        for (bucket, key), body in load.held.items():  # acknowledged, so on record and whole
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
        assert made.wait_ready() < 30
    finally:
        made.close()


def done_within(load: operated.Load, seconds: float) -> bool:
    """Return whether a request succeeds in this time."""
    before, ends = load.done, time.monotonic() + seconds
    while time.monotonic() < ends:
        if load.done > before:
            return True
        time.sleep(0.02)
    return False
