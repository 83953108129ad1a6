"""A bucket's settings on a running installation: kept, known to every worker, and after a loss."""

from __future__ import annotations

import ssl
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from tests.e2e import forked, four_eyes, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
PAGE = "https://www.gemeente.example"
RULE = {
    "AllowedOrigins": [PAGE],
    "AllowedMethods": ["GET", "PUT"],
    "AllowedHeaders": ["*"],
    "ExposeHeaders": ["ETag"],
}
SEEN_SECONDS_MAX = 5.0  # a change is known to every worker within this


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("settings") / "home")
    yield made
    assert made.stop() == 0


def hyok(installation: running.Running, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.hyok(*words, "--config", str(installation.home / "hyok.toml"))


def unsigned(installation: running.Running, path: str, method: str = "GET") -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(installation.home / "ca.pem"))
    request = urllib.request.Request(f"{installation.endpoint}{path}", method=method)
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def test_cors_rules_reach_the_browser(installation: running.Running) -> None:
    client = installation.client()
    client.put_bucket_cors(Bucket="openbaar", CORSConfiguration={"CORSRules": [RULE]})
    told = client.get_bucket_cors(Bucket="openbaar")["CORSRules"]
    assert told == [RULE]
    client.put_object(Bucket="openbaar", Key="kaart", Body=b"kaart")
    client.meta.events.register_first(
        "before-sign.s3.GetObject", lambda request, **_: request.headers.add_header("Origin", PAGE)
    )
    answer = client.get_object(Bucket="openbaar", Key="kaart")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-expose-headers"] == "ETag"
    client.delete_bucket_cors(Bucket="openbaar")
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        client.get_bucket_cors(Bucket="openbaar")


def test_tags_of_a_bucket_come_back(installation: running.Running) -> None:
    client = installation.client()
    tags = [{"Key": "team", "Value": "zorg en welzijn"}]
    client.put_bucket_tagging(Bucket="intern", Tagging={"TagSet": tags})
    assert client.get_bucket_tagging(Bucket="intern")["TagSet"] == tags
    with pytest.raises(ClientError, match="does not change it"):
        client.put_bucket_tagging(
            Bucket="intern",
            Tagging={"TagSet": [{"Key": "classification", "Value": "openbaar"}]},
        )
    assert client.get_bucket_tagging(Bucket="intern")["TagSet"] == tags


def test_a_bucket_is_public_only_once_an_officer_says_so_and_only_where_its_class_lets_it(
    installation: running.Running,
) -> None:
    client = installation.client()
    client.put_object(Bucket="openbaar", Key="folder/a b.txt", Body=b"voor iedereen")
    client.put_object(
        Bucket="openbaar", Key="stuk", Body=b"intern", Tagging="classification=intern"
    )
    path = "/openbaar/folder/a%20b.txt"
    assert unsigned(installation, path)[0] == 403
    demo = ("--as", "demo-anna", "--reason", "proef")
    refused = hyok(installation, "buckets", "publish", "intern", *demo)
    assert refused.returncode != 0
    assert "HY-3205" in refused.stdout + refused.stderr
    four_eyes.together(installation.home / "hyok.toml", ["buckets", "publish", "openbaar"])
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while unsigned(installation, path)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert unsigned(installation, path) == (200, b"voor iedereen")
    status, answer = unsigned(installation, "/openbaar/stuk")
    assert status == 403, "an object of a higher class in a public bucket stays closed"
    assert b"intern</" not in answer
    for path_of, method in (("/openbaar", "GET"), (path, "DELETE"), ("/intern/x", "GET")):
        assert unsigned(installation, path_of, method)[0] == 403
    assert client.get_bucket_policy_status(Bucket="openbaar")["PolicyStatus"]["IsPublic"]
    closed = hyok(installation, "buckets", "withdraw", "openbaar")  # by one person, at once
    assert closed.returncode == 0, closed.stderr
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while unsigned(installation, path)[0] != 403:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_settings_survive_the_loss_of_the_database_and_a_public_bucket_is_closed_after_it(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    installation = running.fresh(home)
    client = installation.client()
    client.put_bucket_cors(Bucket="openbaar", CORSConfiguration={"CORSRules": [RULE]})
    four_eyes.together(installation.home / "hyok.toml", ["buckets", "publish", "openbaar"])
    assert installation.stop() == 0
    for file in home.glob("hyok.db*"):
        file.unlink()
    done = hyok(installation, "recover")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    listed = hyok(installation, "buckets", "list", "--json")
    assert '"bucket": "openbaar"' in listed.stdout
    assert '"public": true' not in listed.stdout
