"""Words that are given out once and taken back once, soon, from the same hands: in memory.

What a process forgets when it ends is begun anew by whoever was in the middle of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from hyok.errors import NotAuthenticated

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
LIFE_MS = 300_000
WAITING_MAX = 1_000
CHALLENGE_BYTES = 32


class Waiting(Generic[T]):
    """Things that wait to be taken back, each by its word; the oldest give way.

    Args:
        life_ms: how long each waits, in milliseconds.
        clock_ms: unix time in milliseconds.
    """

    def __init__(self, life_ms: int, clock_ms: Callable[[], int]) -> None:
        self._life_ms = life_ms
        self._clock_ms = clock_ms
        self._held: OrderedDict[bytes, tuple[int, T]] = OrderedDict()

    def put(self, word: bytes, thing: T) -> None:
        """Have something wait."""
        self._held[word] = (self._clock_ms() + self._life_ms, thing)
        if len(self._held) > WAITING_MAX:
            self._held.popitem(last=False)

    def take(self, word: bytes) -> T | None:
        """Return what waits under a word, once; None: nothing does any more."""
        ends_ms, thing = self._held.pop(word, (0, None))
        return thing if self._clock_ms() < ends_ms else None


class Challenges:
    """Challenges for new authenticators, each for one person and one use."""

    def __init__(self, entropy: Callable[[int], bytes], clock_ms: Callable[[], int]) -> None:
        self._entropy = entropy
        self._waiting: Waiting[str] = Waiting(LIFE_MS, clock_ms)

    def new(self, person: str) -> bytes:
        """Return a fresh challenge."""
        challenge = self._entropy(CHALLENGE_BYTES)
        self._waiting.put(challenge, person)
        return challenge

    def use(self, person: str, challenge: bytes) -> None:
        """Return quietly if it was given to this person, lately, and was not used.

        Raises:
            NotAuthenticated: it was not (code HY-2512).
        """
        if self._waiting.take(challenge) != person:
            raise NotAuthenticated(
                "This challenge was not given to you lately, or was used.",
                code="HY-2512",
                effect="Nothing was changed.",
                next_step="begin to register the authenticator anew",
            )
