"""The life of a key in real processes: rotated under load, suspended, destroyed by two officers."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from tests.e2e import forked, four_eyes, operated, running

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
LONG_RUN = bool(os.environ.get("HYOK_LONG"))
CASES = 2_000 if LONG_RUN else 30
SEEN_SECONDS_MAX = 5.0
LOOK_SECONDS = 2.0
"""How often each process looks at the database."""

ROTATE = ["keys", "rotate", "--tenant", "gemeente", "--json", "--classification"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("keys") / "home", "--workers", "2")
    yield made
    assert made.stop() == 0


def keys(home: running.Running) -> dict[str, dict[str, Any]]:
    shown = operated.cli(home.home / "hyok.toml", [["keys", "list", "--json"]])[0]
    return {row["kek_id"]: row for row in json.loads(shown)}


def newest(home: running.Running, classification: str) -> str:
    found = [name for name in keys(home) if name.startswith(f"gemeente/{classification}/")]
    return max(found, key=lambda name: int(name.rpartition("/")[2]))


def told(client: Any) -> dict[str, tuple[str, Any]]:
    """Return ETag and Last-Modified of every object of the bucket: both are the store's."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="vertrouwelijk")
    found = [entry for page in pages for entry in page["Contents"]]
    return {entry["Key"]: (entry["ETag"], entry["LastModified"]) for entry in found}


def test_a_rotation_under_load_touches_no_object_and_every_one_reads_on(
    home: running.Running,
) -> None:
    config = home.home / "hyok.toml"
    client = home.client()
    bodies = {f"zaak-{number}": secrets.token_bytes(300) for number in range(CASES)}
    for name, body in bodies.items():
        client.put_object(Bucket="vertrouwelijk", Key=name, Body=body, Tagging=f"zaak={name}")
    before = told(client)
    stop, failures = threading.Event(), []

    def load() -> None:
        mine = home.client()
        while not stop.is_set():
            name = secrets.choice(list(bodies))
            try:
                got = mine.get_object(Bucket="vertrouwelijk", Key=name)["Body"].read()
                assert got == bodies[name]
            except (ClientError, AssertionError) as error:
                failures.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        [done] = json.loads(operated.cli(config, [[*ROTATE, "vertrouwelijk"]])[0])
    finally:
        stop.set()
        thread.join()
    assert failures == []
    assert done["new"]
    assert done["records"] >= CASES
    assert done["hsm_calls"] == 2 * done["records"]
    assert done["failed"] == 0
    assert told(client) == before, "no object is touched"
    under = {name: row["records"] for name, row in keys(home).items() if "/vertrouwelijk/" in name}
    assert under[done["kek_id"]] == sum(under.values()) == done["records"]

    old = f"gemeente/vertrouwelijk/{int(done['kek_id'].rpartition('/')[2]) - 1}"
    [said] = four_eyes.together(config, ["keys", "destroy", old])
    assert "destroyed" in said
    row = keys(home)[old]
    assert row["state"] == "destroyed"
    time.sleep(SEEN_SECONDS_MAX)
    for name, body in bodies.items():
        got = client.get_object(Bucket="vertrouwelijk", Key=name)
        assert got["Body"].read() == body
    client.put_object(Bucket="vertrouwelijk", Key="nieuw", Body=b"nieuw", Tagging="zaak=nieuw")
    [doctor] = [line for line in _doctor(home) if line["check"] == "keys"]
    assert doctor["result"] == "ok", doctor
    [doctor] = [line for line in _doctor(home) if line["check"] == "rotation"]
    assert doctor["result"] == "ok", doctor


def _doctor(home: running.Running) -> list[dict[str, Any]]:
    shown = operated.cli(home.home / "hyok.toml", [["doctor", "--json"]], ok=(0, 1))[0]
    found: list[dict[str, Any]] = json.loads(shown)
    return found


