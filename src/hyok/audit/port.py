"""Journal: where every use of a key and every decision is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hyok.audit.record import AuditRecord


class Journal(Protocol):
    """One installation, one log, one writer; many workers send to it."""

    async def record(self, record: AuditRecord, *, durable: bool) -> None:
        """Hand over one record; with ``durable`` return only when it is on disk.

        Without ``durable`` a crash may lose at most one second of records.

        Raises:
            Unavailable: the writer did not confirm in time; the act must not be answered.
        """
        ...

    async def close(self) -> None: ...
