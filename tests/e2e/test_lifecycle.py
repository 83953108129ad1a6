"""Lifecycle rules over real processes and stores: set with boto3, carried out by themselves.

A day of these gateways is a few seconds long.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import running
from tests.peers import seaweedfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]

DAY_SECONDS = 5
GONE_SECONDS_MAX = 60.0
COUNT = 60  # objects, more than two steps of a job
PAST = datetime(2015, 1, 1, tzinfo=UTC)


@dataclass
class Town:
    """Two stores, and an installation in front of them."""

    home: Path
    config: Path
    gateway: running.Gateway

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hyok", *command, "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str) -> Any:
        process = self.start(*command, "--json")
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, out + err
        return json.loads(out)[0]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("lifecycle")
    with ExitStack() as over:
        (folder / "weed").mkdir()
        store = seaweedfs.start(folder / "weed")
        over.callback(store.stop)
        home = folder / "home"
        running.prepare(home)
        stores = running.s3_store("weed", store.endpoint, store.credentials_file())
        config = running.configure(home, "lifecycle", stores, https=False)
        short = f"[lifecycle]\nday_seconds = {DAY_SECONDS}\n\n[[stores]]"
        config.write_text(config.read_text().replace("[[stores]]", short, 1))
        gateway = running.serve(config)
        over.callback(gateway.stop)
        yield Town(home, config, gateway)


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_SECONDS_MAX
    while not what():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.3)


def keys_of(s3: Any, bucket: str) -> set[str]:
    return {one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def versions_of(s3: Any, bucket: str) -> list[tuple[str, str, bool]]:
    told = s3.list_object_versions(Bucket=bucket)
    rows = [
        (one["Key"], one["VersionId"], marker)
        for name, marker in (("Versions", False), ("DeleteMarkers", True))
        for one in told.get(name, [])
    ]
    return sorted(rows)


def set_rules(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    rows = [{"Status": "Enabled", "Filter": {}, **rule} for rule in rules]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rows})


@pytest.mark.parametrize("store", ["local", "weed"])
def test_objects_expire_by_themselves_and_the_log_says_who_did_it(town: Town, store: str) -> None:
    bucket = f"verloop-{store}"
    running.make_bucket(town.config, bucket, "onbekend", store)
    with closing(town.gateway.client()) as s3:
        until(lambda: bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]})
        with pytest.raises(ClientError) as absent:
            s3.get_bucket_lifecycle_configuration(Bucket=bucket)
        assert absent.value.response["Error"]["Code"] == "NoSuchLifecycleConfiguration"
        rules = [
            {
                "ID": "logs",
                "Filter": {
                    "And": {"Prefix": "logs/", "Tags": [{"Key": "bewaren", "Value": "nee"}]}
                },
                "Status": "Enabled",
                "Expiration": {"Days": 1},
            },
            {
                "ID": "uploads",
                "Filter": {"Prefix": "half/"},
                "Status": "Enabled",
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
        ]
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )
        told = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
        assert told["Rules"] == rules
        assert told["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
        put = s3.put_object(Bucket=bucket, Key="logs/weg", Body=b"1", Tagging="bewaren=nee")
        day = now().replace(hour=0, minute=0, second=0) + timedelta(days=2)
        assert put["Expiration"] == f'expiry-date="{day:%a, %d %b %Y 00:00:00 GMT}", rule-id="logs"'
        head = s3.head_object(Bucket=bucket, Key="logs/weg")
        assert head["Expiration"] == put["Expiration"]
        s3.put_object(Bucket=bucket, Key="logs/blijft", Body=b"1", Tagging="bewaren=ja")
        assert "Expiration" not in s3.head_object(Bucket=bucket, Key="logs/blijft")
        s3.put_object(Bucket=bucket, Key="brief", Body=b"1", Tagging="bewaren=nee")
        for key in ("half/a", "heel/a"):
            s3.create_multipart_upload(Bucket=bucket, Key=key)
        until(lambda: keys_of(s3, bucket) == {"logs/blijft", "brief"})
        until(
            lambda: (
                [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]
                == ["heel/a"]
            )
        )
        s3.delete_bucket_lifecycle(Bucket=bucket)
        with pytest.raises(ClientError):
            s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    log = (town.home / "audit" / "lifecycle.jsonl").read_text().splitlines()
    mine = [json.loads(line) for line in log if bucket in line and '"lifecycle"' in line]
    done = {(one["action"], one["outcome"]) for one in mine if one["phase"] == "conclude"}
    assert {("object:expire", "done"), ("upload:expire", "done")} <= done


@pytest.mark.parametrize("store", ["local", "weed"])
def test_versions_and_markers_go_and_what_is_locked_stays(town: Town, store: str) -> None:
    bucket = f"versies-{store}"
    with closing(town.gateway.client()) as s3:
        running.make_bucket(town.config, bucket, "onbekend", store)
        until(lambda: bucket in {one["Name"] for one in s3.list_buckets()["Buckets"]})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        )
        locked_until = now() + timedelta(days=30)
        locked = s3.put_object(
            Bucket=bucket,
            Key="slot",
            Body=b"1",
            ObjectLockMode="GOVERNANCE",
            ObjectLockRetainUntilDate=locked_until,
        )["VersionId"]
        newest = [s3.put_object(Bucket=bucket, Key=key, Body=b"2") for key in ("slot", "vrij")]
        s3.put_object(Bucket=bucket, Key="vrij", Body=b"3")
        s3.put_object(Bucket=bucket, Key="weg", Body=b"1")
        s3.delete_object(Bucket=bucket, Key="weg")
        set_rules(
            s3,
            bucket,
            {"ID": "oud", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
            {"ID": "leeg", "Expiration": {"ExpiredObjectDeleteMarker": True}},
        )
        until(lambda: not any(key == "weg" for key, _, _ in versions_of(s3, bucket)))
        left = versions_of(s3, bucket)
        assert ("slot", locked, False) in left
        assert ("slot", newest[0]["VersionId"], False) in left
        assert [key for key, _, _ in left] == ["slot", "slot", "vrij"]
        shown = [row for row in _jobs(town) if row["bucket"] == bucket]
        assert any(row["kept"] == 1 for row in shown)


def _jobs(town: Town) -> list[dict[str, Any]]:
    process = town.start("jobs", "list", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def test_a_run_by_hand_that_is_killed_is_run_again_until_nothing_is_left(town: Town) -> None:
    bucket = "met-de-hand"
    town.gateway.stop()  # its days are so short that it would be first
    real_days = town.config.with_name("hand.toml")
    real_days.write_text(
        town.config.read_text().replace(f"day_seconds = {DAY_SECONDS}", "day_seconds = 86400")
    )
    town.config = real_days
    running.make_bucket(town.config, bucket, "onbekend", "weed")
    gateway = running.serve(town.config)
    with closing(gateway.client()) as s3:
        for n in range(COUNT):
            s3.put_object(Bucket=bucket, Key=f"map/{n}", Body=b"x" * 100)
        s3.put_object(Bucket=bucket, Key="blijft", Body=b"1")
        set_rules(s3, bucket, {"Filter": {"Prefix": "map/"}, "Expiration": {"Date": PAST}})
    assert gateway.stop() == 0
    counted = town.run("jobs", "expire", bucket, "--dry-run")
    assert (counted["would_expire"], counted["bytes"], counted["failed"]) == (COUNT, 100 * COUNT, 0)
    _kill_in_the_midst(town, town.start("jobs", "expire", bucket), bucket)
    again = town.run("jobs", "expire", bucket)
    assert (again["state"], again["failed"], again["kept"]) == ("done", 0, 0)
    assert (
        COUNT // 2 < again["objects"] <= COUNT
    )  # of the killed step some went and were not written down
    gateway = running.serve(town.config)
    try:
        with closing(gateway.client()) as s3:
            assert keys_of(s3, bucket) == {"blijft"}
    finally:
        gateway.stop()


def _kill_in_the_midst(town: Town, process: subprocess.Popen[str], bucket: str) -> None:
    """Kill the run once its first step was written down; its services end with it."""
    asked = (
        "select sum(s.objects) from jobs j join job_shards s using (job_id) "
        "where j.bucket_id = ? and j.kind = 'expire' and j.state = 'open'"
    )
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(sqlite3.Error), closing(sqlite3.connect(town.home / "hyok.db")) as db:
            (done,) = db.execute(asked, (bucket,)).fetchone()
            if done:
                process.send_signal(signal.SIGKILL)
                break
        time.sleep(0.01)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL, "it had ended already"
