"""IssuerKeys: the keys of one issuer, remembered, and fetched anew no more often than allowed.

A token with an unknown key id may be the first after a change of keys, or a guess: it causes at
most one fetch per pause, whoever sends it and however many there are.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from hyok.errors import Malformed, Unavailable
from hyok.identity.jwks import parse_jwks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from hyok.identity.jwks import VerifyingKey

log = structlog.get_logger("hyok.identity")


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """When keys are fetched; all in seconds."""

    refresh: float  # older keys are fetched anew before they are used
    age_max: float  # older keys are good for nothing, even if the issuer does not answer
    pause: float  # between the beginnings of two fetches


class IssuerKeys:
    """The keys of one issuer.  One in each process.

    Args:
        issuer: as tokens name it.
        algorithms: those that it may sign with.
        fetch: returns its key set; raises `Unavailable` or `Malformed`.
        times: when to fetch.
        monotonic: seconds that never go back.
    """

    def __init__(
        self,
        issuer: str,
        algorithms: Collection[str],
        fetch: Callable[[], Awaitable[bytes]],
        times: KeyTimes,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self.algorithms = frozenset(algorithms)
        self._fetch = fetch
        self._times = times
        self._monotonic = monotonic
        self._keys: tuple[VerifyingKey, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._flight: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> tuple[VerifyingKey, ...]:
        """Return the keys, among them ``key_id`` if the issuer has it.

        Raises:
            Unavailable: it does not answer, and what is remembered is too old (reason
                ``IDPCommunicationError``).
        """
        if self._age() > self._times.refresh or not self._has(key_id):
            await self._refresh()
        if self._age() > self._times.age_max:
            raise Unavailable(
                f"The keys of the token issuer {self.issuer} cannot be fetched.",
                reason="IDPCommunicationError",
                code="HY-3401",
                effect="No session was issued.",
                next_step="look for identity.keys_failed in the gateway's log",
            )
        return self._keys

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _has(self, key_id: str) -> bool:
        return any(key.key_id == key_id for key in self._keys)

    async def _refresh(self) -> None:
        """Fetch once for all who wait; do nothing while the last fetch is too recent."""
        if self._flight is None:
            if self._monotonic() - self._tried_at < self._times.pause:
                return
            self._tried_at = self._monotonic()
            self._flight = asyncio.create_task(self._fetch_once())
        # Shielded: a client that goes away must not take the answer from the others.
        await asyncio.shield(self._flight)

    async def _fetch_once(self) -> None:
        asked_at = self._monotonic()
        try:
            keys = parse_jwks(await self._fetch())
        except (Unavailable, Malformed) as error:
            log.warning("identity.keys_failed", issuer=self.issuer, error=error.explain())
        else:
            self._keys, self._fetched_at = keys, asked_at
            log.info("identity.keys_fetched", issuer=self.issuer, keys=len(keys))
        finally:
            self._flight = None
