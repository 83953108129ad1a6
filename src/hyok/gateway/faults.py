"""The one table from our errors to S3's.

An error's ``reason`` is the S3 code where it knows one; otherwise its kind decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.errors import (
    Conflict,
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Tampered,
    Unavailable,
)
from hyok.s3.codes import CODES, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Mapping[type[HyokError], str] = {
    Malformed: "InvalidRequest",
    NotAuthenticated: "AccessDenied",
    Refused: "AccessDenied",
    NotFound: "NoSuchKey",
    Conflict: "OperationAborted",
    Tampered: "InternalError",
    Unavailable: "ServiceUnavailable",
}

FACTS: Mapping[str, str] = {
    "delete-marker": "x-amz-delete-marker",
    "version-id": "x-amz-version-id",
}
"""What an error knows beside its sentence, to the headers that tell it."""

RETRY_AFTER_SECONDS = 1

TAMPERED_MESSAGE = "The stored object failed authentication and is not handed out."


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the client gets it."""

    code: str
    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


INTERNAL = Fault("InternalError", 500, CODES["InternalError"].message)
"""Our own bug: logged with its traceback, opaque to the client."""


def fault_of(error: HyokError) -> Fault:
    """Return what the client is told of an expected failure."""
    code = _code(error)
    message = TAMPERED_MESSAGE if isinstance(error, Tampered) else error.cause or code.message
    if error.code and not isinstance(error, Tampered):
        message = f"{message} ({error.code})"
    headers = [("retry-after", str(RETRY_AFTER_SECONDS))] if code.status == 503 else []
    headers += [(FACTS[name], value) for name, value in error.facts.items() if name in FACTS]
    return Fault(code.name, code.status, message, tuple(headers))


def _code(error: HyokError) -> Code:
    # Stored data that fails authentication is never the client's mistake, whatever was named.
    if error.reason in CODES and not isinstance(error, Tampered):
        return CODES[error.reason]
    for kind, name in KINDS.items():
        if isinstance(error, kind):
            return CODES[name]
    return CODES["InternalError"]
