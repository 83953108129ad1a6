"""DoorRecords: the record before a door uses a key, and the one of what came of it.

Source: docs/adr/0028-doors-and-their-keys.md; docs/audit-log.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hyok.custody.decisions import Decisions
    from hyok.custody.door_key import DoorKey, DoorVersion
    from hyok.policy.decision import Decision
    from hyok.vocabulary import Ask


@dataclass(slots=True)
class Ending:
    """What the closing record says of a use that goes well."""

    size: int  # bytes of what was handed out


class DoorRecords:
    """Writes them.  Made once with the custody of doors' keys."""

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    @asynccontextmanager
    async def of_use(
        self, ask: Ask, key: DoorKey, version: DoorVersion, decision: Decision, size: int
    ) -> AsyncIterator[Ending]:
        """Record a use before the HSM is asked, and afterwards what came of it, whatever came.

        Whoever is cut off in between, because the door's time is over or its process stops, is on
        record as failed: what the HSM did meanwhile nobody knows.
        """
        ending = Ending(size)
        try:
            await self._begin(ask, key, version, decision, size)
        except asyncio.CancelledError:
            await self.failed(ask, key, version, _cut_off())
            raise
        try:
            yield ending
        except HyokError as error:
            await self.failed(ask, key, version, error)
            raise
        except (Exception, asyncio.CancelledError):
            await self.failed(ask, key, version, _cut_off())
            raise
        await self._end(ask, key, version, ending.size)

    async def failed(self, ask: Ask, key: DoorKey, version: DoorVersion, error: HyokError) -> None:
        """Record that a use failed or was refused; the error itself is what the caller sees."""
        await self._decisions.failed(ask, key.classification, b"", error, version.spec.kek_id)

    async def _begin(
        self, ask: Ask, key: DoorKey, version: DoorVersion, decision: Decision, size: int
    ) -> None:
        await self._decisions.record(
            ask,
            "intend",
            "pending",
            key.classification,
            kek_id=version.spec.kek_id,
            reasons=decision.reasons,
            decided="permit",
            size_bytes=size,
            durable=self._decisions.is_write_ahead(key.classification),
        )

    async def _end(self, ask: Ask, key: DoorKey, version: DoorVersion, size: int) -> None:
        await self._decisions.record(
            ask,
            "conclude",
            "done",
            key.classification,
            kek_id=version.spec.kek_id,
            size_bytes=size,
            durable=False,
        )


def _cut_off() -> HyokError:
    return Unavailable("The use was cut off.", reason="CutOff")
