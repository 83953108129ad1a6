"""What a measurement of an HSM comes to: figures, a safe number of sessions, cache times.  Pure.

A result is compared between sites, so it has no label, no serial number and no secret.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEAR_BEST = 0.95
CACHE_SECONDS_MIN = 1

READ_CACHE_FORMULA = "scopes * workers / (share * operations_per_second)"
WRITE_TTL_FORMULA = "scopes * (1 + workers) / (share * operations_per_second)"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism that a profile needs; ``tested``: how the agent's self-test ran the profile."""

    profile: int
    use: str
    number: int
    offered: bool
    tested: str


@dataclass(frozen=True, slots=True)
class Cell:
    """So many calls at once over so many sessions."""

    profile: int
    call: str
    sessions: int
    callers: int
    operations: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: int

    @property
    def rate(self) -> float:
        return self.operations / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class TokenFigures:
    """One token.

    ``keys``: whether a profile's key was of a session or of the token, where it was destroyed; or
    why there was none.
    """

    name: str
    about: Mapping[str, str]
    ready_seconds: float
    mechanisms: tuple[Mechanism, ...]
    keys: Mapping[int, str]  # by profile; what could not be made says why
    cells: tuple[Cell, ...]
    sessions_max: int  # what the profile file allows

    def usable(self) -> list[int]:
        """Return the profiles of which every call was answered."""
        asked = {cell.profile for cell in self.cells}
        failed = {cell.profile for cell in self.cells if cell.failures or not cell.operations}
        return sorted(asked - failed)


def best(cells: Sequence[Cell]) -> Cell | None:
    """Return the fastest of those that failed in nothing."""
    sound = [cell for cell in cells if cell.operations and not cell.failures]
    return max(sound, key=lambda cell: cell.rate, default=None)


def safe_sessions(cells: Sequence[Cell]) -> int:
    """Return the least number of sessions that is near the best rate; 0: none was without failures.

    A number of sessions counts when no number up to it failed: one that fails at eight is not
    trusted with sixteen.
    """
    rates: dict[int, float] = {}
    for count in sorted({cell.sessions for cell in cells}):
        here = [cell for cell in cells if cell.sessions == count]
        if any(cell.failures for cell in here):
            break
        rates[count] = max(cell.rate for cell in here)
    wanted = NEAR_BEST * max(rates.values(), default=0.0)
    return next((count for count, rate in rates.items() if rate >= wanted), 0)


@dataclass(frozen=True, slots=True)
class Load:
    """What the installation will ask of the HSM.

    ``scopes`` are those in use within one cache time (buckets, cases, persons concerned);
    ``share`` is how much of the measured rate they may take.
    """

    scopes: int
    workers: int
    share: float


def cache_seconds(rate: float, load: Load) -> dict[str, int]:
    """Return the shortest times that keep the HSM's load within the share.

    Reading: each worker asks for each scope's key once in a read-cache time.  Writing: once in a
    write-ttl a scope gets a new key, which is one call, and each worker asks for it, one more.
    """
    if rate <= 0:
        return {}
    room = load.share * rate
    read, write = load.scopes * load.workers, load.scopes * (1 + load.workers)
    return {
        "read_cache_seconds": max(CACHE_SECONDS_MIN, math.ceil(read / room)),
        "write_ttl_seconds": max(CACHE_SECONDS_MIN, math.ceil(write / room)),
    }


@dataclass(frozen=True, slots=True)
class Failover:
    """Each time the first token's agent was killed: until the next answer; or why there is none."""

    gap_ms: tuple[float, ...] = ()
    first_back_ms: tuple[float, ...] = ()
    not_measured: str = ""
