"""`kill -9` at random moments: the acknowledged is whole and on record, nothing else appears."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.e2e import forked, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
KILLS = 100 if os.environ.get("HYOK_LONG") else 20
VICTIMS = ("serve worker", "hyok.hsm.agent", "hyok.cli.audit_writer", "serve worker")
BUCKET = "vertrouwelijk"
KEPT = "intern"  # its keyring records are mirrored, so it outlives the database
PART = 5 << 20


class Writer(threading.Thread):
    """Writes objects under its own keys until told to stop; remembers what was acknowledged."""

    def __init__(self, client: Any, number: int, seed: str) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.number = number
        self.bucket = KEPT if number == 2 else BUCKET
        self.seed = seed
        self.acknowledged: dict[str, str] = {}
        self.tried: dict[str, set[str]] = {}
        self.requests: list[str] = []
        self.failures = 0
        self.stopping = threading.Event()

    def body(self, turn: int, size: int) -> bytes:
        block = hashlib.sha256(f"{self.seed}{self.number}{turn}".encode()).digest()
        return (block * (size // 32 + 1))[:size]

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            key = f"{self.number}/{turn % 7}"
            size = (0, 1000, 300_000, 1_500_000, 2_500_000, PART + 1000)[turn % 6]
            body = self.body(turn, size)
            digest = hashlib.sha256(body).hexdigest()
            self.tried.setdefault(key, set()).add(digest)
            try:
                answer = self.upload(key, body) if size > PART else self.put(key, body)
            except (BotoCoreError, ClientError):
                self.failures += 1
                # Its outcome is not known: old or new, whole.
                self.acknowledged.pop(key, None)
                time.sleep(0.05)
                continue
            self.acknowledged[key] = digest
            self.requests.append(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"])

    def put(self, key: str, body: bytes) -> Any:
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def upload(self, key: str, body: bytes) -> Any:
        made = self.client.create_multipart_upload(Bucket=self.bucket, Key=key)
        here = {"Bucket": self.bucket, "Key": key, "UploadId": made["UploadId"]}
        parts = []
        for number, at in enumerate(range(0, len(body), PART), 1):
            part = self.client.upload_part(**here, PartNumber=number, Body=body[at : at + PART])
            parts.append({"PartNumber": number, "ETag": part["ETag"]})
        return self.client.complete_multipart_upload(**here, MultipartUpload={"Parts": parts})


def wait_ready(installation: running.Running) -> None:
    client = installation.client()
    deadline = time.monotonic() + 30
    while True:
        try:
            client.put_object(Bucket=BUCKET, Key="klaar", Body=b"1")
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = os.environ.get("HYOK_SEED") or secrets.token_hex(4)
    chance = hashlib.sha256(seed.encode())
    installation = running.fresh(tmp_path / "home")
    try:
        writers = [Writer(installation.client(), number, seed) for number in range(3)]
        for writer in writers:
            writer.start()
        for kill in range(KILLS):
            chance.update(bytes([kill % 256]))
            moment = chance.digest()
            time.sleep(0.1 + moment[0] / 255 * 0.6)
            for pid in installation.pids(VICTIMS[moment[1] % len(VICTIMS)])[:1]:
                os.kill(pid, signal.SIGKILL)
            if kill % 5 == 4:
                wait_ready(installation)
        wait_ready(installation)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        assert sum(len(writer.requests) for writer in writers) > KILLS
        check(installation, writers)
    finally:
        assert installation.stop() == 0
    assert not list((tmp_path / "home" / "store").rglob("*.tmp"))
    check_after_the_database_is_gone(tmp_path / "home", writers[2])


def check_after_the_database_is_gone(home: Path, writer: Writer) -> None:
    for name in ("hyok.db", "hyok.db-wal", "hyok.db-shm", "demo.json"):
        (home / name).unlink(missing_ok=True)
    done = forked.hyok("recover", "--config", str(home / "hyok.toml"))
    assert done.returncode == 3, done.stdout + done.stderr  # the other bucket is shreddable
    installation = running.start(home)
    try:
        client = installation.client()
        for key, digest in writer.acknowledged.items():
            body = client.get_object(Bucket=KEPT, Key=key)["Body"].read()
            assert hashlib.sha256(body).hexdigest() == digest, key
        assert writer.acknowledged
    finally:
        assert installation.stop() == 0


def check(installation: running.Running, writers: list[Writer]) -> None:
    client = installation.client()
    listed = {
        (bucket, found["Key"]): found["Size"]
        for bucket in (BUCKET, KEPT)
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for found in page.get("Contents", [])
    }
    for writer in writers:
        for key, tried in writer.tried.items():
            try:
                body = client.get_object(Bucket=writer.bucket, Key=key)["Body"].read()
            except client.exceptions.NoSuchKey:
                assert key not in writer.acknowledged, f"{key} was acknowledged and is gone"
                continue
            digest = hashlib.sha256(body).hexdigest()
            assert digest in tried, f"{key} holds bytes that nobody sent"
            assert listed[writer.bucket, key] == len(body)
            if key in writer.acknowledged:
                assert digest == writer.acknowledged[key], f"{key} lost an acknowledged write"
    log = installation.home / "audit" / "audit.jsonl"
    done = set()
    numbers = []
    for line in log.read_bytes().splitlines():
        record = json.loads(line)
        numbers.append(record["seq"])
        if record.get("outcome") == "done":
            done.add(record.get("request_id"))
    assert numbers == sorted(numbers)
    # `intern` is batched: a crash may lose the last second of its records.
    ahead = [writer for writer in writers if writer.bucket == BUCKET]
    missing = [r for writer in ahead for r in writer.requests if r not in done]
    assert not missing, f"{len(missing)} acknowledged requests have no record"
