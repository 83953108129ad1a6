"""Object lock: configuration, retention and legal hold, in documents and headers.

Which change of them is allowed, and when: `hyok.s3.lock_rules`.

Source: Amazon S3 User Guide, "Locking objects with Object Lock"; Amazon S3 API Reference,
PutObjectLockConfiguration, PutObjectRetention, PutObjectLegalHold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Malformed, NotFound, Refused
from hyok.s3.documents import malformed, parse
from hyok.s3.elements import document, leaf, timestamp
from hyok.s3.times import parse_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyok.s3.documents import Element

DAYS_MAX = 36_500
YEARS_MAX = 100

_NUMBER = re.compile(r"-?[0-9]{1,10}", re.ASCII).fullmatch


class Mode(Enum):
    """Who may end a retention early: somebody with the right to bypass it, or nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


@dataclass(frozen=True, slots=True)
class Retention:
    """Until when a version may not be deleted; unix milliseconds."""

    mode: Mode
    until_ms: int


@dataclass(frozen=True, slots=True)
class LockConfiguration:
    """What a bucket with object lock gives to every new version; no mode: nothing."""

    mode: Mode | None = None
    days: int = 0
    years: int = 0

    def retention_at(self, now_ms: int) -> Retention | None:
        """Return the retention of a version that is written now."""
        if self.mode is None:
            return None
        now = datetime.fromtimestamp(now_ms // 1000, UTC)
        if self.years:
            try:
                until = now.replace(year=now.year + self.years)
            except ValueError:  # 29 February: the day after, never the day before
                until = now.replace(year=now.year + self.years, month=3, day=1)
        else:
            until = now + timedelta(days=self.days)
        return Retention(self.mode, int(until.timestamp()) * 1000 + now_ms % 1000)


# --- documents -----------------------------------------------------------------------------------


def parse_configuration(body: bytes | memoryview) -> LockConfiguration:
    """Return what an ObjectLockConfiguration asks for.

    Raises:
        Malformed: bad XML (``MalformedXML``), or a period out of bounds
            (``InvalidRetentionPeriod``).
        Refused: an event hold (``NotImplemented``).
    """
    root = parse(body, "ObjectLockConfiguration")
    if (root.value("ObjectLockEnabled") or "").strip() != "Enabled":
        raise malformed()
    rules = root.all("Rule")
    if not rules:
        return LockConfiguration()
    defaults = rules[0].all("DefaultRetention")
    if len(rules) > 1 or len(defaults) != 1:
        raise malformed()
    default = defaults[0]
    if default.all("DefaultEventHold"):
        raise _no_event_hold()
    days, years = default.value("Days"), default.value("Years")
    if (days is None) == (years is None):
        raise malformed()
    mode = _mode(default)
    if days is not None:
        return LockConfiguration(mode, days=_period(days, DAYS_MAX))
    assert years is not None
    return LockConfiguration(mode, years=_period(years, YEARS_MAX))


def render_configuration(configuration: LockConfiguration) -> bytes:
    """Return ObjectLockConfiguration."""
    rule = ""
    if configuration.mode is not None:
        period = (
            leaf("Years", configuration.years)
            if configuration.years
            else leaf("Days", configuration.days)
        )
        default = f"{leaf('Mode', configuration.mode.value)}{period}"
        rule = f"<Rule><DefaultRetention>{default}</DefaultRetention></Rule>"
    return document("ObjectLockConfiguration", [leaf("ObjectLockEnabled", "Enabled"), rule])


def parse_retention(body: bytes | memoryview, now_ms: int) -> Retention | None:
    """Return the retention of a Retention document; None when it is empty, which removes one.

    Raises:
        Malformed: bad XML, mode or date (``MalformedXML``), or a date that is past
            (``InvalidArgument``).
        Refused: an event hold (``NotImplemented``).
    """
    root = parse(body, "Retention")
    if root.all("EventHold") or root.all("EventHoldDuration"):
        raise _no_event_hold()
    date = root.value("RetainUntilDate")
    if date is None and root.value("Mode") is None:
        return None
    until_ms = parse_date(date or "")
    if until_ms is None:
        raise malformed()
    mode = _mode(root)
    _check_future(until_ms, now_ms)
    return Retention(mode, until_ms)


def render_retention(retention: Retention) -> bytes:
    """Return Retention."""
    return document(
        "Retention",
        [
            leaf("Mode", retention.mode.value),
            leaf("RetainUntilDate", timestamp(retention.until_ms)),
        ],
    )


def parse_legal_hold(body: bytes | memoryview) -> bool:
    """Return whether a LegalHold document sets the hold.

    Raises:
        Malformed: bad XML or status (``MalformedXML``).
    """
    status = (parse(body, "LegalHold").value("Status") or "").strip()
    if status not in ("ON", "OFF"):
        raise malformed()
    return status == "ON"


def render_legal_hold(*, on: bool) -> bytes:
    """Return LegalHold."""
    return document("LegalHold", [leaf("Status", "ON" if on else "OFF")])


def _mode(element: Element) -> Mode:
    text = (element.value("Mode") or "").strip()
    if text not in (Mode.GOVERNANCE.value, Mode.COMPLIANCE.value):
        raise malformed()
    return Mode(text)


def _period(text: str, top: int) -> int:
    text = text.strip()
    if not _NUMBER(text):
        raise malformed()
    if not 1 <= int(text) <= top:
        raise Malformed(
            f"The default retention period must be a whole number from 1 to {top}.",
            reason="InvalidRetentionPeriod",
        )
    return int(text)


def _check_future(until_ms: int, now_ms: int) -> None:
    if until_ms <= now_ms:
        raise Malformed("The retain until date must be in the future!", reason="InvalidArgument")


def _no_event_hold() -> Refused:
    return Refused("Event holds of object lock are not offered.", reason="NotImplemented")


# --- headers -------------------------------------------------------------------------------------


class LockAsked(NamedTuple):
    """What a write asks for; None: not said."""

    retention: Retention | None = None
    legal_hold: bool | None = None


_NOTHING = LockAsked()


def parse_headers(header: Callable[[str], str | None], now_ms: int) -> LockAsked:
    """Read the ``x-amz-object-lock-*`` headers of a write.

    Raises:
        Malformed: one of mode and date without the other, or a value that is none
            (``InvalidArgument``).
        Refused: an event hold (``NotImplemented``).
    """
    if header("x-amz-object-lock-event-hold") is not None:
        raise _no_event_hold()
    mode = header("x-amz-object-lock-mode")
    date = header("x-amz-object-lock-retain-until-date")
    hold = header("x-amz-object-lock-legal-hold")
    if mode is None and date is None and hold is None:
        return _NOTHING
    retention: Retention | None = None
    if (mode is None) != (date is None):
        raise Malformed(
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            reason="InvalidArgument",
        )
    if mode is not None and date is not None:
        if mode not in (Mode.GOVERNANCE.value, Mode.COMPLIANCE.value):
            raise Malformed("Unknown wormMode directive.", reason="InvalidArgument")
        until_ms = parse_date(date)
        if until_ms is None:
            raise Malformed(
                "The retain until date must be provided in ISO 8601 format",
                reason="InvalidArgument",
            )
        _check_future(until_ms, now_ms)
        retention = Retention(Mode(mode), until_ms)
    if hold not in (None, "ON", "OFF"):
        raise Malformed("Legal Hold must be either of 'ON' or 'OFF'", reason="InvalidArgument")
    return LockAsked(retention, None if hold is None else hold == "ON")


def asks_for_locks(header: Callable[[str], str | None]) -> bool:
    """Return whether a CreateBucket asks for a bucket with object lock.

    Raises:
        Malformed: neither true nor false (``InvalidArgument``).
    """
    text = (header("x-amz-bucket-object-lock-enabled") or "false").strip().lower()
    if text not in ("true", "false"):
        raise Malformed(
            "The header x-amz-bucket-object-lock-enabled must be true or false.",
            reason="InvalidArgument",
        )
    return text == "true"


def asks_bypass(header: Callable[[str], str | None]) -> bool:
    """Return whether ``x-amz-bypass-governance-retention`` asks to end a retention early."""
    return (header("x-amz-bypass-governance-retention") or "").strip().lower() == "true"


def answer_headers(retention: Retention | None, *, legal_hold: bool | None) -> Mapping[str, str]:
    """Return the headers of a GET or HEAD that tell how a version is locked."""
    headers: dict[str, str] = {}
    if retention is not None:
        headers["x-amz-object-lock-mode"] = retention.mode.value
        headers["x-amz-object-lock-retain-until-date"] = timestamp(retention.until_ms)
    if legal_hold is not None:
        headers["x-amz-object-lock-legal-hold"] = "ON" if legal_hold else "OFF"
    return headers


def no_configuration() -> NotFound:
    """Return the error of a bucket without object lock."""
    return NotFound(
        "Object Lock configuration does not exist for this bucket",
        reason="ObjectLockConfigurationNotFoundError",
    )


def no_lock() -> NotFound:
    """Return the error of a version without retention, or without a legal hold."""
    return NotFound(
        "The specified object does not have a ObjectLock configuration",
        reason="NoSuchObjectLockConfiguration",
    )
