"""The one table from our errors to the protocol's codes and statuses.

Azure shows code and message to its customer: of what failed inside, no more than that it did.

Source: Microsoft "EKM Proxy API", 0.1-preview, errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.door_key import KEY_STATE, KEY_UNKNOWN, KEY_USAGE
from hyok.custody.door_wraps import UNSUPPORTED
from hyok.custody.doors import is_bad_ciphertext
from hyok.doors.ekm.wire import VERSION, render_error
from hyok.errors import (
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Unavailable,
)

THROTTLED = "Throttled"
AWAY = "Away"
"""The reason of a refusal while the HSM is known not to answer."""

_FROZEN, _NO_MODULE, _PIN = "HY-2315", "HY-2109", "HY-2102"
_OURS = frozenset({"HY-2648", "HY-2649"})
"""Codes whose sentence was written for whoever sent the request."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, the protocol's code, and a sentence that may be shown."""

    status: int
    name: str
    message: str

    @property
    def retry_seconds(self) -> int:
        """When to come back; 0: the answer will be the same."""
        return 1 if self.status in {408, 429, 503} else 0


UNAUTHORIZED = Fault(401, "Unauthorized", "A client certificate of this pool is wanted.")
UNKNOWN_PATH = Fault(404, "KeyNotFound", "There is nothing at this path.")
NO_METHOD = Fault(405, "InvalidRequest", "Every request is a POST.")
TIMEOUT = Fault(408, "RequestTimeout", "The HSM did not answer in time.")
TOO_MANY = Fault(429, "TooManyRequests", "More requests than can be answered in time.")
INTERNAL = Fault(500, "InternalServerError", "The key manager failed.")
UNAVAILABLE = Fault(503, "ServiceUnavailable", "The key manager cannot answer at this moment.")
_GATEWAY = Fault(502, "BadGateway", "The HSM cannot be used until somebody looks after it.")
_REQUEST = Fault(400, "InvalidRequest", "The request is not of the right form.")
_VALUE = Fault(400, "InvalidRequest", "The value does not unwrap under this key.")
_ALGORITHM = Fault(400, "UnsupportedAlgorithm", "The key does not wrap with this algorithm.")
_VERSION = Fault(400, "UnsupportedApiVersion", "This api-version is not served.")
_DENIED = Fault(403, "Forbidden", "The key's owner does not permit this use.")
_STATE = Fault(403, "KeyDisabled", "The key's owner has disabled it.")
_USAGE = Fault(403, "OperationNotAllowed", "The key does not wrap keys.")
_OFF = Fault(403, "OperationNotAllowed", "The HSM does not do this.")
_NO_KEY = Fault(404, "KeyNotFound", "There is no such key here.")

_CODES = {_FROZEN: _STATE, _NO_MODULE: _OFF, _PIN: _GATEWAY}
_REASONS: dict[tuple[type[HyokError], str], Fault] = {
    (Malformed, UNSUPPORTED): _ALGORITHM,
    (Malformed, VERSION): _VERSION,
    (NotFound, KEY_UNKNOWN): _NO_KEY,
    (Refused, KEY_STATE): _STATE,
    (Refused, KEY_USAGE): _USAGE,
    (Unavailable, THROTTLED): TOO_MANY,
    (Unavailable, "Timeout"): TIMEOUT,
}
_KINDS: dict[type[HyokError], Fault] = {
    NotAuthenticated: UNAUTHORIZED,
    Refused: _DENIED,
    Malformed: _REQUEST,
    Unavailable: UNAVAILABLE,
}


def fault_of(error: HyokError) -> Fault:
    """Return what Azure is told."""
    if is_bad_ciphertext(error):
        return _VALUE
    if (found := _CODES.get(error.code)) is not None:
        return found
    if (found := _REASONS.get((type(error), error.reason))) is not None:
        return found
    if isinstance(error, Malformed) and error.code in _OURS:
        return Fault(_REQUEST.status, _REQUEST.name, error.cause)
    return _KINDS.get(type(error), INTERNAL)


def refusal(status: int, _word: str) -> tuple[str, bytes]:
    """Return type and body of the answer to what the HTTP engine refused by itself."""
    fault = UNAVAILABLE if status == UNAVAILABLE.status else _REQUEST
    return "application/json", render_error(fault.name, fault.message)
