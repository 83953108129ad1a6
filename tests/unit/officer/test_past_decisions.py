"""Decisions come out of the log and its rotated files, as far back as was asked."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from hyok.audit.record import AuditRecord, render
from hyok.errors import NotFound
from hyok.officer.past_decisions import FROZEN, UNREADABLE, gather, size_of
from hyok.policy.replay import PastDecision

NOW = 1_790_000_000_000
DAY_MS = 86_400_000
READ = AuditRecord(
    at_ms=NOW,
    phase="intend",
    action="object:get",
    outcome="pending",
    actor="lezer",
    tenant="gemeente",
    origin="127.0.0.1",
    request_id="R1",
    bucket_id="intern",
    classification="intern",
    reasons=("app-read",),
    decided="permit",
    actor_kind="app",
    policy="0" * 64,
)
DENIED = READ._replace(phase="conclude", outcome="denied", decided="deny", reasons=())
PAST = PastDecision("lezer", "app", "gemeente", "object:get", "intern", "intern", allowed=True)


def write(path: Path, *records: AuditRecord) -> None:
    lines = b"".join(render(record) for record in records)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines))
    else:
        path.write_bytes(lines)


def test_decisions_are_counted_and_other_records_are_none(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    done = READ._replace(phase="conclude", outcome="done", decided="", actor_kind="")
    write(log, READ, done, READ, done, DENIED)
    seen: list[int] = []
    decisions, skipped = gather(log, 0, seen.append)
    assert decisions == {PAST: 2, replace(PAST, allowed=False): 1}
    assert not skipped
    assert seen[-1] == size_of(log, 0) == log.stat().st_size


def test_rotated_and_packed_files_count_and_what_is_too_old_does_not(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    write(log, READ)
    old = READ._replace(at_ms=NOW - 40 * DAY_MS)
    write(tmp_path / "audit.jsonl.1", old, READ._replace(at_ms=NOW - 20 * DAY_MS))
    write(tmp_path / "audit.jsonl.2.gz", old, old, READ._replace(at_ms=NOW - 25 * DAY_MS))
    assert gather(log, NOW - 30 * DAY_MS)[0] == {PAST: 3}
    assert gather(log, 0)[0] == {PAST: 6}


def test_what_makes_a_decision_true_is_read_from_its_reasons(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    write(
        log,
        READ._replace(reasons=("officers-approved", "proposal:0123")),
        READ._replace(reasons=("break-glass", "grant:0123")),
        DENIED._replace(reasons=("freeze:app:lezer",)),
    )
    with log.open("ab") as file:
        file.write(b'{"at_ms":%d,"decided":"permit","actor":5}\n' % NOW)
        file.write(b'{"at_ms":%d,"decided":"permit"\n' % NOW)
    decisions, skipped = gather(log, 0)
    assert decisions == {replace(PAST, approved=True): 1, replace(PAST, break_glass=True): 1}
    assert skipped == {FROZEN: 1, UNREADABLE: 2}


def test_no_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        gather(tmp_path / "none.jsonl", 0)
