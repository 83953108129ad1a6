"""The HSM goes away and comes back: 503 meanwhile, nothing in clear, and no restart needed."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from tests.e2e import running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]


def test_the_door_closes_without_the_hsm_and_opens_with_it(tmp_path: Path) -> None:
    installation = running.fresh(tmp_path / "home")
    tokens = installation.home / "softhsm" / "tokens"
    away = installation.home / "softhsm" / "away"
    try:
        client = installation.client()
        for bucket in ("intern", "vertrouwelijk", "geheim"):
            client.put_object(Bucket=bucket, Key="voor", Body=b"voor")
        tokens.rename(away)
        for pid in installation.pids("hyok.hsm.agent"):
            os.kill(pid, signal.SIGKILL)
        closed = time.monotonic() + 15
        while True:  # keys in memory serve until the absence is noticed
            try:
                client.head_object(Bucket="vertrouwelijk", Key="voor")
            except ClientError:
                break
            assert time.monotonic() < closed
            time.sleep(0.3)
        before = sum(path.stat().st_size for path in (installation.home / "store").rglob("*data*"))
        for bucket in ("intern", "vertrouwelijk", "geheim"):
            with pytest.raises(ClientError) as caught:
                client.put_object(Bucket=bucket, Key="tijdens", Body=b"x" * 100_000)
            answer = caught.value.response
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
            assert "retry-after" in answer["ResponseMetadata"]["HTTPHeaders"]
            with pytest.raises(ClientError):
                client.get_object(Bucket=bucket, Key="voor")
        after = sum(path.stat().st_size for path in (installation.home / "store").rglob("*data*"))
        assert after == before
        away.rename(tokens)
        deadline = time.monotonic() + 60
        for bucket in ("intern", "vertrouwelijk", "geheim"):
            while True:
                try:
                    body = client.get_object(Bucket=bucket, Key="voor")["Body"].read()
                except ClientError:
                    assert time.monotonic() < deadline
                    time.sleep(0.3)
                else:
                    assert body == b"voor"
                    break
            client.put_object(Bucket=bucket, Key="na", Body=b"na")
            with pytest.raises(client.exceptions.NoSuchKey):
                client.get_object(Bucket=bucket, Key="tijdens")
    finally:
        assert installation.stop() == 0


def peak_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:  # noqa: PTH123
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_long_bodies_and_many_streams_stay_within_their_memory(tmp_path: Path) -> None:
    """5,000,000,000 bytes with HYOK_LONG, a tenth of it otherwise; then 64 streams at once."""
    size = 5_000_000_000 if os.environ.get("HYOK_LONG") else 500_000_000
    installation = running.fresh(tmp_path / "home")
    try:
        client = installation.client(max_pool_connections=80)
        client.put_object(Bucket="intern", Key="warm", Body=bytes(3_000_000))
        client.get_object(Bucket="intern", Key="warm")["Body"].read()
        parts = ("serve worker", "hyok.hsm.agent", "hyok.cli.audit_writer")
        pids = [pid for part in parts for pid in installation.pids(part)]
        before = sum(map(peak_kib, pids))
        block = bytes(range(256)) * 4096

        class Body:
            """A long body that is not held."""

            def __init__(self) -> None:
                self.at = 0

            def __len__(self) -> int:
                return size

            def tell(self) -> int:
                return self.at

            def seek(self, at: int, whence: int = 0) -> int:
                self.at = size + at if whence == 2 else at
                return self.at

            def read(self, count: int = -1) -> bytes:
                count = min(len(block) if count < 0 else min(count, len(block)), size - self.at)
                self.at += count
                return block[:count]

        client.put_object(Bucket="intern", Key="lang", Body=Body(), ContentLength=size)
        got = 0
        pattern = block + block
        for piece in client.get_object(Bucket="intern", Key="lang")["Body"].iter_chunks(1 << 20):
            assert piece == pattern[got % 256 : got % 256 + len(piece)]
            got += len(piece)
        assert got == size
        grown = sum(map(peak_kib, pids)) - before
        assert grown < 64 << 10, f"{grown} KiB more for one long body"

        def stream(number: int) -> None:
            key = f"stroom/{number}"
            client.put_object(Bucket="intern", Key=key, Body=bytes(4_000_000))
            assert len(client.get_object(Bucket="intern", Key=key)["Body"].read()) == 4_000_000

        threads = [threading.Thread(target=stream, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        total = sum(map(peak_kib, pids))
        print(f"grown {grown} KiB, peak of all {total} KiB")
        assert total < 300 << 10, f"{total} KiB for 64 streams"
    finally:
        assert installation.stop() == 0
