"""Turns: how many requests a door answers at once, and that each is answered in its time.

Whoever calls a door waits a quarter of a second or a few; an answer that comes later helps nobody,
and holds a place that another could have had.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from hyok.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

A = TypeVar("A")
F = TypeVar("F")


class Unserved(Enum):
    """Why a request has no answer of its own."""

    TOO_MANY = "more at once than the door takes"
    LATE = "its time was over"


class Turns:
    """Lets requests in one by one, up to a number at once.

    Args:
        in_flight_max: more than these at once are told to come back.
        answer_seconds: what is kept of a request's time for everything but the HSM.
        reachable: does the HSM answer at all, as of a moment ago?
        away: the reason of the error that says that it does not.
    """

    def __init__(
        self,
        *,
        in_flight_max: int,
        answer_seconds: float,
        reachable: Callable[[], bool],
        away: str = "Timeout",
    ) -> None:
        self._in_flight_max = in_flight_max
        self._answer_seconds = answer_seconds
        self._reachable = reachable
        self._away = away
        self._in_flight = 0

    async def take(
        self,
        ends: float | None,
        serve: Callable[[], Awaitable[A]],
        refused: Callable[[Exception | Unserved], F],
    ) -> A | F:
        """Return what ``serve`` gives, or what ``refused`` makes of why it gives nothing.

        Args:
            ends: the loop's time at which an answer comes too late; None: it is a stream, which
                has a least rate of its own.
            serve: answers the request; it is not begun while too many are.
            refused: returns the answer to who is not served; what is no `HyokError` is a fault of
                ours.
        """
        if self._in_flight >= self._in_flight_max:
            return refused(Unserved.TOO_MANY)
        self._in_flight += 1
        try:
            async with asyncio.timeout_at(ends):
                return await serve()
        except TimeoutError:
            return refused(Unserved.LATE)
        except Exception as error:  # noqa: BLE001 - whatever happens, the caller is answered
            return refused(error)
        finally:
            self._in_flight -= 1

    def seconds(self, ends: float) -> float:
        """Return how long the HSM may take for a request that ends then: never nothing."""
        left = ends - asyncio.get_running_loop().time() - self._answer_seconds
        return max(self._answer_seconds, left)

    def check_reachable(self) -> None:
        """Refuse at once while the HSM is known not to answer: no request waits for nothing.

        Raises:
            Unavailable: it does not (code HY-2608).
        """
        if not self._reachable():
            raise Unavailable("The HSM does not answer.", reason=self._away, code="HY-2608")
