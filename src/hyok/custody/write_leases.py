"""WriteLeases: how often an IK wrote, counted in the database by the thousand.

A process takes many writes from an IK's number at a time, and counts them down in memory.  All who
find none left share one question, and the next ones are asked for before the last are used up: with
64 clients at once each of them took a thousand, in a thread of its own and with a commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable

LEASE = 1024
"""Writes that a process takes from an IK's number at a time."""

AHEAD = LEASE // 4
"""When so many are left the next ones are asked for; nobody waits for them yet."""

LEASES_MAX = 100_000
"""Leases held; beyond it they are taken anew."""


class Numbers(Protocol):
    """Where the number of an IK stands; see `hyok.custody.keyring_rows`."""

    def take(self, ik_id: bytes, count: int, writes_max: int) -> Coroutine[object, object, bool]:
        """Take so many writes from an IK's number; False when it has not so many left."""
        ...


@dataclass(slots=True)
class _Lease:
    ik_id: bytes
    left: int


class WriteLeases:
    """The leases of one process, by scope.  On one loop."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._leases: dict[Hashable, _Lease] = {}
        self._asking: dict[tuple[Hashable, bytes], asyncio.Task[bool]] = {}

    async def take(self, scope: Hashable, ik_id: bytes, writes_max: int) -> bool:
        """Take one write of this scope's IK; False when its number is used up.

        Raises:
            Unavailable: the database does not answer.
        """
        while True:
            lease = self._leases.get(scope)
            if lease is not None and lease.ik_id == ik_id and lease.left > 0:
                lease.left -= 1
                if lease.left == AHEAD:
                    self._ask(scope, ik_id, writes_max)
                return True
            # Shielded: one who gives up waiting must not break the others' question.
            if not await asyncio.shield(self._ask(scope, ik_id, writes_max)):
                return False

    def forget(self) -> None:
        """Drop what is left; those writes are not made by anybody."""
        self._leases.clear()

    def _ask(self, scope: Hashable, ik_id: bytes, writes_max: int) -> asyncio.Task[bool]:
        place = (scope, ik_id)
        asking = self._asking.get(place)
        if asking is None:
            work = self._numbers.take(ik_id, LEASE, writes_max)
            asking = self._asking[place] = asyncio.create_task(work)
            asking.add_done_callback(lambda done: self._land(place, done))
        return asking

    def _land(self, place: tuple[Hashable, bytes], done: asyncio.Task[bool]) -> None:
        del self._asking[place]
        # A failure is told to who waits; if nobody does, the next who needs a write asks again.
        if done.cancelled() or done.exception() is not None or not done.result():
            return
        scope, ik_id = place
        lease = self._leases.get(scope)
        if lease is not None and lease.ik_id == ik_id:
            lease.left += LEASE
            return
        if len(self._leases) >= LEASES_MAX:
            self._leases.clear()
        self._leases[scope] = _Lease(ik_id, LEASE)
