"""The one table from our errors to statuses of gRPC.  Pure.

An API server takes any status but OK as a failure; the words tell whoever reads its log what to do.

Source: gRPC, "Status codes and their use in gRPC"; docs/keyservices/kubernetes.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from hyok.custody.door_key import KEY_STATE, KEY_UNKNOWN, KEY_USAGE
from hyok.custody.doors import TOO_LARGE, is_bad_ciphertext
from hyok.errors import HyokError, Malformed, NotFound, Refused, Unavailable

THROTTLED, KEY_ID = "Throttled", "KeyId"
_FROZEN = "HY-2315"


@dataclass(frozen=True, slots=True)
class Fault:
    """The name of a status, a word for our own figures, and a sentence that may be shown."""

    status: str
    name: str
    message: str


INTERNAL = Fault("INTERNAL", "Internal", "the plugin failed; its log says why")
AWAY = Fault("UNAVAILABLE", "Unavailable", "HSM, log or database did not answer in time")
TOO_MANY = Fault("RESOURCE_EXHAUSTED", "TooMany", "more requests than were agreed")
_NO_KEY = Fault("NOT_FOUND", "NoKey", "the key of the settings is not there, or not for this app")
_NO_KEY_ID = Fault("NOT_FOUND", "NoKeyId", "key_id names no version of this plugin's key")
_DENIED = Fault("PERMISSION_DENIED", "Denied", "the key's owner does not permit this use")
_STATE = Fault("PERMISSION_DENIED", "Suspended", "the key's owner has suspended this use")
_USED = Fault("PERMISSION_DENIED", "UsedUp", "the key has encrypted as often as one may: rotate it")
_USAGE = Fault("PERMISSION_DENIED", "Usage", "the key was not made for this")
_CIPHERTEXT = Fault("INVALID_ARGUMENT", "Ciphertext", "the ciphertext does not open")
_LARGE = Fault("INVALID_ARGUMENT", "TooLarge", "more than one call takes")

_CODES = {_FROZEN: _STATE, "HY-2604": _USED}
_REASONS: dict[tuple[type[HyokError], str], Fault] = {
    (Malformed, TOO_LARGE): _LARGE,
    (NotFound, KEY_UNKNOWN): _NO_KEY,
    (NotFound, KEY_ID): _NO_KEY_ID,
    (Refused, KEY_STATE): _STATE,
    (Refused, KEY_USAGE): _USAGE,
    (Refused, "AccessDenied"): _DENIED,
    (Unavailable, THROTTLED): TOO_MANY,
}
_KINDS: dict[type[HyokError], Fault] = {Refused: _DENIED, Unavailable: AWAY}


def fault_of(error: HyokError) -> Fault:
    """Return what the API server is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _CIPHERTEXT
    if (known := _CODES.get(error.code)) is not None:
        return known
    kind = type(error)
    if (found := _REASONS.get((kind, error.reason))) is not None:
        return found
    if isinstance(error, Malformed):
        return Fault("INVALID_ARGUMENT", "Malformed", error.cause)
    return _KINDS.get(kind, INTERNAL)
