"""Health: what KMS is told of the HSM, as trials in every token showed it.

Source: AWS "XKS Proxy API Specification", version 1, "GetHealthStatus".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.doors.xks.wire import render

if TYPE_CHECKING:
    from hyok.doors.trials import Trials

AGE_SECONDS_MAX = 60.0
TOKENS_MAX = 10
ACTIVE, UNAVAILABLE = "ACTIVE", "UNAVAILABLE"


class Health:
    """Answers GetHealthStatus.

    Args:
        trials: how the tokens are.
        model: of the HSM, as the settings name its family.
        proxy: our own name and version.
        fleet: how many of us there are.
    """

    def __init__(self, trials: Trials, *, model: str, proxy: str, fleet: int) -> None:
        self._trials = trials
        self._model, self._proxy, self._fleet = model, proxy, fleet

    async def answer(self, seconds: float) -> bytes:
        """Return the answer; a trial that is too old is made again first."""
        if self._trials.age_seconds > AGE_SECONDS_MAX:
            await self._trials.look(seconds)
        tokens = [
            {"id": name, "model": self._model, "healthStatus": UNAVAILABLE if said else ACTIVE}
            for name, said in self._trials.seen.items()
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
