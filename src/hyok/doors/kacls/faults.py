"""The one table from our errors to what browsers and Google are told: a status and one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.doors import is_bad_ciphertext
from hyok.errors import HyokError, Malformed, NotAuthenticated, NotFound, Refused, Unavailable

THROTTLED = "Throttled"
PEER = "OtherService"


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, and a sentence that may be shown; ``name`` for metrics."""

    status: int
    name: str
    message: str


UNKNOWN_PATH = Fault(404, "NotFound", "There is no such method here.")
METHOD = Fault(400, "Method", "The path is not served with this HTTP method.")
INTERNAL = Fault(500, "Internal", "The key service failed.")
TIMEOUT = Fault(503, "Timeout", "The key service did not answer in time.")
OTHER_SERVICE = Fault(503, "OtherService", "The other key service did not give the key out.")
TOO_MANY = Fault(429, "TooMany", "More requests than can be answered in time.")
UNAUTHENTICATED = Fault(401, "Unauthenticated", "A token is missing, or not good.")
DENIED = Fault(403, "Denied", "The tokens do not permit this.")
_SUSPENDED = Fault(403, "Suspended", "The key's owner has suspended it.")
_BAD = Fault(400, "BadCiphertext", "The wrapped key does not open here.")
_MALFORMED = Fault(400, "Malformed", "The request is not of the right form.")

_KINDS: dict[type[HyokError], Fault] = {
    NotAuthenticated: UNAUTHENTICATED,
    # Of a key that the settings name and officers did not make, or made for others.
    NotFound: INTERNAL,
    Refused: DENIED,
    Malformed: _MALFORMED,
    Unavailable: TIMEOUT,
}

_SHOWN = frozenset({"HY-2680", "HY-2681", "HY-2682", "HY-2685", "HY-2687", "HY-2690", "HY-2691"})
"""Errors whose own sentence tells the caller nothing but what they sent."""


def fault_of(error: HyokError) -> Fault:
    """Return what the caller is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _BAD
    if isinstance(error, Unavailable) and error.reason in {THROTTLED, PEER}:
        return TOO_MANY if error.reason == THROTTLED else OTHER_SERVICE
    if isinstance(error, Refused) and (error.reason == "DoorsOff" or error.code == "HY-2684"):
        return INTERNAL
    if isinstance(error, Refused) and error.code in {"HY-2602", "HY-2315"}:
        return _SUSPENDED
    return _KINDS.get(type(error), INTERNAL)


def details_of(error: HyokError) -> str:
    """Return what may stand beside the sentence."""
    return error.cause if error.code in _SHOWN else ""
