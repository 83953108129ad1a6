"""TokenRecord: how one token did, by its real operations.  Pure: the caller has the clock."""

from __future__ import annotations

from collections import deque

SAMPLES_MAX = 512
SLOW_AFTER_SECONDS = 1.0


class TokenRecord:
    """Health and latencies of one token.  All times are the caller's, in seconds."""

    def __init__(self, now: float) -> None:
        self.healthy = True
        self.since = now
        self.last_success = now
        self.last_error = ""
        self.calls = 0
        self.failures = 0
        self._latencies: deque[float] = deque(maxlen=SAMPLES_MAX)
        self._under_way: dict[int, float] = {}
        self._number = 0

    def begin(self, now: float) -> int:
        """Note that a call begins; return its number for `succeed`, `fail` or `leave`."""
        self.calls += 1
        self._number += 1
        self._under_way[self._number] = now
        return self._number

    def succeed(self, number: int, now: float) -> None:
        """Note that the token answered, whatever it answered."""
        self._latencies.append(now - self._under_way.pop(number))
        self.last_success = now

    def fail(self, number: int, now: float, error: str) -> None:
        """Note a failure of the device or of its agent: calls go elsewhere until `mend`."""
        self._under_way.pop(number)
        self.failures += 1
        self.last_error = error
        if self.healthy:
            self.healthy, self.since = False, now

    def leave(self, number: int) -> None:
        """Note that the caller gave up; the token is not to blame."""
        self._under_way.pop(number, None)

    def mend(self, now: float) -> None:
        """Note that a trial showed the token well."""
        self.healthy, self.since, self.last_success = True, now, now

    def is_slow(self, now: float) -> bool:
        """Return whether a call has been waiting so long that others had better go elsewhere."""
        oldest = next(iter(self._under_way.values()), now)
        return now - oldest > SLOW_AFTER_SECONDS

    def latency_ms(self, share: float) -> float:
        """Return the latency below which ``share`` of the last calls stayed; 0 without calls."""
        if not self._latencies:
            return 0.0
        ordered = sorted(self._latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
