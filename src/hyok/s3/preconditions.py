"""If-Match and its kin, over the ETags and times that clients see.

Source: RFC 9110 section 13.2.2 (precedence), which S3 follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

from hyok.errors import Conflict, Malformed, Refused
from hyok.s3.names import etag_in, unquote_etag

if TYPE_CHECKING:
    from collections.abc import Callable

ETAGS_MAX = 64


class Verdict(Enum):
    """What a read may do."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for a read.  Times are unix milliseconds; empty: not asked."""

    if_match: str = ""
    if_none_match: str = ""
    if_modified_since_ms: int | None = None
    if_unmodified_since_ms: int | None = None

    @property
    def asked(self) -> bool:
        """Is there anything to check?"""
        return self is not _NOTHING and self != _NOTHING


_NOTHING = Preconditions()


def parse(header: Callable[[str], str | None], prefix: str = "") -> Preconditions:
    """Read the conditions; ``prefix`` is ``x-amz-copy-source-`` for the source of a copy."""
    if_match = header(prefix + "if-match")
    if_none_match = header(prefix + "if-none-match")
    modified = header(prefix + "if-modified-since")
    unmodified = header(prefix + "if-unmodified-since")
    if not (if_match or if_none_match or modified or unmodified):
        return _NOTHING
    return Preconditions(
        if_match=if_match or "",
        if_none_match=if_none_match or "",
        if_modified_since_ms=_time_ms(modified),
        if_unmodified_since_ms=_time_ms(unmodified),
    )


def check(conditions: Preconditions, etag: str, modified_ms: int) -> Verdict:
    """Say whether an object with this client-side ETag may be read or is unchanged.

    Raises:
        Conflict: a condition does not hold (reason ``PreconditionFailed``).
    """
    modified_s = modified_ms // 1000  # the header knows whole seconds only
    if conditions.if_match:
        if not _matches(conditions.if_match, etag, weak=False):
            raise _failed("If-Match")
    elif (
        conditions.if_unmodified_since_ms is not None
        and modified_s > conditions.if_unmodified_since_ms // 1000
    ):
        raise _failed("If-Unmodified-Since")
    if conditions.if_none_match:
        if _matches(conditions.if_none_match, etag, weak=True):
            return Verdict.NOT_MODIFIED
    elif (
        conditions.if_modified_since_ms is not None
        and modified_s <= conditions.if_modified_since_ms // 1000
    ):
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold at the destination.  One field at most is set.

    ``if_match``: the store's ETag there now; ``absent``: nothing there; ``exists``: something
    there; ``not_match``: nothing there, or something with another ETag than this one.
    """

    if_match: str = ""
    absent: bool = False
    exists: bool = False
    not_match: str = ""


UNCONDITIONAL = WriteCondition()


def parse_write(header: Callable[[str], str | None]) -> WriteCondition:
    """Read If-Match and If-None-Match of a write.

    Raises:
        Refused: a form that S3 does not offer for writes (reason ``NotImplemented``).
        Conflict: an ETag that no object of ours ever had (reason ``PreconditionFailed``).
    """
    if_match, if_none_match = header("if-match"), header("if-none-match")
    if if_match is None and if_none_match is None:
        return UNCONDITIONAL
    if if_match is not None and if_none_match is not None:
        raise Refused("Only one of If-Match and If-None-Match is served.", reason="NotImplemented")
    if if_none_match is not None:
        if if_none_match.strip() == "*":
            return WriteCondition(absent=True)
        # An ETag that no object of ours ever had is none that stands there.
        unwanted = _one_etag("If-None-Match", if_none_match)
        return UNCONDITIONAL if unwanted is None else WriteCondition(not_match=unwanted)
    assert if_match is not None
    if if_match.strip() == "*":
        return WriteCondition(exists=True)
    wanted = _one_etag("If-Match", if_match)
    if wanted is None:
        raise _failed("If-Match")
    return WriteCondition(if_match=wanted)


def _one_etag(name: str, text: str) -> str | None:
    """Return the store's ETag for the one that a write names; None if it is none of ours."""
    if "," in text:
        raise Refused(f"{name} takes one ETag on writes.", reason="NotImplemented")
    return etag_in(unquote_etag(text))


def _matches(header: str, etag: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    candidates = header.split(",")
    if len(candidates) > ETAGS_MAX:
        raise Malformed("Too many ETags in one condition.", reason="InvalidArgument")
    for candidate in candidates:
        text = candidate.strip()
        if text.startswith("W/"):
            if not weak:
                continue
            text = text[2:]
        if unquote_etag(text) == etag:
            return True
    return False


def _time_ms(text: str | None) -> int | None:
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None  # RFC 9110: a date that cannot be read is ignored


def _failed(condition: str) -> Conflict:
    return Conflict(
        f"At least one of the pre-conditions you specified did not hold: {condition}",
        reason="PreconditionFailed",
    )