def test_a_key_that_keeps_objects_is_not_destroyed(home: running.Running) -> None:
    config = home.home / "hyok.toml"
    home.client().put_object(Bucket="geheim", Key="alleen", Body=b"alleen")
    old = newest(home, "geheim")
    operated.cli(config, [[*ROTATE, "geheim"]])
    command = ["keys", "destroy", old, "--reason", "oud", "--as", "demo-anna"]
    refused = forked.hyok(*command, "--config", str(config))
    assert refused.returncode == 1
    assert "HY-2311" in refused.stderr
    assert "hyok jobs rewrap geheim" in refused.stderr
    assert home.client().get_object(Bucket="geheim", Key="alleen")["Body"].read() == b"alleen"
    operated.cli(config, [["jobs", "rewrap", "geheim"]])
    four_eyes.together(config, ["keys", "destroy", old])
    time.sleep(SEEN_SECONDS_MAX)
    assert home.client().get_object(Bucket="geheim", Key="alleen")["Body"].read() == b"alleen"


def test_a_suspended_key_serves_nobody_within_five_seconds_until_it_is_resumed(
    home: running.Running,
) -> None:
    config = home.home / "hyok.toml"
    client = home.client()
    client.put_object(Bucket="intern", Key="nota", Body=b"nota")
    key = newest(home, "intern")
    why = ("--reason", "onderzoek")
    operated.cli(config, [["keys", "suspend", key, *why]])
    began = time.monotonic()
    while True:
        try:
            client.get_object(Bucket="intern", Key="nota")["Body"].read()
        except ClientError as error:
            assert error.response["Error"]["Code"] in {"AccessDenied", "ServiceUnavailable"}
            break
        assert time.monotonic() - began < SEEN_SECONDS_MAX
        time.sleep(0.1)
    time.sleep(LOOK_SECONDS)
    with pytest.raises(ClientError):
        client.put_object(Bucket="intern", Key="nota", Body=b"anders")
    operated.cli(config, [["keys", "resume", key, *why]])
    began = time.monotonic()
    while True:
        try:
            assert client.get_object(Bucket="intern", Key="nota")["Body"].read() == b"nota"
            break
        except ClientError:
            assert time.monotonic() - began < SEEN_SECONDS_MAX
            time.sleep(0.1)
    records = (home.home / "audit" / "audit.jsonl").read_text().splitlines()
    mine = [json.loads(line) for line in records if '"key:state"' in line]
    assert [(line["phase"], line["kek_id"]) for line in mine[-4:]] == [
        ("intend", key),
        ("conclude", key),
    ] * 2
    assert all("reason onderzoek" in line["reasons"] for line in mine[-4:])


