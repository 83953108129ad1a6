"""Every job: its name, what it does, and how far it is.  Pure.

A job is cut into shards, each a key range.  A shard is worked through in steps, `step(cursor) ->
cursor`; each object is idempotent, so that whoever is killed loses at most one step's bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARD_OBJECTS = 10_000
"""About how many objects a shard has."""

SHARDS_MAX = 1_024
STEP_OBJECTS = 25
"""After this many objects the cursor is saved."""

SEAL, REWRAP, EXPIRE, RESEAL = "seal", "rewrap", "expire", "reseal"

OPEN, PAUSED, CANCELLED, DONE = "open", "paused", "cancelled", "done"

ATTEMPTS_MAX = 8
BACKOFF_MS, BACKOFF_MS_MAX = 500, 60_000


@dataclass(frozen=True, slots=True)
class Kind:
    """What a job of this name does, in words for people."""

    name: str
    title: str
    verb: str  # of one object that it changed


KINDS: Mapping[str, Kind] = {
    SEAL: Kind(SEAL, "seal what stood in clear when the bucket was adopted", "sealed"),
    REWRAP: Kind(REWRAP, "wrap the keys of objects under the key that writes now", "rewrapped"),
    RESEAL: Kind(RESEAL, "seal anew what a compromised key version kept", "sealed anew"),
    EXPIRE: Kind(EXPIRE, "remove what lifecycle rules say has had its time", "expired"),
}


@dataclass(frozen=True, slots=True)
class Shard:
    """A key range ``[start, stop)`` in words that the job's kind knows; empty stop: to the end."""

    job_id: str
    number: int
    start: str
    stop: str
    cursor: str = ""
    attempts: int = 0  # that failed since the last good step
    not_before_ms: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """One object that could not be done.  ``item``: what the kind's `describe` reads."""

    item: bytes
    cause: str  # kind of the error and its code, to group by
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did."""

    cursor: str
    objects: int = 0  # changed
    size_bytes: int = 0  # of those
    skipped: int = 0  # nothing was to do
    failures: Sequence[Failure] = ()
    finished: bool = False
    kept: int = 0  # had to be left as they are


@dataclass(frozen=True, slots=True)
class Planned:
    """What a job will go through."""

    objects: int
    size_bytes: int
    shards: Sequence[tuple[str, str]]  # start and stop of each


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, for people and programs."""

    job_id: str
    kind: str
    bucket_id: str
    state: str
    cause: str
    begun_by: str
    created_ms: int
    ended_ms: int
    objects_total: int
    bytes_total: int
    objects: int
    size_bytes: int
    skipped: int
    failed: int
    shards: int
    shards_finished: int
    kept: int = 0  # had to be left as they are
    causes: Mapping[str, int] = field(default_factory=dict)  # failures by cause

    @property
    def looked_at(self) -> int:
        """How many objects were gone through."""
        return self.objects + self.skipped + self.kept + self.failed

    @property
    def fraction(self) -> float:
        """Return 0 to 1: of objects, since those that were skipped moved no bytes."""
        if self.state == DONE:
            return 1.0
        return min(1.0, self.looked_at / self.objects_total) if self.objects_total else 0.0


class Work(Protocol):
    """A kind of job on one bucket."""

    async def plan(self) -> Planned:
        """Return what there is to do.

        Raises:
            Refused, Conflict: this job cannot be done here.
        """
        ...

    async def step(self, shard: Shard) -> Step:
        """Do the next objects behind the shard's cursor.

        Raises:
            Unavailable: nothing of it was done; try again later.
        """
        ...

    async def finish(self) -> str:
        """Called when every shard is finished, perhaps more than once.

        Returns what people should know of it; empty: nothing.
        """
        ...

    async def describe(self, item: bytes) -> str:
        """Return the name of an object that failed, for who may see it."""
        ...


def hex_ranges(objects: int) -> list[tuple[str, str]]:
    """Return ranges over 16-byte ids in hex, which are spread evenly."""
    count = max(1, min(SHARDS_MAX, -(-objects // SHARD_OBJECTS)))
    marks = [f"{(turn << 128) // count:032x}" for turn in range(1, count)]
    return list(zip(["0" * 32, *marks], [*marks, ""], strict=True))


def backoff_ms(attempts: int) -> int:
    """Return how long a shard rests after so many failed attempts in a row."""
    return min(BACKOFF_MS_MAX, BACKOFF_MS << min(attempts, 20))
