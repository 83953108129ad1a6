"""The audit log of several hosts: do records get their place, and does every host follow?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from hyok.cli.diagnosis.check import Check
from hyok.database.tables import audit_hosts, audit_log, audit_waiting

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hyok.cli.diagnosis.check import Word
    from hyok.database.engine import Database

NAME = "audit order"
WAITING_MS_MAX = 60_000
SILENT_MS_MAX = 120_000
CHANGED = "docs/operate.md, 'The rows of the audit log were changed'"


async def audit_order(database: Database, now_ms: int) -> Check:
    """Look at the rows that the hosts share."""

    def act(connection: Connection) -> Check:
        size = connection.scalar(select(audit_log.c.size)) or 0
        waiting = select(func.count(), func.min(audit_waiting.c.at_ms)).select_from(audit_waiting)
        count, oldest = connection.execute(waiting.where(audit_waiting.c.refused.is_(False))).one()
        refused = connection.scalar(
            select(func.count()).select_from(audit_waiting).where(audit_waiting.c.refused)
        )
        silent = connection.scalars(
            select(audit_hosts.c.name)
            .where(audit_hosts.c.seen_ms < now_ms - SILENT_MS_MAX)
            .order_by(audit_hosts.c.name)
        ).all()
        hosts = connection.scalar(select(func.count()).select_from(audit_hosts)) or 0
        said = f"{size:,} records in order on {hosts} hosts, {count} batches are waiting"
        if refused:
            means = "somebody wrote to the audit log's tables before these had their place"
            return Check(
                NAME, "FAIL", f"{refused} batches are not what was handed in", means, CHANGED
            )
        if count and now_ms - oldest > WAITING_MS_MAX:
            means = "they are durable, and in no file and under no checkpoint yet"
            step = "hyok hsm status; hyok audit key --create; the gateways' logs say why"
            return Check(NAME, "FAIL", f"{said} for {(now_ms - oldest) // 1000} s", means, step)
        word: Word = "warn" if silent else "ok"
        means = "the database keeps records for them for 30 days" if silent else ""
        names = f"; silent: {', '.join(silent)}" if silent else ""
        return Check(NAME, word, said + names, means, "start them" if silent else "")

    return await database.read(act)
