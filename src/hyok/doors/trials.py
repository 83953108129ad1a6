"""Trials: how each token of the HSM is, by doing in it what doors need, not by its word.

A trial uses a key that lives for that moment, and never one that serves somebody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

TRIAL_SECONDS = 2.0


class Trials:
    """One in each process of a door; `look` at times keeps it young.

    Args:
        probe: what fails in each token, empty where it is well.
        monotonic: seconds.
    """

    def __init__(
        self,
        probe: Callable[[float], Awaitable[Mapping[str, str]]],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._probe = probe
        self._monotonic = monotonic
        self._seen: Mapping[str, str] = {}
        self._seen_at = float("-inf")

    @property
    def seen(self) -> Mapping[str, str]:
        """What the last trial showed, by token; empty where it is well."""
        return self._seen

    @property
    def ill(self) -> str:
        """What fails in every token; empty: one is well, or none was tried."""
        said = list(self._seen.values())
        return "; ".join(said) if all(said) else ""

    @property
    def age_seconds(self) -> float:
        """How long ago the last trial was."""
        return self._monotonic() - self._seen_at

    async def look(self, seconds: float = TRIAL_SECONDS) -> Mapping[str, str]:
        """Try every token now."""
        self._seen = await self._probe(seconds)
        self._seen_at = self._monotonic()
        return self._seen
