"""Which change of a locked version is allowed: one table, given mode, date and bypass.

Source: Amazon S3 User Guide, "Locking objects with Object Lock", retention modes.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from hyok.errors import Refused
from hyok.s3.locks import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.s3.locks import Retention

PROTECTED = "Access Denied because object protected by object lock."


class Change(Enum):
    """What somebody wants to do to a version under retention."""

    EXTEND = "keep the mode, and the date or a later one"
    SHORTEN = "keep the mode, an earlier date"
    OTHER_MODE = "another mode"
    REMOVE = "no retention"
    DELETE = "delete the version"


class Rule(Enum):
    """What a change needs."""

    FREE = "nothing"
    BYPASS = "the right to bypass governance, and the header that asks for it"
    NEVER = "cannot be done before the date"


RULES: Mapping[tuple[Mode, Change], Rule] = {
    (Mode.GOVERNANCE, Change.EXTEND): Rule.FREE,
    (Mode.GOVERNANCE, Change.SHORTEN): Rule.BYPASS,
    (Mode.GOVERNANCE, Change.OTHER_MODE): Rule.BYPASS,
    (Mode.GOVERNANCE, Change.REMOVE): Rule.BYPASS,
    (Mode.GOVERNANCE, Change.DELETE): Rule.BYPASS,
    (Mode.COMPLIANCE, Change.EXTEND): Rule.FREE,
    (Mode.COMPLIANCE, Change.SHORTEN): Rule.NEVER,
    (Mode.COMPLIANCE, Change.OTHER_MODE): Rule.NEVER,
    (Mode.COMPLIANCE, Change.REMOVE): Rule.NEVER,
    (Mode.COMPLIANCE, Change.DELETE): Rule.NEVER,
}
"""What may be done to a version whose retention has not passed."""


def change_of(current: Retention, wanted: Retention | None) -> Change:
    """Return what kind of change of the retention this is."""
    if wanted is None:
        return Change.REMOVE
    if wanted.mode is not current.mode:
        return Change.OTHER_MODE
    return Change.EXTEND if wanted.until_ms >= current.until_ms else Change.SHORTEN


def check_retention_change(
    current: Retention | None, wanted: Retention | None, *, now_ms: int, bypass: bool
) -> None:
    """Return quietly if the retention of a version may become this.

    ``bypass``: the caller asked for it *and* may.

    Raises:
        Refused: it may not (reason ``AccessDenied``).
    """
    if current is not None:
        _check(current, change_of(current, wanted), now_ms, bypass=bypass)


def check_delete(current: Retention | None, *, legal_hold: bool, now_ms: int, bypass: bool) -> None:
    """Return quietly if this version may be deleted (a delete marker may always be made).

    Raises:
        Refused: it may not (reason ``AccessDenied``); nothing bypasses a legal hold.
    """
    if legal_hold:
        raise Refused(PROTECTED, reason="AccessDenied")
    if current is not None:
        _check(current, Change.DELETE, now_ms, bypass=bypass)


def _check(current: Retention, change: Change, now_ms: int, *, bypass: bool) -> None:
    if current.until_ms <= now_ms:
        return
    rule = RULES[current.mode, change]
    if rule is Rule.FREE or (rule is Rule.BYPASS and bypass):
        return
    raise Refused(PROTECTED, reason="AccessDenied")
