"""The audit record of an operator's change to apps, access keys, trusts, sessions, keys or jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord
from hyok.cli.session import operator_ask

if TYPE_CHECKING:
    from hyok.wiring import Core


async def record(
    core: Core,
    action: str,
    tenant: str,
    *facts: str,
    kek_id: str = "",
    outcome: str = "done",
) -> None:
    """Record that a change was made, and what it was; durable on return.

    ``outcome``: ``pending`` before it is made, ``failed`` when it was not.

    Raises:
        Unavailable: the log does not confirm.
    """
    ask = operator_ask(action, tenant)
    await core.journal.record(
        AuditRecord(
            at_ms=ask.at_ms,
            phase="intend" if outcome == "pending" else "conclude",
            action=action,
            outcome=outcome,
            actor=ask.principal.id,
            tenant=tenant,
            origin=ask.origin,
            request_id=ask.request_id,
            kek_id=kek_id,
            reasons=facts,
        ),
        durable=True,
    )
