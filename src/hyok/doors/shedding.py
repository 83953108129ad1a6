"""Shedding: refuse at once what could not be answered in time.  Pure: the clock is an argument."""

from __future__ import annotations


class Rate:
    """A bucket of tokens that fills at ``per_second`` and holds a second's worth."""

    __slots__ = ("_at", "_left", "_per_second")

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._left = max(1.0, per_second)
        self._at = now

    def take(self, now: float) -> bool:
        """Take one; False: there is none."""
        most = max(1.0, self._per_second)
        self._left = min(most, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def owe(self, more: int) -> None:
        """Take more for what was let in already: whoever comes next waits for it."""
        self._left -= more
