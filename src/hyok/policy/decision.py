"""What is asked of policy, what it answers, and a bounded memory of answers."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyok.vocabulary import KeyUse, Principal

DECISIONS_MAX = 10_000


class StoreFacts(NamedTuple):
    """Who has the bytes: where they are, who controls the supplier, and what it may see."""

    jurisdiction: str
    control: str
    use_case: str  # UC1: ciphertext only; clear: it reads content


class Question(NamedTuple):
    """May this principal do this here?  The whole of it is the key of the cache."""

    principal: Principal
    action: str
    bucket_id: str
    tenant: str
    classification: str
    level: int
    store_facts: StoreFacts | None
    purpose: str
    zone: str
    public: bool = False  # the bucket is open to readers without credentials
    approved: bool = False  # officers approved exactly this act
    break_glass: bool = False  # officers let this app read exactly this object, for now
    use: KeyUse | None = None  # of a door's key


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the ids of the rules that gave it.

    ``until_ms``: it may be another one from then on, unix milliseconds; 0: it has no such end.
    """

    allowed: bool
    reasons: tuple[str, ...]
    until_ms: int = 0


class Engine(Protocol):
    """Decides.  Anything it cannot evaluate is a no."""

    def decide(self, question: Question) -> Decision: ...


class CachedEngine:
    """An engine with a memory: at most ``ttl_ms`` old, so that a cut-off gateway goes closed."""

    def __init__(self, engine: Engine, *, clock_ms: Callable[[], int], ttl_ms: int) -> None:
        self._engine = engine
        self._clock_ms = clock_ms
        self._ttl_ms = ttl_ms
        self._known: OrderedDict[Question, tuple[int, Decision]] = OrderedDict()

    def become(self, engine: Engine) -> None:
        """Decide by another engine from now on; what was remembered is forgotten."""
        self._engine = engine
        self._known.clear()

    def decide(self, question: Question) -> Decision:
        """Return the decision, from memory when it is young enough."""
        now = self._clock_ms()
        known = self._known.get(question)
        if known is not None and now < known[0]:
            return known[1]
        decision = self._engine.decide(question)
        young_until = now + self._ttl_ms
        if decision.until_ms:
            young_until = min(young_until, decision.until_ms)
        self._known[question] = (young_until, decision)
        self._known.move_to_end(question)
        if len(self._known) > DECISIONS_MAX:
            self._known.popitem(last=False)
        return decision
