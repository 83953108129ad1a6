"""What officers are told, in Dutch and English."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS: Mapping[str, tuple[str, str]] = {
    "proposed": (
        "{person} vraagt goedkeuring voor {act} (voorstel {proposal}).",
        "{person} asks for approval of {act} (proposal {proposal}).",
    ),
    "approved": (
        "Voorstel {proposal} ({act}) heeft genoeg goedkeuringen en kan worden uitgevoerd.",
        "Proposal {proposal} ({act}) has enough approvals and can be executed.",
    ),
    "refused": (
        "{person} heeft voorstel {proposal} ({act}) afgewezen.",
        "{person} refused proposal {proposal} ({act}).",
    ),
    "withdrawn": (
        "{person} heeft voorstel {proposal} ({act}) ingetrokken.",
        "{person} withdrew proposal {proposal} ({act}).",
    ),
    "executed": (
        "{person} heeft voorstel {proposal} ({act}) uitgevoerd.",
        "{person} executed proposal {proposal} ({act}).",
    ),
    "failed": (
        "Voorstel {proposal} ({act}) is mislukt.",
        "Proposal {proposal} ({act}) failed.",
    ),
    "break-glass.started": (
        "NOODTOEGANG {proposal} is begonnen; die eindigt vanzelf.",
        "BREAK-GLASS {proposal} has started; it ends by itself.",
    ),
    "break-glass.ended": (
        "Noodtoegang {proposal} is geëindigd. Beoordeel die binnen vijf werkdagen.",
        "Break-glass {proposal} has ended. Review it within five working days.",
    ),
    "break-glass.reviewed": (
        "{person} heeft noodtoegang {proposal} beoordeeld.",
        "{person} reviewed break-glass {proposal}.",
    ),
    "alarm": (
        "ALARM: een rij van voorstel {proposal} is niet echt. Er is niets uitgevoerd.",
        "ALARM: a row of proposal {proposal} is not genuine. Nothing was executed.",
    ),
}


def said(event: str, **facts: str) -> dict[str, str]:
    """Return what is told of an event, by language."""
    dutch, english = _TEXTS[event]
    return {"nl": dutch.format(**facts), "en": english.format(**facts)}
