"""The audit record of an operator's change to who may ask: apps, access keys, trusts, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.cli.session import operator_ask

if TYPE_CHECKING:
    from hyok.wiring import Core


async def record(core: Core, action: str, tenant: str, *facts: str) -> None:
    """Record that a change was made, and what it was; durable on return.

    Raises:
        Unavailable: the log does not confirm.
    """
    ask = operator_ask(action, tenant)
    await core.journal.record(
        AuditRecord(
            at_ms=ask.at_ms,
            phase="conclude",
            action=action,
            outcome="done",
            actor=ask.principal.id,
            tenant=tenant,
            origin=ask.origin,
            request_id=ask.request_id,
            reasons=facts,
        ),
        durable=True,
    )
