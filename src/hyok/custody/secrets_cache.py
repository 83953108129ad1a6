"""SecretCache: secrets of the HSM, for a bounded time and number; one call for many askers.

What it holds opens data, so it forgets early: after the time that the classification sets, and the
oldest first when there are too many.  Bytes are overwritten when dropped, as far as Python allows.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from typing_extensions import override

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

ENTRIES_MAX = 50_000

V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    since_ms: int
    until_ms: int

    def good(self, now_ms: int) -> bool:
        """Is its time not over?  A clock that was set back ends it: it must not live longer."""
        return self.since_ms <= now_ms < self.until_ms


class SecretCache(Generic[V]):
    """A cache by key.  ``wipe`` is called on every value that is dropped."""

    def __init__(
        self,
        clock_ms: Callable[[], int],
        wipe: Callable[[V], None],
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._clock_ms = clock_ms
        self._wipe = wipe
        self._entries_max = entries_max
        self._entries: OrderedDict[Hashable, _Entry[V]] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Future[V]] = {}

    @override
    def __repr__(self) -> str:
        return f"SecretCache({len(self._entries)} entries)"

    def peek(self, key: Hashable) -> V | None:
        """Return what is held and still good."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not entry.since_ms <= self._clock_ms() < entry.until_ms:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def get(self, key: Hashable, ttl_ms: int, fetch: Callable[[], Awaitable[V]]) -> V:
        """Return the value; ask ``fetch`` once for everybody who waits for the same key.

        With a ``ttl_ms`` of 0 nothing is kept, and nobody shares.
        """
        held = self.peek(key)
        if held is not None:
            return held
        if ttl_ms <= 0:
            return await fetch()
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.ensure_future(fetch())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, ttl_ms, done))
        # One who gives up waiting must not break the others' call.
        return await asyncio.shield(flight)

    def _land(self, key: Hashable, ttl_ms: int, done: asyncio.Future[V]) -> None:
        current = self._flights.get(key) is done
        if current:
            del self._flights[key]
        if done.cancelled() or done.exception() is not None:
            return
        if current:  # else it was cleared while it was on its way
            self.put(key, done.result(), ttl_ms)

    def put(self, key: Hashable, value: V, ttl_ms: int) -> None:
        """Keep a value that is known already."""
        if ttl_ms <= 0:
            return
        before = self._entries.get(key)
        if before is not None and before.value is not value:
            self._drop(key)
        now = self._clock_ms()
        self._entries[key] = _Entry(value, now, now + ttl_ms)
        self._entries.move_to_end(key)
        while len(self._entries) > self._entries_max:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._wipe(entry.value)

    def names(self) -> Collection[Hashable]:
        """Return under what something is held."""
        return list(self._entries)

    def sweep(self) -> None:
        """Drop what is past its time."""
        now = self._clock_ms()
        for key in [key for key, entry in self._entries.items() if not entry.good(now)]:
            self._drop(key)

    def clear(self, matches: Callable[[Hashable], bool] = lambda _key: True) -> None:
        """Drop at once what matches."""
        for key in [key for key in self._entries if matches(key)]:
            self._drop(key)
        for key in [key for key in self._flights if matches(key)]:
            del self._flights[key]


class ByteSecrets(SecretCache[bytearray]):
    """Secrets that are plain bytes: each asker gets a copy, and what is dropped is overwritten."""

    def __init__(self, clock_ms: Callable[[], int], entries_max: int = ENTRIES_MAX) -> None:
        super().__init__(clock_ms, wipe_bytes, entries_max)

    async def copy_of(
        self, key: Hashable, ttl_ms: int, fetch: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Return a copy of the secret, as `get` does.

        Raises:
            Unavailable: it was dropped between its arrival and our turn.
        """

        async def fetched() -> bytearray:
            return bytearray(await fetch())

        held = await self.get(key, ttl_ms, fetched)
        if not held:
            raise Unavailable("The key was just dropped from memory.", reason="ServiceUnavailable")
        return bytes(held)


def wipe_bytes(secret: bytearray) -> None:
    """Overwrite a secret and leave it empty, so that who came late finds no key of zeros."""
    secret[:] = bytes(len(secret))
    secret.clear()
