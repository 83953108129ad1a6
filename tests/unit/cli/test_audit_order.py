"""What `hyok doctor` says of the rows of an audit log that several hosts write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert

from hyok.cli.diagnosis.audit_order import audit_order
from hyok.database.engine import Database
from hyok.database.tables import audit_hosts, audit_log, audit_waiting

if TYPE_CHECKING:
    from pathlib import Path

NOW_MS = 1_000_000


@pytest.mark.parametrize(
    ("at_ms", "refused", "seen_ms", "word", "said"),
    [
        (NOW_MS, False, NOW_MS, "ok", "7 records in order on 1 hosts, 1 batches are waiting"),
        (NOW_MS - 61_000, False, NOW_MS, "FAIL", "waiting for 61 s"),
        (NOW_MS, True, NOW_MS, "FAIL", "1 batches are not what was handed in"),
        (NOW_MS, False, NOW_MS - 121_000, "warn", "silent: one"),
    ],
)
def test_doctor_tells_what_waits_what_was_changed_and_who_is_silent(
    tmp_path: Path, at_ms: int, refused: bool, seen_ms: int, word: str, said: str
) -> None:
    database = Database(f"sqlite:///{tmp_path}/hyok.db")
    database.migrate()
    batch = {"run": "r", "batch": 1, "at_ms": at_ms, "lines": b"", "signature": b""}
    host = {"host": "h", "name": "one", "seq": 7, "covered": 7, "seen_ms": seen_ms}
    rows = (
        insert(audit_log).values(log=1, size=7, epoch=1, signed=7),
        insert(audit_waiting).values(**batch, refused=refused),
        insert(audit_hosts).values(**host),
    )
    for row in rows:
        database.run_sync(lambda connection, row=row: connection.execute(row))
    found = asyncio.run(audit_order(database, NOW_MS))
    database.close()
    assert found.word == word
    assert said in found.said
