"""Ceremonies in real processes: minutes, a compromise mended, a backup of custodians, a drill."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import forked, four_eyes, operated, running

from hyok.audit.checkpoint import parse_public_key

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
HEEDED_SECONDS = 3.0
BUCKET = "vertrouwelijk"
BODIES = {f"stuk-{number}": f"inhoud {number}".encode() * 50 for number in range(8)}
WHY = ("--reason", "de sleutel lag op straat")
NAMES = ("anna", "bram", "chris")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    made = running.fresh(tmp_path_factory.mktemp("ceremonies") / "home")
    client = made.client()
    for name, body in BODIES.items():
        client.put_object(Bucket=BUCKET, Key=name, Body=body, Tagging="zaak=2026-1")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def config(home: running.Running) -> Path:
    return home.home / "hyok.toml"


def read_all(home: running.Running | running.Gateway) -> None:
    client = home.client()
    for name, body in BODIES.items():
        assert client.get_object(Bucket=BUCKET, Key=name)["Body"].read() == body


def refused(config: Path, *command: str) -> str:
    done = forked.hyok(*command, "--config", str(config))
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def public(config: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("public") / "audit.pem"
    file.write_text(operated.cli(config, [["audit", "key"]])[0])
    return str(file)


def test_minutes_say_what_the_hsm_says_and_are_checked_with_the_public_key_alone(
    home: running.Running, config: Path, public: str, tmp_path: Path
) -> None:
    file = tmp_path / "minutes.json"
    present = ["--present", "A. de Vries:sleutelbeheerder", "--present", "B. Bos:getuige"]
    create = ["keys", "create", "--tenant", "gemeente", "--classification", "intern"]
    check = ["keys", "minutes", "verify", str(file), "--key", public, "--json"]
    shown = operated.cli(config, [[*create, "--minutes", str(file), *present], check])
    said = json.loads(shown[1])[0]["minutes"]
    (token,) = said["tokens"]
    (key,) = token["keys"]
    assert (key["CKA_SENSITIVE"], key["CKA_EXTRACTABLE"]) == ("true", "false")
    assert (key["CKA_NEVER_EXTRACTABLE"], key["CKA_LOCAL"]) == ("true", "true")
    assert token["serial"]
    assert said["key"]["kek_id"].startswith("gemeente/intern/")
    assert "A. de Vries" in file.with_suffix(".html").read_text()
    lines = (home.home / "audit" / "audit.jsonl").read_text()
    assert f"minutes-sha256:{json.loads(file.read_text())['sha256']}" in lines


def test_keys_that_others_may_have_are_replaced_with_all_they_kept_and_then_end(
    home: running.Running, config: Path, tmp_path: Path
) -> None:
    """A compromised KEK, whose objects are sealed anew; and the installation's own key."""
    bad = f"gemeente/{BUCKET}/1"
    rotate = ["keys", "rotate", "--tenant", "gemeente", "--classification", BUCKET]
    # Its records are not moved, so the rotation says 1.
    operated.cli(config, [["keys", "compromise", bad, *WHY], rotate], ok=(1,))
    assert "HY-2311" in refused(config, "keys", "destroy", bad, *WHY, "--as", "demo-anna")
    command = [sys.executable, "-m", "hyok", "keys", "reseal", bad, "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        time.sleep(1.2)
        process.kill()
    own = ["keys", "rotate", "--tenant", "system", "--classification", "secrets", "--json"]
    backup = ["backup", str(tmp_path / "after.hyok")]
    shown = operated.cli(config, [["keys", "reseal", bad, "--json"], own, backup])
    [done] = json.loads(shown[0])
    assert done["left"] == 0
    assert sum(bucket["failed"] for bucket in done["buckets"]) == 0
    [renewed] = json.loads(shown[1])
    assert renewed["failed"] == 0
    assert renewed["records"] > 5
    read_all(home)
    ends = [["keys", "destroy", name] for name in (bad, "system/secrets/1")]
    four_eyes.together(config, *ends)
    time.sleep(HEEDED_SECONDS)
    read_all(home)


def test_custodians_hold_a_backup_that_a_drill_proves_beside_the_running_gateway(
    home: running.Running, config: Path, public: str, tmp_path: Path
) -> None:
    (tmp_path / "words").write_text("paard batterij nietje\n")
    secret = ("--passphrase-file", str(tmp_path / "words"))
    backup, report = tmp_path / "held.hyok", tmp_path / "drill.json"
    making = [
        [
            *("custodian", "key", who, str(tmp_path / f"{who}.pem")),
            *("--public", str(tmp_path / f"{who}.json"), *secret),
        ]
        for who in NAMES
    ]
    holding = ["backup", str(backup), "--custodians", "3", "--quorum", "2"]
    for who in NAMES:
        holding += ["--custodian", str(tmp_path / f"{who}.json")]
    opening = [
        [
            *("custodian", "share", str(backup), "--key", str(tmp_path / f"{who}.pem")),
            *("--to", str(tmp_path / f"{who}.share"), *secret),
        ]
        for who in NAMES[1:]
    ]
    operated.cli(config, [*making, holding, *opening])
    shares = [word for who in NAMES[1:] for word in ("--share", str(tmp_path / f"{who}.share"))]
    drill = ["drill", "restore", str(backup), "--report", str(report)]
    check = ["drill", "check-report", str(report), "--key", public, "--json"]
    shown = operated.cli(config, [[*drill, *shares], check, ["doctor", "--json"]], ok=(0, 1))
    said: dict[str, Any] = json.loads(shown[1])[0]["report"]
    assert said["passed"]
    opened = {one["classification"]: one["opened"] for one in said["classes"]}
    assert opened[BUCKET] == len(BODIES)
    assert said["custodians"] == list(NAMES[1:])
    [line] = [row for row in json.loads(shown[2]) if row["check"] == "restore drill"]
    assert line["result"] == "ok"
    assert "drill:restore" in (home.home / "audit" / "audit.jsonl").read_text()
    read_all(home)

    assert home.stop() == 0
    for path in home.home.glob("hyok.db*"):
        path.unlink()
    restore = ["restore", str(backup), *shares, "--audit-key", public, "--json"]
    back = forked.hyok(*restore, "--config", str(config))
    assert back.returncode == 0, back.stderr
    fingerprint = parse_public_key(Path(public).read_bytes()).fingerprint
    assert json.loads(back.stdout)[0]["signed_by"] == fingerprint
    gateway = running.serve(config)
    read_all(gateway)
    assert gateway.stop() == 0
