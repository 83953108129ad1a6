"""Waiting: one task waits for one connection, never longer than it said.

A timer for each wait would cost more than the rest of a small request.  A connection has one, which
is left to ring, and only then looks how long is really left.
"""

from __future__ import annotations

import asyncio


class Waiting:
    """The place where the task of a connection waits for its next event.

    Times are those of the loop's clock.
    """

    __slots__ = ("_loop", "_rings", "_timer", "_until", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0

    async def wait(self, until: float) -> None:
        """Return at the next `wake`.

        Raises:
            TimeoutError: there was none before ``until``.
        """
        assert self._waiter is None, "one task at a time"
        self._waiter = waiter = self._loop.create_future()
        self._until = until
        if self._timer is None or until < self._rings:
            self._set(until)
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Let whoever waits go on."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """Wake, and stop the timer; it would keep the connection in memory."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.wake()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)
        self._rings = at

    def _ring(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return  # the next wait sets it
        if self._loop.time() < self._until:
            self._set(self._until)
        else:
            waiter.set_exception(TimeoutError())
