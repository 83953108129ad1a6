"""A policy that officers put in force reaches every worker within five seconds."""

from __future__ import annotations

import json
import shutil
import threading
import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError
from tests.e2e import four_eyes, operated, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
REACHED_SECONDS_MAX = 5.0
CLIENTS = 4
READS = 'permit (principal is App, action in [Action::"object:get", '


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Gateway]:
    folder = tmp_path_factory.mktemp("policies") / "home"
    running.prepare(folder)
    config = folder / "hyok.toml"
    text = config.read_text()
    config.write_text(text.replace("workers = 1\n", "workers = 2\n"))
    made = running.serve(config)
    yield made
    assert made.stop() == 0


def policy_without_reading(folder: Path) -> Path:
    shutil.copytree(operated.ROOT / "policies", folder)
    rules = folder / "rules" / "gateway.cedar"
    text = rules.read_text()
    assert READS in text
    rules.write_text(text.replace(READS, "permit (principal is App, action in [", 1))
    cases = folder / "cases" / "gateway.yaml"
    cases.write_text('- {why: nobody reads, action: "object:get", answer: forbid}\n')
    return folder


def test_a_policy_reaches_every_worker_within_five_seconds_and_goes_back(
    home: running.Gateway, tmp_path: Path
) -> None:
    config = home.home / "hyok.toml"
    folder = policy_without_reading(tmp_path / "strenger")
    home.client().put_object(Bucket="intern", Key="nota", Body=b"nota")
    [shown, *_] = operated.cli(config, [["policy", "diff", str(folder), "--json"]])
    change = json.loads(shown)[0]
    assert change["gained"] == []
    assert {cell["action"] for cell in change["lost"]} == {"object:get"}
    assert "zaaksysteem" in change["apps_that_lose"]

    stop = threading.Event()
    last = {"allowed": 0.0, "denied": 0.0}

    def load() -> None:
        while not stop.is_set():
            client = home.client()  # a connection of its own: any worker may get it
            try:
                client.get_object(Bucket="intern", Key="nota")["Body"].read()
                last["allowed"] = max(last["allowed"], time.time())
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
                last["denied"] = max(last["denied"], time.time())

    threads = [threading.Thread(target=load) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        publish = ["policy", "publish", str(folder)]
        four_eyes.together(config, publish)
        began = time.time()
        time.sleep(REACHED_SECONDS_MAX)
        seen = last["allowed"]
        time.sleep(1)
        assert last["allowed"] == seen, "no worker decides by the old policy any more"
        # The execution returned a moment after the policy was in force, so this may be negative.
        print(f"last reading under the old policy {seen - began:+.1f} s after the execution ended")
        why = ["policy", "why-denied", "zaaksysteem", "object:get", "intern"]
        assert operated.cli(config, [why])[0].startswith("forbid")
        four_eyes.together(config, ["policy", "publish", str(operated.ROOT / "policies")])
        began = time.time()
        time.sleep(REACHED_SECONDS_MAX)
        mark = last["denied"]
        time.sleep(1)
        assert last["denied"] == mark
        print(f"last refusal under it {mark - began:+.1f} s after the next one's execution ended")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    rows = json.loads(operated.cli(config, [["policy", "list", "--json"]])[0])
    assert [row["version"] for row in rows] == [2, 1]
    four_eyes.propose(config, four_eyes.DEMO, ["policy", "rollback", "1"])


def told(home: running.Gateway, action: str) -> list[dict[str, object]]:
    """Return the records of the audit log with this action."""
    [log] = home.home.rglob("audit.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return [record for record in records if record.get("action") == action]


def test_a_policy_in_shadow_denies_nothing_until_it_is_enforced(
    home: running.Gateway, tmp_path: Path
) -> None:
    config = home.home / "hyok.toml"
    folder = policy_without_reading(tmp_path / "kandidaat")
    home.client().put_object(Bucket="intern", Key="brief aan J. Jansen", Body=b"nota")

    def read() -> bytes:  # over a connection of its own: any worker may get it
        answer = home.client().get_object(Bucket="intern", Key="brief aan J. Jansen")
        found: bytes = answer["Body"].read()
        return found

    begin = ["policy", "shadow", str(folder), "--reason", "proef", *four_eyes.DEMO[0], "--json"]
    operated.cli(config, [begin])
    began = time.monotonic()
    reads, first = 0, 0.0
    while (spent := time.monotonic() - began) < REACHED_SECONDS_MAX:
        assert read() == b"nota"
        reads += 1
        if not first and told(home, "policy:would-deny"):
            first = spent
    print(f"first would-deny {first:.1f} s after the shadow began")
    for _ in range(20):  # by now it is in shadow in every worker, and none of these is missed
        assert read() == b"nota"
        reads += 1
    time.sleep(2.5)
    shown = operated.cli(
        config,
        [
            ["policy", "shadow", "--json"],
            ["policy", "list", "--json"],
            ["policy", "replay", str(folder), "--days", "1", "--json"],
            ["policy", "rehearse", str(folder), "--json"],
            ["policy", "exceptions", "--json"],
        ],
    )
    report, versions, replayed, rehearsed, exceptions = (json.loads(text) for text in shown[:5])
    [difference] = report[0]["differences"]
    assert (difference["verdict"], difference["action"]) == ("would-deny", "object:get")
    assert 20 <= difference["decisions"] <= reads
    assert report[0]["decisions"]["error"] == 0
    [record] = told(home, "policy:would-deny")
    assert "Jansen" not in str(record)
    assert record["object_id"]
    assert versions[0]["state"] == "in shadow"
    change = next(one for one in replayed[0]["changes"] if one["action"] == "object:get")
    assert (change["verdict"], change["bucket"]) == ("would-deny", "intern")
    assert change["decisions"] >= reads
    assert "zaaksysteem" in rehearsed[0]["apps_that_lose"]
    assert rehearsed[0]["objects_that_change_class"] is None
    assert exceptions == []

    [proposal] = four_eyes.propose(config, four_eyes.DEMO, ["policy", "enforce"])
    approve = ["approvals", "approve", proposal, *four_eyes.DEMO[1]]
    execute = ["approvals", "execute", proposal, *four_eyes.DEMO[0]]
    after = operated.cli(config, [approve, execute, ["policy", "list", "--json"]])[2]
    began, denied = time.monotonic(), 0
    while denied < 2 * CLIENTS:  # in a row, whichever worker it is
        assert time.monotonic() - began < REACHED_SECONDS_MAX
        try:
            assert read() == b"nota"
            denied = 0
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied"
            denied += 1
    [newest, *_] = json.loads(after)
    assert (newest["state"], newest["sha256"]) == ("in force", report[0]["sha256"])
