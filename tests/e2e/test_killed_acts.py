"""`kill -9` in the midst of acts of officers: rotation, shredding, a new policy.

Each goes on where it was, or never was; and the log verifies.  The fourth, a checkpoint, is killed
in test_audit_checkpoints.py.
"""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - moments of killing
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest
from botocore.exceptions import ClientError
from tests.e2e import operated, running
from tests.e2e.four_eyes import DEMO
from typer.testing import CliRunner

from hyok.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.slow]
KILLS = int(os.environ.get("HYOK_KILLS") or (200 if os.environ.get("HYOK_LONG") else 2))
RECORDS = 30
BUCKET = "vertrouwelijk"
ROTATE = ["keys", "rotate", "--tenant", "gemeente", "--classification", BUCKET, "--json"]
GONE = {"NoSuchKey", "AccessDenied"}
SEEN_SECONDS_MAX = 5.0
COVERED_SECONDS_MAX = 60.0

# Everything is loaded before the fork, so that a moment of killing lies in the act and not before.
_FORKER = """
import json, os, signal, sys, time
import hyok.acts, hyok.custody.rotation, hyok.officer.statement_page, hyok.policy.cedar, cedarpy
from hyok.cli.main import app
for line in sys.stdin:
    command, after = json.loads(line)
    source, sink = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.dup2(sink, 1)
        code = 0
        try:
            app(command, standalone_mode=False)
        except SystemExit as error:
            code = int(error.code or 0)
        except BaseException as error:
            print(repr(error))
            code = 1
        sys.stdout.flush()
        os._exit(code)
    os.close(sink)
    killed = False
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if after is not None and not killed and time.monotonic() - began >= after:
            os.kill(pid, signal.SIGKILL)
            killed = True
        time.sleep(0.001)
    with os.fdopen(source) as told:
        said = told.read()
    code = os.waitstatus_to_exitcode(ended[1])
    print(json.dumps([code, said, time.monotonic() - began]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -9


class Forker:
    """Runs commands of `hyok` one after the other, each in a process that may be killed."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _FORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HYOK_CONFIG": str(config)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # which closes its pipes, and so ends it
            pass
        assert self.process.returncode == 0

    def run(self, command: Sequence[str], kill_after: float | None = None) -> Ended:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, kill_after]) + "\n")
        self.process.stdin.flush()
        ended = Ended(*json.loads(self.process.stdout.readline()))
        assert ended.code in {0, -9} if kill_after is not None else ended.code == 0, ended.said
        return ended

    def rows(self, *command: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run([*command, "--json"]).said)
        return found


