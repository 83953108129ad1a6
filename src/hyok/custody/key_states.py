"""The life of a key version, as two tables.

Whatever decides what a key may do, or what it may become, lives here; it knows no HSM, no database
and no clock.

Source: NIST SP 800-57 part 1 rev. 5, section 7 (key states and transitions).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping


class KeyState(StrEnum):
    """The states of the standard."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


class Use(StrEnum):
    """What a KEK can be put to."""

    WRAP = "wrap"
    UNWRAP = "unwrap"
    CONTINUE = "protect more data under a key it wrapped before"  # parts of an open upload


ALLOWED_USES: Mapping[KeyState, frozenset[Use]] = {
    KeyState.PRE_ACTIVE: frozenset(),
    KeyState.ACTIVE: frozenset({Use.WRAP, Use.UNWRAP, Use.CONTINUE}),
    KeyState.SUSPENDED: frozenset(),
    KeyState.DEACTIVATED: frozenset({Use.UNWRAP, Use.CONTINUE}),
    # Unwrap stays open so that data can be moved to a sound key; policy narrows it to that job.
    KeyState.COMPROMISED: frozenset({Use.UNWRAP}),
    KeyState.DESTROYED: frozenset(),
}

TRANSITIONS: Mapping[KeyState, frozenset[KeyState]] = {
    KeyState.PRE_ACTIVE: frozenset(
        {KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.SUSPENDED, KeyState.DESTROYED}
    ),
    KeyState.ACTIVE: frozenset({KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED}),
    KeyState.SUSPENDED: frozenset(
        {KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}
    ),
    KeyState.DEACTIVATED: frozenset({KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.COMPROMISED: frozenset({KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}


def check_use(state: KeyState, use: Use) -> None:
    """Return quietly if a key in ``state`` may be put to ``use``.

    Raises:
        Refused: it may not (code HY-2301).
    """
    if use not in ALLOWED_USES[state]:
        raise Refused(
            f"A key that is {state} may not {use}.", reason="AccessDenied", code="HY-2301"
        )


def check_transition(state: KeyState, to: KeyState) -> None:
    """Return quietly if a key in ``state`` may become ``to``.

    Raises:
        Conflict: it may not.
    """
    if to not in TRANSITIONS[state]:
        raise Conflict(f"A key that is {state} cannot become {to}.", code="HY-2302")
