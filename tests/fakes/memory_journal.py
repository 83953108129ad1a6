"""MemoryJournal: the `Journal` port as a list, with faults to order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from hyok.audit.record import AuditRecord


class MemoryJournal:
    """Keeps every record with whether it had to be durable; ``away = True`` refuses all."""

    def __init__(self) -> None:
        self.entries: list[tuple[AuditRecord, bool]] = []
        self.away = False
        self.closed = False

    @property
    def records(self) -> list[AuditRecord]:
        return [record for record, _ in self.entries]

    async def record(self, record: AuditRecord, *, durable: bool) -> None:
        if self.away or self.closed:
            raise Unavailable("The audit log does not take records.", reason="ServiceUnavailable")
        self.entries.append((record, durable))

    async def close(self) -> None:
        self.closed = True
