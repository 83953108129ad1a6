"""Break-glass in real processes: two officers grant, the app reads, it ends, a review is open."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import update
from tests.e2e import four_eyes, operated, running

from hyok.database.engine import Database
from hyok.database.tables import break_glass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
SEEN_SECONDS_MAX = 15.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("glass") / "home")
    yield made
    assert made.stop() == 0


def answer(client: Any, key: str, method: str = "get_object") -> bytes | str:
    try:
        if method == "put_object":
            client.put_object(Bucket="geheim", Key=key, Body=b"overschreven")
            return b""
        return bytes(client.get_object(Bucket="geheim", Key=key)["Body"].read())
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def wait(client: Any, key: str, wanted: bytes | str) -> float:
    began = time.monotonic()
    while answer(client, key) != wanted:
        assert time.monotonic() - began < SEEN_SECONDS_MAX, answer(client, key)
        time.sleep(0.2)
    return time.monotonic() - began


def test_two_officers_let_an_app_read_what_they_named_until_its_hour(
    home: running.Running, tmp_path: Path
) -> None:
    config = home.home / "hyok.toml"
    owner = home.client()
    for key in ("zaak/1", "zaak/2", "ander"):
        owner.put_object(Bucket="geheim", Key=key, Body=key.encode())
    [shown, *_] = operated.cli(
        config,
        [
            [
                *("apps", "create", "noodlezer", "--tenant", "gemeente", "--json"),
                *("--clearance", "intern", "--purpose", "noodtoegang", "--grant", "list"),
            ]
        ],
    )
    (tmp_path / "demo.json").write_text(json.dumps(json.loads(shown)[0]))
    (tmp_path / "ca.pem").write_bytes((home.home / "ca.pem").read_bytes())
    reader = running.client_of(tmp_path, home.endpoint)
    assert answer(reader, "zaak/1") == "AccessDenied"

    ask = ["break-glass", "request", "s3://geheim/zaak/", "--app", "noodlezer", "--ticket", "T-1"]
    [grant] = four_eyes.propose(config, four_eyes.DEMO, [*ask, "--minutes", "1"])
    assert answer(reader, "zaak/1") == "AccessDenied", "a proposal opens nothing"
    began = time.time()
    four_eyes.done(config, four_eyes.DEMO, grant)
    wait(reader, "zaak/1", b"zaak/1")
    assert answer(reader, "zaak/2") == b"zaak/2"
    assert answer(reader, "ander") == "AccessDenied", "only what was named"
    assert answer(reader, "zaak/1", "put_object") == "AccessDenied", "reading is not writing"
    [row] = json.loads(operated.cli(config, [["break-glass", "list", "--json"]])[0])
    assert (row["state"], row["review"], row["ticket"]) == ("running", "open", "T-1")

    # Whoever can write to the database makes it no longer, and says nothing about another app.
    database = Database(f"sqlite:///{home.home}/hyok.db", threads=1)
    later = update(break_glass).values(ends_ms=int((began + 86_400) * 1000))
    database.run_sync(lambda connection: connection.execute(later))
    while answer(reader, "zaak/1") == b"zaak/1":
        assert time.time() - began < 60 + 20
        time.sleep(0.5)
    assert time.time() - began >= 59, "it lasted the minute"
    database.close()

    def read() -> list[dict[str, Any]]:
        lines = (home.home / "audit" / "audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while not any(line["action"] == "break-glass:end" for line in read()):
        assert time.monotonic() < deadline, "the gateway tells that it has ended"
        time.sleep(0.5)
    records = read()
    by_grant = [r for r in records if f"grant:{grant}" in r.get("reasons", [])]
    assert {r["action"] for r in by_grant} >= {"object:get", "break-glass:end"}
    reads = [r for r in by_grant if r["action"] == "object:get"]
    assert {r["actor"] for r in reads} == {"noodlezer"}
    assert all("break-glass" in r["reasons"] for r in reads)

    [row] = json.loads(operated.cli(config, [["break-glass", "list", "--json"]])[0])
    assert (row["state"], row["review"]) == ("ended", "open")
    review = ["break-glass", "review", grant, "--finding", "terecht"]
    with pytest.raises(AssertionError, match="HY-2503"):
        operated.cli(config, [[*review, "--as", "demo-anna"]])
    operated.cli(config, [[*review, "--as", "demo-bram"]])
    [row] = json.loads(operated.cli(config, [["break-glass", "list", "--json"]])[0])
    assert row["review"] == "by demo-bram"


def test_it_lasts_no_longer_than_its_classification_lets_it(home: running.Running) -> None:
    ask = ["break-glass", "request", "s3://geheim/zaak/", "--app", "publicatie", "--ticket", "T"]
    more = ["--reason", "x", *four_eyes.DEMO[0]]
    for minutes, bucket, code in (("61", "geheim", "HY-2513"), ("1", "openbaar", "HY-2513")):
        command = [word.replace("geheim", bucket) for word in ask]
        with pytest.raises(AssertionError, match=code):
            operated.cli(home.home / "hyok.toml", [[*command, "--minutes", minutes, *more]])


def test_the_command_line_has_no_way_around(home: running.Running) -> None:
    config = home.home / "hyok.toml"
    for command in (
        ["buckets", "publish", "openbaar"],
        ["buckets", "lower", "geheim", "--to", "intern"],
        ["objects", "lower", "s3://geheim/ander", "--to", "intern"],
        ["export", "s3://geheim", str(home.home / "export")],
    ):
        with pytest.raises(AssertionError, match="HY-2501"):
            operated.cli(config, [[*command, "--reason", "alleen"]])
