"""Exceptions of the policy in force: since when each is approved, and the alarm when one has ended.

Source: docs/policies.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hyok.audit.record import AuditRecord
from hyok.policy.exceptions import FILE, parse_exceptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.custody.bundles import PolicyBook, PolicyKeeper
    from hyok.custody.told import ToldOnce
    from hyok.policy.exceptions import PolicyException

log = structlog.get_logger("hyok.custody.exceptions")


class ExceptionWatch:
    """One in each process; a gateway's chores run it."""

    def __init__(self, policy: PolicyKeeper, told: ToldOnce, clock_ms: Callable[[], int]) -> None:
        self._policy = policy
        self._told = told
        self._clock_ms = clock_ms
        self._done: set[str] = set()

    async def tell_ended(self) -> None:
        """Have each exception that has ended in the audit log, once in the installation.

        Raises:
            Unavailable: database or log do not answer; the next turn tells it.
        """
        now = self._clock_ms()
        for one in self._policy.exceptions:
            name = f"exception:{one.id}:{one.until}"
            if one.ends_ms > now or name in self._done:
                continue
            record = AuditRecord(
                at_ms=now,
                phase="conclude",
                action="policy:exception-ended",
                outcome="failed",
                actor="system",
                tenant="system",
                origin="local",
                request_id=self._policy.digest[:16].upper(),
                bucket_id=one.lifts.bucket,
                reasons=(
                    *(one.word, f"lifted:{one.lifts.lifted}", f"owner:{one.owner}"),
                    f"until:{one.until}",
                ),
                policy=self._policy.digest,
            )
            if await self._told.record(name, record):
                log.warning("policy.exception_ended", exception=one.id, until=str(one.until))
            self._done.add(name)


async def first_approved(book: PolicyBook) -> Mapping[str, tuple[int, PolicyException]]:
    """Return when each exception was published first, by its id, and what it was then.

    Raises:
        Tampered: a bundle is not what its digest says.
    """
    found: dict[str, tuple[int, PolicyException]] = {}
    for one in reversed(await book.history()):
        bundle = await book.find(one.sha256)
        for each in parse_exceptions(bundle.files.get(FILE, "")):
            found.setdefault(each.id, (one.since_ms, each))
    return found
