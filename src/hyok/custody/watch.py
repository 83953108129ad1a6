"""HsmWatch: does the HSM answer?  Asked by a real operation every few seconds.

Keys in memory would hide its absence; the classification says whether they may serve without it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from hyok.custody.keks import KekCatalog
    from hyok.hsm.port import Hsm
    from hyok.policy.classifications import Classification

EVERY_SECONDS = 2.0

ANSWER_SECONDS_MAX = 3.0
"""Longer than an agent takes to be started again; shorter than a request would wait for a token."""


class HsmWatch:
    """One in each process.  ``reachable`` is the last answer; `run` keeps it true to life."""

    def __init__(self, hsm: Hsm, keks: KekCatalog) -> None:
        self._hsm = hsm
        self._keks = keks
        self.reachable = True
        self.cause = ""

    async def look(self) -> bool:
        """Ask now; return whether the HSM answers."""
        try:
            known = await self._keks.all()
            if known:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    await self._hsm.check(known[0].spec)
        except TimeoutError:
            self.reachable, self.cause = False, "the HSM does not answer in time"
        except Unavailable as error:
            self.reachable, self.cause = False, str(error)
        except HyokError as error:
            # It answers; what it says is for `hyok doctor`.
            self.reachable, self.cause = True, str(error)
        else:
            self.reachable, self.cause = True, ""
        return self.reachable

    def check_memory_serves(self, rule: Classification) -> None:
        """Keys in memory serve without the HSM only where the classification says so."""
        if rule.keys.on_hsm_loss == "fail" and not self.reachable:
            raise Unavailable(
                "The HSM does not answer.",
                reason="ServiceUnavailable",
                code="HY-2101",
                effect="No data was changed; requests that need a key get 503.",
                next_step="hyok doctor",
            )

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)
