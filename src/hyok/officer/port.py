"""What each act of officers has to say: what it takes, and how it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hyok.custody.cases import Case
    from hyok.custody.proposal import Effect
    from hyok.custody.quorum import Quorum
    from hyok.vocabulary import Ask, Bucket


@dataclass(frozen=True, slots=True)
class Plan:
    """What an act would do, spelled out, and whose approval that takes."""

    tenant: str
    classification: str
    quorum: Quorum
    effect: Effect
    bucket: Bucket | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: a sentence for people, and figures for programs."""

    said: str
    figures: dict[str, object] = field(default_factory=dict)
    whole: bool = True  # False: some of it could not be done, and the figures say what


class Performer(Protocol):
    """One kind of act.  Both methods may be called again with the same effect."""

    async def plan(self, effect: Effect) -> Plan:
        """Return what ``effect`` takes as things stand, every detail filled in.

        Raises:
            Malformed, Refused, NotFound, Conflict: it cannot be done as it is.
        """
        ...

    async def perform(self, ask: Ask, case: Case) -> Done:
        """Do what was approved; carry it on where it was broken off.

        Raises:
            Unavailable: not yet; it may be executed again.
            HyokError: it failed for good.
        """
        ...
