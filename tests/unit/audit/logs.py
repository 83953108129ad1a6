"""Logs as the writer leaves them, made without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.file import canonical

if TYPE_CHECKING:
    from pathlib import Path


def line(seq: int, **more: object) -> bytes:
    fields: dict[str, object] = {
        "seq": seq,
        "at_ms": 1_795_860_000_000 + seq,
        "phase": "conclude",
        "action": "object:get",
        "outcome": "done",
        "actor": "zaaksysteem",
        "tenant": "gemeente",
        "origin": "192.0.2.1",
        "request_id": f"{seq:016X}",
    }
    return canonical(fields | more)


def add(log: Path, first: int, last: int, **more: object) -> None:
    """Append records to a log."""
    with log.open("ab") as file:
        for seq in range(first, last + 1):
            file.write(line(seq, **more))
