"""Ceph's object gateway keeps objects under SSE-KMS, whose keys are those of the Transit door.

Started by `./hyok test --long tests/compat/test_rgw_kms.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e import four_eyes, operated
from tests.peers import radosgw
from tests.peers.ports import free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        "HYOK_LONG" not in os.environ or bool(radosgw.missing()), reason="not asked for, or no Ceph"
    ),
]
SETTINGS = """\
rgw crypt s3 kms backend = vault
rgw crypt vault auth = token
rgw crypt vault token file = {token}
rgw crypt vault addr = http://127.0.0.1:{port}
rgw crypt vault prefix = /v1/transit
rgw crypt vault secret engine = transit
"""


OPEN_SECONDS_MAX = 60.0


def wait_for(port: int) -> None:
    """Return when the door answers: it is a process of its own and may open a little later."""
    deadline = time.monotonic() + OPEN_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/sys/health", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, "the door does not open"
            time.sleep(0.1)
        else:
            return


def test_objects_of_rgw_are_kept_under_a_key_of_the_hsm() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hyok-rgw-"))
    port = free_port()
    made = operated.copied(folder, limits=f"[doors.transit]\nenabled = true\nport = {port}\n")
    officers = four_eyes.found(made.config)
    app = ["apps", "create", "ceph", "--tenant", "gemeente", "--grant", "use-keys"]
    made.cli([*app, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"])
    key = ["doors", "keys", "create", "emmers", "--tenant", "gemeente", "--app", "ceph"]
    four_eyes.together(made.config, [*key, "--classification", "vertrouwelijk"], who=officers)
    token = ["doors", "transit-token", "create", "ceph", "--expires", "1d", "--json"]
    (row,) = json.loads(made.cli(token)[0])
    file = folder / "vault.token"
    file.touch(0o600)
    file.write_text(row["token"])
    made.serve()
    wait_for(port)
    (folder / "ceph").mkdir()
    store = radosgw.start(folder / "ceph", SETTINGS.format(token=file, port=port))
    try:
        client = boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        )
        client.create_bucket(Bucket="emmer")
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "emmers"}
        body = os.urandom(100_000)
        client.put_object(Bucket="emmer", Key="zaak.pdf", Body=body, **kms)
        answer = client.get_object(Bucket="emmer", Key="zaak.pdf")
        assert answer["Body"].read() == body
        assert answer["SSEKMSKeyId"] == "emmers"
        with pytest.raises(ClientError):
            client.put_object(
                Bucket="emmer", Key="x", Body=b"x", **(kms | {"SSEKMSKeyId": "anders"})
            )
        state = ["--tenant", "gemeente", "--reason", "incident"]
        made.cli(["doors", "keys", "suspend", "emmers", *state])
        time.sleep(5)
        with pytest.raises(ClientError):
            client.get_object(Bucket="emmer", Key="zaak.pdf")["Body"].read()
        made.cli(["doors", "keys", "resume", "emmers", *state])
        time.sleep(5)
        assert client.get_object(Bucket="emmer", Key="zaak.pdf")["Body"].read() == body
        log = next((made.home / "audit").glob("*.jsonl")).read_text()
        uses = [json.loads(line) for line in log.splitlines() if "operation:datakey" in line]
        assert {one["actor"] for one in uses} == {"ceph"}
    finally:
        store.stop()
        made.close()
    shutil.rmtree(folder, ignore_errors=True)
