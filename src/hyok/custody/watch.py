"""HsmWatch: does the HSM answer?  Asked by a real operation every few seconds.

Keys in memory would hide its absence; the classification says whether they may serve without it.
One key that does not answer is not the HSM's absence: another is asked before that is said.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hyok.custody.key_states import KeyState
from hyok.errors import HyokError, Unavailable

if TYPE_CHECKING:
    from hyok.custody.kek import Kek
    from hyok.custody.keks import KekCatalog
    from hyok.hsm.port import Hsm
    from hyok.policy.classifications import Classification

EVERY_SECONDS = 2.0

ANSWER_SECONDS_MAX = 2.5
KEYS_ASKED = 3
"""Together longer than an agent takes to be started again, also when the first key asked hangs;
shorter than a request would wait for a token."""


class HsmWatch:
    """One in each process.  ``reachable`` is the last answer; `run` keeps it true to life."""

    def __init__(self, hsm: Hsm, keks: KekCatalog) -> None:
        self._hsm = hsm
        self._keks = keks
        self._at = 0
        self.reachable = True
        self.cause = ""

    async def look(self) -> bool:
        """Ask now; return whether the HSM answers."""
        try:
            known = [k for k in await self._keks.all() if k.state is not KeyState.DESTROYED]
        except HyokError as error:  # the database has a line of its own in /readyz
            self.reachable, self.cause = not isinstance(error, Unavailable), str(error)
            return self.reachable
        reachable, cause = True, ""
        for _ in range(KEYS_ASKED if known else 0):
            # The one that answered last is asked first.
            reachable, cause = await self._ask(known[self._at % len(known)])
            if reachable:
                break
            self._at += 1
        self.reachable, self.cause = reachable, cause
        return reachable

    async def _ask(self, kek: Kek) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await self._hsm.check(kek.spec)
        except TimeoutError:
            return False, "the HSM does not answer in time"
        except Unavailable as error:
            return False, str(error)
        except HyokError as error:
            # It answers; what it says is for `hyok doctor`.
            return True, str(error)
        return True, ""

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
