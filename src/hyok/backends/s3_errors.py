"""What an S3 store's refusals mean to us.  Pure.

The store's own sentences stay behind, since they may name what our clients should not see.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from hyok.errors import Conflict, HyokError, Malformed, NotFound, Refused, Unavailable
from hyok.s3.documents import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFLICTS = {
    "PreconditionFailed": "PreconditionFailed",
    "ConditionalRequestConflict": "ConditionalRequestConflict",
    "OperationAborted": "OperationAborted",
    "BucketNotEmpty": "BucketNotEmpty",
    "BucketAlreadyExists": "BucketAlreadyExists",
    "BucketAlreadyOwnedByYou": "BucketAlreadyOwnedByYou",
    "InvalidBucketState": "InvalidBucketState",
}
_MALFORMED = frozenset(
    {
        "InvalidPart",
        "InvalidPartOrder",
        "EntityTooSmall",
        "EntityTooLarge",
        "InvalidRange",
        "InvalidArgument",
        "InvalidRequest",
        "InvalidTag",
    }
)
_NOT_FOUND = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion"})


_PASSING = frozenset({"RequestTimeout", "InternalError", "SlowDown"})
"""What may go better next time, whatever status it comes with."""

_BUSY = frozenset({"SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded"})
"""The store says that it did nothing.  A bare 503 may be a proxy's that lost the answer."""

RETRY_AFTER_SECONDS_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that is not success."""

    status: int
    code: str
    retry_after_seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)  # of a delete marker, where told


def failure_of(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Failure:
    """Return the code of an error document, empty when there is none, and what headers add."""
    headers = headers or {}
    wait = retry_after(headers)
    facts: dict[str, str] = {}
    if headers.get("x-amz-delete-marker") == "true":
        facts = {"delete-marker": "true", "version-id": headers.get("x-amz-version-id", "")}
    try:
        return Failure(status, parse(body, "Error").value("Code") or "", wait, facts)
    except Malformed:
        return Failure(status, "", wait, facts)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return Retry-After in seconds, a date counted from the answer's own; 0: not said."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_SECONDS_MAX)
    try:
        until = parsedate_to_datetime(text)
        wait = (until - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, wait), RETRY_AFTER_SECONDS_MAX)


def error_of(failure: Failure, missing: str = "NoSuchKey") -> HyokError:
    """Return our error; ``missing`` is what a bare 404 stands for.

    Where a version was asked for (``NoSuchVersion``) it is the version that is missing, whatever
    the store calls it.
    """
    code = failure.code or {404: missing, 412: "PreconditionFailed", 416: "InvalidRange"}.get(
        failure.status, ""
    )
    if code in _NOT_FOUND or failure.status == 404:
        reason = code if code in _NOT_FOUND else missing
        if (reason, missing) == ("NoSuchKey", "NoSuchVersion"):
            reason = missing
        return NotFound("The specified key does not exist.", reason=reason, facts=failure.facts)
    if failure.facts and failure.status == 405:
        return Malformed(
            "A delete marker has no bytes.", reason="MethodNotAllowed", facts=failure.facts
        )
    if code in _CONFLICTS:
        return Conflict("The store's state forbids it.", reason=_CONFLICTS[code])
    if code in _MALFORMED:
        return Malformed("The store refuses these bytes or parts.", reason=code)
    if failure.status == 501 or code == "NotImplemented":
        return Refused("The store does not offer this.", reason="NotImplemented")
    if failure.status in {401, 403}:
        return Unavailable(
            "The store refuses our credentials.",
            reason="ServiceUnavailable",
            code="HY-4002",
            effect="Nothing was changed.",
            next_step="hyok doctor; look at the store's credentials",
            lasting=True,
        )
    if 300 <= failure.status < 500 and failure.status not in {408, 429} and code not in _PASSING:
        return Unavailable(
            "The store refuses our request.",
            reason="ServiceUnavailable",
            code="HY-4006",
            effect="Nothing was changed.",
            next_step="look at the store's log; is it the right endpoint and region?",
            lasting=True,
        )
    return Unavailable(
        "The store does not answer as it should.",
        reason="SlowDown" if code == "SlowDown" or failure.status == 429 else "ServiceUnavailable",
        code="HY-4003",
        untouched=code in _BUSY or failure.status == 429,
        retry_after_seconds=failure.retry_after_seconds,
    )
