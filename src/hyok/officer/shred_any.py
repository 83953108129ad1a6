"""The act `scope:shred`, whatever it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.officer.port import Done, Performer, Plan
    from hyok.vocabulary import Ask


class Shred:
    """`scope:shred`: of a case or person, of a bucket or an object, of a classification."""

    def __init__(self, case: Performer, whole: Performer, classification: Performer) -> None:
        self._by: Mapping[str, Performer] = {
            "case": case,
            "bucket": whole,
            "all_of": classification,
        }

    def _of(self, effect: Effect) -> Performer:
        named = [word for word in self._by if word in effect]
        if len(named) != 1:
            raise Malformed(
                "one of a case, a bucket and a classification is wanted",
                effect="Nothing was proposed.",
            )
        return self._by[named[0]]

    async def plan(self, effect: Effect) -> Plan:
        """See `Performer`.

        Raises:
            Malformed: it names none of these, or several.
        """
        return await self._of(effect).plan(effect)

    async def perform(self, ask: Ask, case: Case) -> Done:
        """See `Performer`."""
        return await self._of(case.proposal.effect).perform(ask, case)
