"""The one table from our errors to Vault's statuses and sentences.

Source: HashiCorp Vault, "HTTP API: HTTP status codes"; docs/keyservices/transit.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.door_key import KEY_STATE, KEY_UNKNOWN, KEY_USAGE
from hyok.custody.doors import is_bad_ciphertext
from hyok.errors import HyokError, Malformed, NotAuthenticated, NotFound, Refused, Unavailable

THROTTLED = "Throttled"
_FROZEN, _USED_UP = "HY-2315", "HY-2604"


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, a word for our own figures, and a sentence that may be shown."""

    status: int
    name: str
    message: str


INTERNAL = Fault(500, "Internal", "internal error")
SEALED = Fault(503, "Sealed", "Vault is sealed")
TOO_MANY = Fault(429, "TooMany", "more requests than can be answered in time")
NO_KEY = Fault(400, "NoKey", "encryption key not found")
DENIED = Fault(403, "Denied", "permission denied")
_STATE = Fault(403, "Suspended", "the key's owner has suspended this use")
_USED = Fault(400, "UsedUp", "the key has encrypted as often as one may: it must be rotated")
_USAGE = Fault(400, "Usage", "the key was not made for this")
_CIPHERTEXT = Fault(400, "Ciphertext", "cipher: message authentication failed")

_REASONS: dict[tuple[type[HyokError], str], Fault] = {
    (NotFound, KEY_UNKNOWN): NO_KEY,
    (Refused, KEY_STATE): _STATE,
    (Refused, KEY_USAGE): _USAGE,
    (Refused, "AccessDenied"): DENIED,
    (Unavailable, THROTTLED): TOO_MANY,
}
_KINDS: dict[type[HyokError], Fault] = {NotAuthenticated: DENIED, Unavailable: SEALED}


def fault_of(error: HyokError) -> Fault:
    """Return what the client is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _CIPHERTEXT
    if error.code == _FROZEN:
        return _STATE
    if error.code == _USED_UP:
        return _USED
    kind = type(error)
    if (found := _REASONS.get((kind, error.reason))) is not None:
        return found
    if isinstance(error, Malformed):
        return Fault(400, "Malformed", error.cause)
    return _KINDS.get(kind, INTERNAL)


def is_of_item(error: HyokError) -> bool:
    """Say whether an error is of one item of a batch, and says nothing of the others."""
    return isinstance(error, Malformed) or is_bad_ciphertext(error)