def test_a_rotation_that_is_killed_is_ended_by_the_next_one(
    home: running.Running,
) -> None:
    config = home.home / "hyok.toml"
    client = home.client()
    for number in range(CASES):
        client.put_object(
            Bucket="vertrouwelijk", Key=f"dood-{number}", Body=b"x", Tagging=f"zaak=dood-{number}"
        )
    for seconds in (0.6, 0.9, 1.2, 1.5, 1.8, 2.1) if LONG_RUN else (0.9, 1.5):
        command = [sys.executable, "-m", "hyok", *ROTATE, "vertrouwelijk", "--config", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(seconds)
            process.kill()
    [done] = json.loads(operated.cli(config, [[*ROTATE, "vertrouwelijk"]])[0])
    assert done["failed"] == 0
    under = {name: row for name, row in keys(home).items() if "/vertrouwelijk/" in name}
    kept = {name for name, row in under.items() if row["records"]}
    assert kept == {done["kek_id"]}
    for number in range(CASES):
        got = client.get_object(Bucket="vertrouwelijk", Key=f"dood-{number}")
        assert got["Body"].read() == b"x"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("app", "zaaksysteem"), ("bucket", "intern"), ("tenant", "gemeente"), ("store", "local")][
        : 4 if LONG_RUN else 1
    ],
)
def test_what_is_frozen_serves_nobody_and_the_last_decryption_is_known(
    home: running.Running, kind: str, name: str
) -> None:
    """Four clients read as fast as they can; the log says when the last one was let in."""
    config = home.home / "hyok.toml"
    home.client().put_object(Bucket="intern", Key="nota", Body=b"nota")
    stop, last = threading.Event(), [0.0]

    def load() -> None:
        mine = home.client()
        while not stop.is_set():
            try:
                mine.get_object(Bucket="intern", Key="nota")["Body"].read()
                last[0] = max(last[0], time.time())
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
                time.sleep(0.05)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        operated.cli(config, [["freeze", kind, name, "--reason", "incident 7"]])
        frozen = time.time()
        time.sleep(SEEN_SECONDS_MAX)
        seen = last[0]
        assert seen - frozen < SEEN_SECONDS_MAX
        time.sleep(1)
        assert last[0] == seen, "nothing is read any more"
        [row] = json.loads(operated.cli(config, [["freezes", "--json"]])[0])
        assert (row["kind"], row["name"], row["reason"]) == (kind, name, "incident 7")
        operated.cli(config, [["thaw", kind, name, "--reason", "opgelost"]])
        time.sleep(SEEN_SECONDS_MAX)
        assert last[0] > seen, "it is read again"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    records = [
        json.loads(s) for s in (home.home / "audit" / "audit.jsonl").read_text().splitlines()
    ]
    begun = max(r["at_ms"] for r in records if r["action"] == "freeze:begin")
    ended = max(r["at_ms"] for r in records if r["action"] == "freeze:end")
    uses = [
        r["at_ms"]
        for r in records
        if begun < r["at_ms"] < ended and r["action"] == "object:get" and r["outcome"] == "done"
    ]
    print(f"frozen {kind}: last decryption {max(uses, default=begun) - begun} ms later")
    assert max(uses, default=begun) - begun < 1000 * SEEN_SECONDS_MAX
    denied = [r for r in records if f"freeze:{kind}:{name}" in r.get("reasons", [])]
    assert denied


def test_the_last_decryption_for_an_app_ends_within_five_seconds_of_its_revocation(
    home: running.Running,
) -> None:
    """Eight clients read at two workers as fast as they can, each on a connection of its own."""
    config = home.home / "hyok.toml"
    home.client().put_object(Bucket="intern", Key="dossier", Body=b"dossier")
    create = ["apps", "create", "lezer", "--tenant", "gemeente", "--clearance", "intern"]
    [key] = json.loads(
        operated.cli(config, [[*create, "--purpose", "zaakafhandeling", "--json"]])[0]
    )
    stop, ends, refused, wrong = threading.Event(), [0.0] * 8, [0] * 8, []

    def load(number: int) -> None:
        mine = running.client_of(home.home, home.endpoint, key)
        while not stop.is_set():
            try:
                assert mine.get_object(Bucket="intern", Key="dossier")["Body"].read() == b"dossier"
                ends[number], refused[number] = time.time(), 0
            except ClientError as error:
                refused[number] += 1
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                    wrong.append(error)
                time.sleep(0.05)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(ends))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(1)
        assert all(ends), "everybody reads"
        operated.cli(config, [["apps", "revoke", "lezer"]])
        revoked = time.time()
        while time.time() - max(ends) < LOOK_SECONDS or not all(refused):
            assert max(ends) - revoked < SEEN_SECONDS_MAX
            assert time.time() - revoked < 2 * SEEN_SECONDS_MAX, "somebody neither reads nor not"
            time.sleep(0.1)
        assert max(ends) - revoked < SEEN_SECONDS_MAX
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]
    print(f"revoked: last decryption ended {max(ends) - revoked:+.2f} s after the command")
    log = (home.home / "audit" / "audit.jsonl").read_text().splitlines()
    mine = [record for line in log if (record := json.loads(line))["actor"] == "lezer"]
    begun = [r["at_ms"] for line in log if (r := json.loads(line))["action"] == "app:revoke"]
    uses = [r["at_ms"] for r in mine if r["action"] == "object:get" and r["outcome"] == "done"]
    assert uses, "what was read is on the log"
    assert max(uses) - begun[-1] < 1000 * SEEN_SECONDS_MAX
