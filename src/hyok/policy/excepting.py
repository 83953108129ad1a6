"""An engine that knows exceptions: they can turn a no into a yes, and only until they end.  Pure.

A yes by the rules is never looked at again, so an exception takes nothing away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyok.policy.cedar import CedarEngine
    from hyok.policy.decision import Decision, Question
    from hyok.policy.exceptions import PolicyException


class ExceptingEngine:
    """The rules of a bundle, and the exceptions of it that hold at this moment."""

    def __init__(
        self,
        engine: CedarEngine,
        exceptions: Sequence[PolicyException],
        clock_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._exceptions = exceptions
        self._clock_ms = clock_ms

    def decide(self, question: Question) -> Decision:
        """Return the decision; one that rests on exceptions names them, and when the first ends."""
        plain = self._engine.decide(question)
        if plain.allowed:
            return plain
        now = self._clock_ms()
        fitting = [e for e in self._exceptions if now < e.ends_ms and e.lifts.fits(question)]
        if not fitting:
            return plain
        lifted = frozenset(one.lifts.lifted for one in fitting)
        found = self._engine.decide(question, lifted)
        if not found.allowed:
            return found
        needed = [
            one
            for one in fitting
            if not self._engine.decide(question, lifted - {one.lifts.lifted}).allowed
        ] or fitting
        return replace(
            found,
            reasons=(*found.reasons, *(one.word for one in needed)),
            until_ms=min(one.ends_ms for one in needed),
        )
