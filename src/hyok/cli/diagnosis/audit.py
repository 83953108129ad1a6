"""The audit log: does it end well, is it signed, and do its receivers get it?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hyok.audit.checkpoint import time_of
from hyok.audit.cursor import progress
from hyok.audit.evidence import latest
from hyok.audit.file import find_ending
from hyok.audit.tiles import PROBLEM, folder_of, pinned_key
from hyok.audit_signing import audit_key_name
from hyok.cli.diagnosis.check import Check
from hyok.cli.options import moment
from hyok.errors import Malformed, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.cli.diagnosis.check import Word
    from hyok.settings import Settings

LATE_TIMES = 5
"""A checkpoint is late when it is due for so many times its interval."""

NAME = "audit checkpoint"
FAILING_SECONDS_MAX = 3600
BEHIND_SECONDS_MAX = 300
LOOK = "hyok audit export status"


def audit_log(settings: Settings, now_ms: int) -> Sequence[Check]:
    """Does the log end in records of ours, and how old is its last checkpoint?"""
    path = settings.audit.file
    descriptor = os.open(path, os.O_RDONLY)
    try:
        ending = find_ending(descriptor)
    finally:
        os.close(descriptor)
    log = Check("audit log", "ok", f"{path}, {ending.seq:,} records")
    exports = [_export(settings, export.name, now_ms) for export in settings.audit.exports]
    return [log, _checkpoint(settings, ending.seq, now_ms), *exports]


def _export(settings: Settings, name: str, now_ms: int) -> Check:
    """How far is a receiver of the log behind?"""
    title, step = f"audit export {name}", "docs/audit-export.md, 'When an export stops'"
    stopped = "the receiver gets no records until somebody looked into it"
    try:
        found = progress(settings.audit.file, name, now_ms)
    except Malformed as error:
        return Check(title, "FAIL", error.cause, stopped, step)
    status = found.status
    if status.stopped:
        return Check(title, "FAIL", status.error, stopped, step)
    said = f"{found.place.seq:,} records sent, {found.lag_records:,} are waiting"
    means = "the receiver does not see what happens now; nothing is lost"
    if status.failing_since_ms:
        failing = f"{said} since {moment(status.failing_since_ms)} UTC: {status.error}"
        long_ago = found.failing_seconds(now_ms) > FAILING_SECONDS_MAX
        return Check(title, "FAIL" if long_ago else "warn", failing, means, LOOK)
    if found.lag_seconds > BEHIND_SECONDS_MAX:
        return Check(title, "warn", said, means, f"is the gateway running? {LOOK}")
    return Check(title, "ok", said)


def _checkpoint(settings: Settings, records: int, now_ms: int) -> Check:
    path = settings.audit.file
    problem = folder_of(path) / PROBLEM
    if problem.exists():
        means = "somebody may have changed the log; no checkpoint is signed"
        step = "docs/operate.md, 'The audit log was changed'"
        return Check(NAME, "FAIL", problem.read_text().strip(), means, step)
    development = settings.installation.mode == "development"
    unsigned: Word = "warn" if development else "FAIL"
    means = "changes to the log would not be seen"
    if not pinned_key(path, audit_key_name(settings)).exists():
        said = "the log is not signed: its key was not made yet"
        return Check(NAME, unsigned, said, means, "hyok audit key --create")
    try:
        head = latest(path).head
    except NotFound:
        return Check(NAME, "warn", "none was made yet", means, "wait a minute, and look again")
    at_ms = time_of(head) or 0
    later = records - head.size
    said = f"{head.size:,} records at {moment(at_ms)} UTC, {later:,} since"
    late_ms = LATE_TIMES * 1000 * settings.audit.checkpoint_seconds
    if later > 0 and now_ms - at_ms > late_ms:
        means = "changes to the records since then would not be seen"
        return Check(NAME, "warn", said, means, "hyok hsm status; the gateway's log says why")
    return Check(NAME, "ok", said)
