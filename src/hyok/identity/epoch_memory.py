"""EpochMemory: what was read from the database, used while an epoch stays the same.

The epoch is looked at every two seconds, so a change is seen everywhere within five.  The look is
one for all epochs and begins a second before it is needed, so that in a busy process nobody waits
for it.  Cut off from the database, memory serves for 30 seconds and no longer.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sqlalchemy import Connection

    from hyok.database.engine import Database

V = TypeVar("V")

POLL_SECONDS = 2.0
"""After so long the epoch must be looked at anew."""

AHEAD_SECONDS = 1.0
"""After so long it is, by the next who asks, and nobody waits for it yet."""

POLL_WAIT_SECONDS_MAX = 1.0
"""How long a request waits for that look; a slow database then costs this once per poll."""

MEMORY_SECONDS_MAX = 30.0
"""Age of a value read or confirmed, after which it is good for nothing."""

CACHE_ENTRIES_MAX = 10_000


@dataclass(slots=True)
class _Remembered(Generic[V]):
    value: V
    epoch: int
    read_at: float


class EpochMemory(Generic[V]):
    """Values by key, all under one epoch.

    Args:
        database: where the epoch stands.
        epoch_name: which one.
        monotonic: seconds that never go back; ages are measured with it.
    """

    def __init__(
        self,
        database: Database,
        epoch_name: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._epoch_name = epoch_name
        self._monotonic = monotonic
        self._cache: OrderedDict[str, _Remembered[V]] = OrderedDict()
        self._flights: dict[str, asyncio.Task[V]] = {}
        self._epoch = -1
        self._confirmed_at = float("-inf")
        self._polled_at = float("-inf")
        database.epochs.join(self)

    async def get(self, key: str, read: Callable[[], Awaitable[tuple[int, V]]]) -> V:
        """Return the value of ``key``; ``read`` returns it with the epoch at which it was so.

        Raises:
            Unavailable: ``read`` does, and memory is too old.
            HyokError: whatever else ``read`` raises; it is not remembered.
        """
        await self._look_at_epoch()
        known = self._cache.get(key)
        if known is not None and self._is_good(known):
            self._cache.move_to_end(key)
            if self._monotonic() - known.read_at <= MEMORY_SECONDS_MAX:
                return known.value
            try:
                return await self._read(key, read)
            except Unavailable:
                # Confirmed by the epoch a moment ago; `_is_good` bounds how long this may last.
                if self._cache.get(key) is known and self._is_good(known):
                    return known.value
                raise
        return await self._read(key, read)

    def forget(self) -> None:
        """Drop every value from memory, now."""
        self._cache.clear()
        self._flights.clear()  # what they bring home was true before
        self._confirmed_at = float("-inf")
        self._polled_at = float("-inf")

    def _is_good(self, known: _Remembered[V]) -> bool:
        confirmed = max(known.read_at, self._confirmed_at)
        return known.epoch == self._epoch and self._monotonic() - confirmed <= MEMORY_SECONDS_MAX

    async def _look_at_epoch(self) -> None:
        """Learn whether memory is stale; wait for it a moment only, and only where it is due."""
        now, epochs = self._monotonic(), self._database.epochs
        if now - self._polled_at >= AHEAD_SECONDS:
            epochs.begin()
        due_at = self._confirmed_at + POLL_SECONDS
        waited = now - max(self._polled_at, due_at)
        if epochs.on_its_way and now >= due_at and waited < POLL_WAIT_SECONDS_MAX:
            await asyncio.wait({epochs.begin()}, timeout=POLL_WAIT_SECONDS_MAX)

    # -- what a look at all epochs asks of us (hyok.database.epochs) -----------------------------

    def begin(self) -> float:
        """Take part in every look."""
        self._polled_at = self._monotonic()
        return self._polled_at

    def load(self, _connection: Connection, numbers: Mapping[str, int]) -> int:
        """Return our epoch."""
        return numbers.get(self._epoch_name, 0)

    def saw(self, begun: float, seen: int) -> None:
        """Drop what was read under an earlier epoch; what is left is confirmed."""
        self._saw(seen)
        # From the asking on: the answer may have been on its way for a while.
        self._confirmed_at = max(self._confirmed_at, begun)

    def missed(self, _begun: float, _error: HyokError) -> None:
        """Let memory age; `_is_good` ends it."""

    def _saw(self, seen: int) -> None:
        if seen > self._epoch:
            self._epoch = seen
            self._cache.clear()

    async def _read(self, key: str, read: Callable[[], Awaitable[tuple[int, V]]]) -> V:
        """Read one value; all who ask for it meanwhile share the answer."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._read_alone(key, read))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        # Shielded: a client that goes away must not take the answer from the others.
        return await asyncio.shield(flight)

    def _landed(self, key: str, flight: asyncio.Task[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even when everyone who waited has gone

    async def _read_alone(self, key: str, read: Callable[[], Awaitable[tuple[int, V]]]) -> V:
        asked_at = self._monotonic()
        try:
            seen, value = await read()
        except Unavailable:
            raise
        except HyokError:
            self._cache.pop(key, None)
            raise
        self._saw(seen)
        if seen < self._epoch:
            # Something changed while the HSM worked: look again rather than use it once more.
            return await self._read_alone(key, read)
        self._cache[key] = _Remembered(value, seen, asked_at)
        self._cache.move_to_end(key)
        if len(self._cache) > CACHE_ENTRIES_MAX:
            self._cache.popitem(last=False)
        return value
