"""Semaphore: so many calls at once; who finds no place waits in line, for so long."""

from __future__ import annotations

import asyncio
from collections import deque


class Semaphore:
    """A semaphore whose places pass from one to the next, and cost no timer while some are free.

    Each call to an HSM takes two of them, and asyncio's own takes as long as the call's frame.
    """

    def __init__(self, places: int) -> None:
        self._free = places  # more than none only while nobody waits
        self._line: deque[asyncio.Future[None]] = deque()

    async def acquire(self, seconds: float) -> None:
        """Take a place; whoever has it gives it back.

        Raises:
            TimeoutError: none became free within ``seconds``.
        """
        if self._free:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._line.append(place)
        timer = loop.call_later(seconds, _time_is_up, place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.release()  # it came just as we were told to stop
            raise
        finally:
            timer.cancel()

    def release(self) -> None:
        """Let the next have the place."""
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def _time_is_up(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_exception(TimeoutError())
