"""A log made by real processes on SoftHSM, attacked: an auditor finds each attack offline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import forked, operated
from tests.fakes.hsm_tokens import HAS_SOFTHSM

from hyok.audit.file import canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_SOFTHSM, reason="no SoftHSM here"),
]


def audited(folder: Path, key: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Run `hyok audit verify` on a machine with nothing but the folder and the key."""
    command = [sys.executable, "-m", "hyok", "audit", "verify", str(folder), "--key", str(key)]
    done = subprocess.run(
        [*command, "--json", *more],
        env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]},
        cwd=key.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def lines_of(folder: Path) -> list[bytes]:
    return (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)


def put(folder: Path, lines: list[bytes], *, renumber: bool = False) -> None:
    if renumber:
        lines = [canonical({**json.loads(line), "seq": at + 1}) for at, line in enumerate(lines)]
    (folder / "audit.jsonl").write_bytes(b"".join(lines))


def edit(folder: Path) -> None:
    lines = lines_of(folder)
    lines[19] = canonical({**json.loads(lines[19]), "actor": "app:somebody-else"})
    put(folder, lines)


def remove(folder: Path) -> None:
    lines = lines_of(folder)
    put(folder, lines[:19] + lines[20:])


def remove_and_renumber(folder: Path) -> None:
    lines = lines_of(folder)
    put(folder, lines[:19] + lines[20:], renumber=True)


def insert(folder: Path) -> None:
    lines = lines_of(folder)
    put(folder, [*lines[:19], lines[3], *lines[19:]], renumber=True)


def reorder(folder: Path) -> None:
    lines = lines_of(folder)
    lines[19], lines[20] = lines[20], lines[19]
    put(folder, lines, renumber=True)


def cut(folder: Path) -> None:
    put(folder, lines_of(folder)[:-5])


ATTACKS: list[tuple[Callable[[Path], None], str, int]] = [
    (edit, "changed", 20),
    (remove, "removed", 20),
    (remove_and_renumber, "changed", 20),
    (insert, "changed", 20),
    (reorder, "changed", 20),
    (cut, "cut", -4),
]


def test_each_attack_on_a_real_log_is_found_offline(tmp_path: Path) -> None:
    made = operated.copied(tmp_path, audit="checkpoint_records = 20\ncheckpoint_seconds = 1\n")
    audit = made.home / "audit"
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    key = auditor / "hyok.pem"
    try:
        gateway = made.serve()
        s3 = gateway.client()
        for number in range(15):
            s3.put_object(Bucket="vertrouwelijk", Key=f"brief-{number}", Body=b"brief")
            answer = s3.get_object(Bucket="vertrouwelijk", Key=f"brief-{number}")
        request = answer["ResponseMetadata"]["RequestId"]
        key.write_text(made.cli(["audit", "key"])[0])
        kept = auditor / "kept"
        deadline = time.monotonic() + 60
        while True:  # the checkpoint that covers the last request
            time.sleep(1)
            kept.write_text(made.cli(["audit", "checkpoint"])[0])
            done = forked.hyok("audit", "prove", request, "--log", str(audit))
            if done.returncode == 0:
                break
            assert time.monotonic() < deadline, done.stderr
        (auditor / "proof.json").write_text(done.stdout)
        with_urls = f"http://127.0.0.1:{made.management}/metrics"
        metrics = subprocess.run(
            [sys.executable, "-c", "import sys, urllib.request as u;"
             "print(u.urlopen(sys.argv[1]).read().decode())", with_urls],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        covered = next(
            float(line.split()[1])
            for line in metrics.splitlines()
            if line.startswith("hyok_audit_checkpoint_records ")
        )
        assert covered > 20
        # While the gateway runs, the log verifies too.
        code, report = audited(audit, key, "--against", str(kept))
        assert (code, report["good"]) == (0, True), report
    finally:
        made.close()
    code, report = audited(audit, key, "--against", str(kept))
    assert code == 0, report
    assert report["covered"] == report["records"] == len(lines_of(audit))
    check = ["audit", "check-proof", str(auditor / "proof.json"), "--key", str(key), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "hyok", *check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    proven = [json.loads(row["record"]) for row in json.loads(done.stdout)]
    assert {row["request_id"] for row in proven} == {request}
    assert b"brief-" not in (audit / "audit.jsonl").read_bytes()  # opaque ids alone

    for attack, kind, place in ATTACKS:
        copy = tmp_path / attack.__name__
        shutil.copytree(audit, copy)
        attack(copy)
        code, report = audited(copy, key)
        (problem,) = report["problems"]
        first = place if place > 0 else len(lines_of(audit)) + place
        assert (code, problem["kind"], problem["first"]) == (1, kind, first), attack.__name__


def test_a_fork_between_two_auditors_is_found_and_a_changed_log_is_signed_no_more(
    tmp_path: Path,
) -> None:
    made = operated.copied(tmp_path, audit="checkpoint_records = 1\ncheckpoint_seconds = 1\n")
    audit = made.home / "audit"
    key = tmp_path / "hyok.pem"
    try:
        key.write_text(made.cli(["audit", "key"])[0])
        before = tmp_path / "before"
        shutil.copytree(audit, before)
        # The first auditor is shown a history in which this key was made …
        made.cli(["keys", "create", "--tenant", "gemeente", "--classification", "openbaar"])
        (tmp_path / "first").write_text(made.cli(["audit", "checkpoint"])[0])
        first = tmp_path / "first-log"
        shutil.copytree(audit, first)
        # … and the second one a history in which it never was: log and folder are put back.
        shutil.rmtree(audit)
        shutil.copytree(before, audit)
        made.cli(["keys", "create", "--tenant", "gemeente", "--classification", "intern"])
        (tmp_path / "second").write_text(made.cli(["audit", "checkpoint"])[0])
        for log in (first, audit):
            assert audited(log, key)[0] == 0, "each alone looks well"
        code, report = audited(first, key, "--against", str(tmp_path / "second"))
        assert code == 1
        assert report["problems"][0]["kind"] in ("fork", "changed", "cut"), report
        code, report = audited(audit, key, "--against", str(tmp_path / "first"))
        assert code == 1

        # Who cuts the log but not the checkpoints gets no further signature.
        lines = lines_of(audit)
        put(audit, lines[:-6])
        size = len((audit / "audit.jsonl.tree" / "checkpoints.jsonl").read_bytes())
        gateway = made.serve()
        s3 = gateway.client()
        s3.put_object(Bucket="intern", Key="een", Body=b"een")  # records are kept all the same
        deadline = time.monotonic() + 30
        while not (audit / "audit.jsonl.tree" / "problem.txt").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len((audit / "audit.jsonl.tree" / "checkpoints.jsonl").read_bytes()) == size
        (shown, *_) = made.cli(["doctor", "--json"], ok=(1,))
        (check,) = [row for row in json.loads(shown) if row["check"] == "audit checkpoint"]
        assert (check["result"], "HY-5107" in check["said"]) == ("FAIL", True)
    finally:
        made.close()
