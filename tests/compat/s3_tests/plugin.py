"""Runs inside the suite's own pytest: writes down what each test asked and how it ended.

The suite empties every bucket of three users before and after each test, with operations that a
store may not have; one that is missing would fail every test after it.  Here each test gets a
prefix of its own, and what it leaves behind is removed with what works.

The environment says where: ``HYOK_RESULTS`` (a file, one JSON line for each test),
``HYOK_TEST_SECONDS`` (the most a test may take) and ``HYOK_NEW_BUCKETS`` (the classification that
every new bucket is tagged with; empty: none).
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import botocore.client
import botocore.httpsession
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

RESULTS = Path(os.environ["HYOK_RESULTS"])
SECONDS_MAX = int(os.environ["HYOK_TEST_SECONDS"])
NEW_BUCKETS = os.environ["HYOK_NEW_BUCKETS"]
CLEANING_SECONDS_MAX = 30
SHOWN_CHARACTERS = 3000
TELLING_HEADERS = ("x-amz-acl", "x-amz-grant-", "x-amz-server-side-encryption-customer-")


class Recorder:
    """What the running test has asked so far."""

    def __init__(self) -> None:
        self.calls: list[str] = []  # "PutBucketAcl" or "PutBucketAcl: AccessDenied"
        self.requests: list[str] = []  # "PUT ?acl x-amz-grant-read": what tells a kind of test
        self.on = False

    def begin(self) -> None:
        self.calls, self.requests, self.on = [], [], True

    def called(self, operation: str, answer: str) -> None:
        if self.on:
            self.calls.append(f"{operation}: {answer}" if answer else operation)

    def sent(self, method: str, url: str, headers: dict[str, str]) -> None:
        names = [name.lower() for name in headers]
        telling = sorted({name for name in names if name.startswith(TELLING_HEADERS)})
        line = " ".join([f"{method} ?{urlsplit(url).query.partition('=')[0]}", *telling])
        if self.on and line not in self.requests:
            self.requests.append(line)


RECORDER = Recorder()


def _watch_calls() -> None:
    """Write down every operation with the code of its error, and every request as sent."""
    plain_call = botocore.client.BaseClient._make_api_call
    plain_send = botocore.httpsession.URLLib3Session.send
    plain_request = requests.Session.send

    def call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "CreateBucket" and NEW_BUCKETS:
            wanted = dict(parameters.get("CreateBucketConfiguration", {}))
            wanted["Tags"] = [{"Key": "classification", "Value": NEW_BUCKETS}]
            parameters = parameters | {"CreateBucketConfiguration": wanted}
        try:
            answer = plain_call(self, operation, parameters)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
            RECORDER.called(operation, f"{status} {error.response.get('Error', {}).get('Code')}")
            raise
        except Exception as error:
            RECORDER.called(operation, type(error).__name__)
            raise
        RECORDER.called(operation, "")
        return answer

    def send(self: Any, request: Any) -> Any:
        RECORDER.sent(request.method, request.url, dict(request.headers))
        return plain_send(self, request)

    def send_raw(self: Any, request: Any, **more: Any) -> Any:
        RECORDER.sent(request.method, request.url, dict(request.headers))
        answer = plain_request(self, request, **more)
        RECORDER.called(f"raw {request.method}", str(answer.status_code))
        return answer

    botocore.client.BaseClient._make_api_call = call
    botocore.httpsession.URLLib3Session.send = send
    requests.Session.send = send_raw


class Cleaner:
    """Removes the buckets of one prefix, as far as the door lets it."""

    def __init__(self, config: Any) -> None:
        users = [
            (getattr(config, f"{user}_access_key"), getattr(config, f"{user}_secret_key"))
            for user in ("main", "alt", "tenant")
        ]
        self._clients = [
            boto3.client(
                "s3",
                endpoint_url=config.default_endpoint,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret,
                region_name="us-east-1",
                config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=20),
            )
            for access_key, secret in users
        ]

    def clean(self, prefix: str) -> None:
        deadline = time.monotonic() + CLEANING_SECONDS_MAX
        for client in self._clients:
            for bucket in _quietly(lambda client=client: client.list_buckets()["Buckets"]) or []:
                if bucket["Name"].startswith(prefix) and time.monotonic() < deadline:
                    self._remove(client, bucket["Name"])

    def _remove(self, client: Any, bucket: str) -> None:
        if _quietly(lambda: client.delete_bucket(Bucket=bucket) or True):
            return
        _quietly(lambda: self._empty(client, bucket, versions=True))
        _quietly(lambda: self._empty(client, bucket, versions=False))
        _quietly(lambda: self._abort(client, bucket))
        _quietly(lambda: client.delete_bucket(Bucket=bucket))

    def _empty(self, client: Any, bucket: str, *, versions: bool) -> None:
        name = "list_object_versions" if versions else "list_objects"
        for page in client.get_paginator(name).paginate(Bucket=bucket):
            found = [
                {name: entry[name] for name in ("Key", "VersionId") if name in entry}
                for kind in ("Versions", "DeleteMarkers", "Contents")
                for entry in page.get(kind, [])
            ]
            more = {"BypassGovernanceRetention": True} if versions else {}
            if found:
                client.delete_objects(Bucket=bucket, Delete={"Objects": found}, **more)

    def _abort(self, client: Any, bucket: str) -> None:
        for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            client.abort_multipart_upload(
                Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )


def _quietly(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (BotoCoreError, ClientError):
        return None


def pytest_configure() -> None:
    _watch_calls()


def pytest_collection_finish() -> None:
    """Put a prefix for each test in the place of the suite's cleaning."""
    from s3tests import functional

    cleaners: list[Cleaner] = []

    def setup() -> None:
        functional.prefix = functional.choose_bucket_prefix("hyok-{random}-")
        RECORDER.begin()

    def teardown() -> None:
        RECORDER.on = False
        cleaners.extend([Cleaner(functional.config)] if not cleaners else [])
        cleaners[0].clean(functional.get_prefix())

    functional.setup, functional.teardown = setup, teardown


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Stop a test that takes too long."""

    def late(_signal: int, _frame: FrameType | None) -> None:
        pytest.fail(f"took longer than {SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS_MAX)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """Write one line when the test itself has ended, or could not begin."""
    report: pytest.TestReport = yield
    if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
        outcome = report.outcome if report.when == "call" or report.skipped else "error"
        line = {
            "test": item.nodeid.rpartition("/")[2],
            "outcome": outcome,
            "seconds": round(report.duration, 2),
            "markers": sorted({marker.name for marker in item.iter_markers()}),
            "calls": RECORDER.calls,
            "requests": RECORDER.requests,
            "why": "" if outcome == "passed" else str(report.longrepr)[-SHOWN_CHARACTERS:],
        }
        with RESULTS.open("a") as out:
            out.write(json.dumps(line) + "\n")
    return report
