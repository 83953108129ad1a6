"""The one table from our errors to what Office is told: a status and one neutral sentence."""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.doors import is_bad_ciphertext
from hyok.errors import HyokError, Malformed, NotAuthenticated, NotFound, Refused, Unavailable

THROTTLED = "Throttled"


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, and a sentence that may be shown; ``name`` for metrics."""

    status: int
    name: str
    message: str


UNKNOWN_PATH = Fault(404, "NotFound", "There is no such key here.")
INTERNAL = Fault(500, "Internal", "The key store failed.")
TIMEOUT = Fault(503, "Timeout", "The key store did not answer in time.")
TOO_MANY = Fault(503, "TooMany", "More requests than can be answered in time.")
UNAUTHENTICATED = Fault(401, "Unauthenticated", "A token of your directory is wanted.")
_BAD = Fault(400, "BadCiphertext", "The value does not open under this key.")
_MALFORMED = Fault(400, "Malformed", "The request is not of the right form.")
_DENIED = Fault(403, "Denied", "You may not use this key, or its owner has suspended it.")

_KINDS: dict[type[HyokError], Fault] = {
    NotAuthenticated: UNAUTHENTICATED,
    NotFound: UNKNOWN_PATH,
    Refused: _DENIED,
    Malformed: _MALFORMED,
    Unavailable: TIMEOUT,
}


def fault_of(error: HyokError) -> Fault:
    """Return what Office is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _BAD
    if isinstance(error, Unavailable) and error.reason == THROTTLED:
        return TOO_MANY
    if isinstance(error, Refused) and error.reason == "DoorsOff":
        return INTERNAL
    return _KINDS.get(type(error), INTERNAL)
