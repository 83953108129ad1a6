"""Health: how the HSM is, as KMS asks; by sealing and opening in every token, not by its word.

The trial uses a key that lives for that moment, and never one that serves somebody.

Source: AWS "XKS Proxy API Specification", version 1, "GetHealthStatus".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.doors.xks.wire import render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

AGE_SECONDS_MAX = 60.0
TRIAL_SECONDS = 2.0
TOKENS_MAX = 10
ACTIVE, UNAVAILABLE = "ACTIVE", "UNAVAILABLE"


class Health:
    """One in each process; `look` at times keeps it young.

    Args:
        probe: what fails in each token, empty where it is well.
        model: of the HSM, as the settings name its family.
        proxy: our own name and version.
        fleet: how many of us there are.
        monotonic: seconds.
    """

    def __init__(
        self,
        probe: Callable[[float], Awaitable[Mapping[str, str]]],
        *,
        model: str,
        proxy: str,
        fleet: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._probe = probe
        self._model, self._proxy, self._fleet = model, proxy, fleet
        self._monotonic = monotonic
        self._seen: Mapping[str, str] = {}
        self._seen_at = float("-inf")

    @property
    def seen(self) -> Mapping[str, str]:
        """What the last trial showed, by token; empty where it is well."""
        return self._seen

    async def look(self, seconds: float = TRIAL_SECONDS) -> Mapping[str, str]:
        """Try every token now."""
        self._seen = await self._probe(seconds)
        self._seen_at = self._monotonic()
        return self._seen

    async def answer(self, seconds: float) -> bytes:
        """Return the answer to GetHealthStatus; a trial that is too old is made again first."""
        if self._monotonic() - self._seen_at > AGE_SECONDS_MAX:
            await self.look(seconds)
        tokens = [
            {"id": name, "model": self._model, "healthStatus": UNAVAILABLE if said else ACTIVE}
            for name, said in self._seen.items()
        ]
        return render(
            {
                "xksProxyFleetSize": self._fleet,
                "xksProxyVendor": "hyok",
                "xksProxyModel": self._proxy,
                "ekmVendor": self._model,
                "ekmFleetDetails": tokens[:TOKENS_MAX],
            }
        )
