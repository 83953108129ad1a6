"""The one table from our errors to the protocol's names and statuses.

Source: AWS "XKS Proxy API Specification", version 1, "Error responses".
"""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.door_key import KEY_STATE, KEY_UNKNOWN, KEY_USAGE
from hyok.custody.doors import TOO_LARGE, is_bad_ciphertext
from hyok.errors import (
    HyokError,
    Malformed,
    NotAuthenticated,
    NotFound,
    Refused,
    Unavailable,
)

THROTTLED = "Throttled"
_FROZEN = "HY-2315"


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, the protocol's name of the error, and a sentence that may be shown."""

    status: int
    name: str
    message: str = ""


INTERNAL = Fault(500, "InternalException", "The key store failed.")
UNKNOWN_PATH = Fault(404, "InvalidUriPathException", "There is no key store at this path.")
TIMEOUT = Fault(503, "DependencyTimeoutException", "The HSM did not answer in time.")
TOO_MANY = Fault(429, "ThrottlingException", "More requests than can be answered in time.")
UNSUPPORTED = Fault(501, "UnsupportedOperationException", "The request is larger than we serve.")
_UNKNOWN = Fault(401, "AuthenticationFailedException", "The request is not authenticated.")
_NO_KEY = Fault(404, "KeyNotFoundException", "There is no such key in this key store.")
_DENIED = Fault(403, "AccessDeniedException", "The key's owner does not permit this use.")
_STATE = Fault(400, "InvalidStateException", "The key's owner has suspended this use.")
_USAGE = Fault(400, "InvalidKeyUsageException", "The key was not made for this.")
_CIPHERTEXT = Fault(
    400, "InvalidCiphertextException", "The ciphertext does not open under this key."
)

_REASONS: dict[tuple[type[HyokError], str], Fault] = {
    (Malformed, TOO_LARGE): UNSUPPORTED,
    (NotFound, KEY_UNKNOWN): _NO_KEY,
    (Refused, KEY_STATE): _STATE,
    (Refused, KEY_USAGE): _USAGE,
    (Refused, "AccessDenied"): _DENIED,
    (Unavailable, THROTTLED): TOO_MANY,
}
_KINDS: dict[type[HyokError], Fault] = {NotAuthenticated: _UNKNOWN, Unavailable: TIMEOUT}


def fault_of(error: HyokError) -> Fault:
    """Return what KMS is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _CIPHERTEXT
    if error.code == _FROZEN:
        return _STATE
    kind = type(error)
    if (found := _REASONS.get((kind, error.reason))) is not None:
        return found
    if isinstance(error, Malformed):
        return Fault(400, "ValidationException", error.cause)
    return _KINDS.get(kind, INTERNAL)