class Place:
    """A running installation whose acts are killed."""

    def __init__(self, made: running.Gateway, hyok: Forker, seed: int) -> None:
        self.made, self.hyok = made, hyok
        self.client = made.client()
        self.chance = random.Random(seed)
        self.kills = 0

    def read(self, key: str) -> bytes | str:
        try:
            return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    def put(self, key: str, case: str) -> None:
        self.client.put_object(
            Bucket=BUCKET, Key=key, Body=key.encode() * 50, Tagging=f"zaak={case}"
        )

    def kill(self, command: Sequence[str], span: float) -> Ended:
        """Run a command and kill it somewhere; it may be faster."""
        ended = self.hyok.run(command, self.chance.random() * span)
        self.kills += ended.killed
        return ended

    def approved(self, *command: str) -> str:
        """Propose as one officer, approve as another; return the proposal."""
        [row] = self.hyok.rows(*command, "--reason", "proef", *DEMO[0])
        self.hyok.run(["approvals", "approve", row["proposal"], *DEMO[1]])
        return str(row["proposal"])

    def time_passes(self) -> None:
        """A killed execution is carried on two minutes later, when its lease has ended."""
        with closing(sqlite3.connect(self.made.home / "hyok.db", timeout=10)) as opened:
            opened.execute("update leases set until_ms = 0 where name like 'execute:%'")
            opened.commit()

    def executing(self, proposal: str) -> list[str]:
        return ["approvals", "execute", proposal, *DEMO[0]]

    def state(self, proposal: str) -> str:
        [row] = [r for r in self.hyok.rows("approvals", "list") if r["proposal"] == proposal]
        return str(row["state"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    seed = int(os.environ.get("HYOK_SEED") or secrets.randbelow(1 << 30))
    print(f"HYOK_SEED={seed} HYOK_KILLS={KILLS}")
    folder = tmp_path_factory.mktemp("killed") / "home"
    running.prepare(folder)
    config = folder / "hyok.toml"
    config.write_text(config.read_text().replace("[audit]\n", "[audit]\ncheckpoint_seconds = 1\n"))
    made = running.serve(config)
    try:
        with Forker(config) as hyok:
            yield Place(made, hyok, seed)
    finally:
        assert made.stop() == 0


def test_a_rotation_ends_whenever_it_is_killed(place: Place) -> None:
    keys = [f"zaak-{number}" for number in range(RECORDS)]
    for key in keys:
        place.put(key, key)
    span, kills = place.hyok.run(ROTATE).seconds, 0
    for _ in range(KILLS):
        kills += place.kill([*ROTATE, "--new"], span).killed
        one = place.chance.choice(keys)
        assert place.read(one) == one.encode() * 50
    [done] = json.loads(place.hyok.run(ROTATE).said)
    assert done["failed"] == 0
    kept = [row["kek_id"] for row in place.hyok.rows("keys", "list") if row["records"]]
    assert [name for name in kept if f"/{BUCKET}/" in name] == [done["kek_id"]]
    for key in keys:
        assert place.read(key) == key.encode() * 50
    print(f"rotation: {kills} of {KILLS} killed in {span:.1f} s")


def test_a_shredding_ends_whenever_it_is_killed_and_states_all_of_it(place: Place) -> None:
    place.put("blijft", "blijft")
    kills, turns, span, case, proposal = 0, 0, 4.5, 0, ""
    while turns < KILLS or proposal:
        if not proposal:
            case += 1
            keys = [f"weg-{case}-{number}" for number in range(3)]
            for key in keys:
                place.put(key, f"weg-{case}")
            shred = ("shred", "case", f"weg-{case}", "--tenant", "gemeente")
            proposal = place.approved(*shred, "--selection", "B1.2")
        if turns < KILLS:
            turns += 1
            ended = place.kill(place.executing(proposal), span)
        else:
            ended = place.hyok.run(place.executing(proposal))
        if ended.killed:
            kills += 1
            for key in keys:
                assert place.read(key) in {key.encode() * 50, *GONE}
            place.time_passes()
            if place.state(proposal) != "executed":
                continue
        # Killed or not, it is done now.
        for key in keys:
            assert place.read(key) == "NoSuchKey"
        stated = _statement(place, proposal)
        assert [part["versions"] for part in stated["parts"]] == [3]
        assert (len(stated["keys"]), stated["remaining"]) == (1, 0)
        assert [one["answer"] for one in stated["attempts"]] == ["HY-2304"]
        assert place.read("blijft") == b"blijft" * 50
        proposal = ""
    print(f"shredding: {kills} of {turns} killed, {case} cases")


def _statement(place: Place, proposal: str) -> Any:
    """Return the statement; whether a checkpoint covers it yet is not asked."""
    with closing(sqlite3.connect(place.made.home / "hyok.db", timeout=10)) as opened:
        found = opened.execute(
            "select document from statements where proposal_id = ? and final", (proposal,)
        ).fetchone()
    return json.loads(found[0])


def test_a_new_policy_is_in_force_or_is_not_whenever_it_is_killed(
    place: Place, tmp_path: Path
) -> None:
    place.client.put_object(Bucket="intern", Key="nota", Body=b"nota")
    reads = 'permit (principal is App, action in [Action::"object:get", '
    strict = tmp_path / "strenger"
    shutil.copytree(operated.ROOT / "policies", strict)
    rules = strict / "rules" / "gateway.cedar"
    assert reads in rules.read_text()
    rules.write_text(rules.read_text().replace(reads, reads.split("Action", maxsplit=1)[0], 1))
    cases = '- {why: nobody reads, action: "object:get", answer: forbid}\n'
    (strict / "cases" / "gateway.yaml").write_text(cases)
    folders = [str(strict), str(operated.ROOT / "policies")]
    kills, span, version = 0, 1.0, 0
    for turn in range(KILLS + 1):
        proposal = place.approved("policy", "publish", folders[turn % 2])
        before = version
        if turn:  # the first shows how long it takes
            ended = place.kill(place.executing(proposal), span)
            kills += ended.killed
        else:
            span = place.hyok.run(place.executing(proposal)).seconds
        version = _version(place)
        assert version in {before, before + 1}
        if place.state(proposal) != "executed":
            place.time_passes()
            place.hyok.run(place.executing(proposal))
            version = _version(place)
        assert version == before + 1
    if KILLS % 2 == 0:
        place.hyok.run(place.executing(place.approved("policy", "publish", folders[1])))
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while True:
        try:
            assert place.client.get_object(Bucket="intern", Key="nota")["Body"].read() == b"nota"
            break
        except ClientError:
            assert time.monotonic() < deadline, "the newest policy lets it"
    print(f"policy: {kills} of {KILLS} killed in {span:.1f} s")


def _version(place: Place) -> int:
    shown = place.hyok.run(["policy", "list", "--json"]).said
    return max((int(row["version"]) for row in json.loads(shown)), default=0)


def test_the_log_of_all_this_verifies(place: Place, tmp_path: Path) -> None:
    assert place.kills, "nothing was killed"
    public = tmp_path / "audit.pem"
    public.write_text(place.hyok.run(["audit", "key"]).said)
    folder = str(place.made.home / "audit")
    lines = len((place.made.home / "audit" / "audit.jsonl").read_bytes().splitlines())
    deadline = time.monotonic() + COVERED_SECONDS_MAX
    while True:
        done = CliRunner().invoke(app, ["audit", "verify", folder, "--key", str(public), "--json"])
        report = json.loads(done.output)
        if report["good"] and report["covered"] >= lines:
            break
        assert time.monotonic() < deadline, done.output
        time.sleep(0.5)
    print(f"{place.kills} kills in all; {report['covered']} records of the log verify")
