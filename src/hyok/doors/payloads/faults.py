"""The one table from our errors to problem details.  Pure.

Source: RFC 9457; NL GOV REST API Design Rules; docs/keyservices/payloads.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from hyok.custody.door_key import KEY_STATE, KEY_UNKNOWN, KEY_USAGE
from hyok.custody.doors import is_bad_ciphertext
from hyok.doors.payloads import refusals
from hyok.doors.payloads.literal_json import render
from hyok.doors.payloads.wire import whole
from hyok.errors import HyokError, Malformed, NotAuthenticated, NotFound, Refused, Unavailable
from hyok.objects.sealed_files import OF_PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.payloads.literal_json import Json

_FROZEN, _USED_UP = "HY-2315", "HY-2604"
PROBLEM_JSON = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """A status, a word for programs and our own figures, and a sentence that may be shown."""

    status: int
    code: str
    detail: str
    number: str = ""  # HY-nnnn, where it says more than the word
    pointer: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_AGAIN = {"retry-after": "1"}
_WHO = {"www-authenticate": 'Bearer realm="hyok payloads"'}

INTERNAL = Fault(500, "internal_error", "This is a fault of hyok; its log says more.")
AWAY = Fault(
    503, "unavailable", "HSM, log or database did not answer in time. Come back.", headers=_AGAIN
)
TOO_MANY = Fault(
    429,
    refusals.THROTTLED,
    "More is asked than can be answered in time. Come back.",
    headers=_AGAIN,
)
NOTHING = Fault(404, "not_found", "There is nothing here.")
_TOKEN = Fault(
    401, "not_authenticated", "Show a token that is valid: Authorization: Bearer.", headers=_WHO
)
_NO_KEY = Fault(404, "unknown_key", "No key of this name serves the token's app.", "HY-2601")
_DENIED = Fault(403, "denied", "Policy does not allow this.")
_STATE = Fault(403, "suspended", "The key's owner has suspended this use.")
_USED = Fault(403, "used_up", "The key has encrypted as often as one may: it must be rotated.")
_USAGE = Fault(403, "wrong_usage", "The key was not made for this.", "HY-2603")
_CIPHERTEXT = Fault(400, "invalid_ciphertext", "The token does not open.", "HY-2607")

_PARTS = Fault(
    400,
    "file_of_parts",
    "The file is made of an upload's parts: hyok open opens it.",
    "HY-2752",
)
_GONE = Fault(404, "unknown_key", "The file's key is there no more.", "HY-2304")

_REASONS: dict[tuple[type[HyokError], str], Fault] = {
    (NotFound, KEY_UNKNOWN): _NO_KEY,
    (Refused, KEY_STATE): _STATE,
    (Refused, KEY_USAGE): _USAGE,
    (Refused, "AccessDenied"): _DENIED,
    (Refused, OF_PARTS): _PARTS,
    (Unavailable, refusals.THROTTLED): TOO_MANY,
}
_KINDS: dict[type[HyokError], Fault] = {NotAuthenticated: _TOKEN, Unavailable: AWAY}
_STATUS = {
    refusals.TOO_LARGE: 413,
    refusals.MEDIA_TYPE: 415,
    refusals.LENGTH_REQUIRED: 411,
    refusals.UNKNOWN_BUCKET: 404,
}
_WORDS = {"EntityTooLarge": refusals.TOO_LARGE, "IncompleteBody": refusals.INVALID_REQUEST}
"""Reasons of the HTTP engine, and of whatever seals, in this door's words."""


def not_allowed(method: str) -> Fault:
    """Return what a path says that knows another method alone."""
    return Fault(405, "method_not_allowed", f"This is done by {method}.", headers={"allow": method})


def fault_of(error: HyokError) -> Fault:
    """Return what the caller is told: of what failed inside, no more than that it did."""
    if is_bad_ciphertext(error):
        return _at(_CIPHERTEXT, error)
    if error.code == _FROZEN:
        return _STATE
    if error.code == _USED_UP:
        return _USED
    if error.code == _GONE.number:
        return _GONE
    kind = type(error)
    if (found := _REASONS.get((kind, error.reason))) is not None:
        return found
    if isinstance(error, Malformed):
        return _at(_of_request(error), error)
    if isinstance(error, Refused) and error.reason == refusals.OFF:
        return Fault(403, error.reason, error.cause, error.code)
    return _KINDS.get(kind, INTERNAL)


def _of_request(error: Malformed) -> Fault:
    word = _WORDS.get(error.reason, error.reason) or refusals.INVALID_REQUEST
    return Fault(_STATUS.get(word, 400), word, error.cause, error.code)


def _at(fault: Fault, error: HyokError) -> Fault:
    pointer = error.facts.get(refusals.POINTER)
    return Fault(fault.status, fault.code, fault.detail, fault.number, pointer, fault.headers)


def render_problem(fault: Fault, request_id: str) -> bytes:
    """Return the body of a problem."""
    members: dict[str, Json] = {
        "type": "about:blank",
        "title": HTTPStatus(fault.status).phrase,
        "status": whole(fault.status),
        "detail": fault.detail,
        "instance": f"urn:uuid:{request_id}",
        "code": fault.code,
    }
    if fault.number:
        members["number"] = fault.number
    if fault.pointer is not None:
        members["pointer"] = fault.pointer
    return render(members)
