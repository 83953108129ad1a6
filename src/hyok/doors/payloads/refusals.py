"""What this door refuses of a request: a word for programs, a code and a sentence for people.

Pure.

Source: docs/keyservices/payloads.md.
"""

from __future__ import annotations

from hyok.errors import Malformed, Refused

INVALID_REQUEST = "invalid_request"
INVALID_TOKEN = "invalid_token"  # noqa: S105 - a word, no secret
INVALID_DOCUMENT = "invalid_document"
INVALID_FIELD = "invalid_field"
CONTEXT_MISMATCH = "context_mismatch"
FOREIGN_TOKEN = "foreign_token"  # noqa: S105 - a word, no secret
FIELD_TOO_LONG = "field_too_long"
TOO_MANY_VALUES = "too_many_values"
TOO_LARGE = "too_large"
THROTTLED = "too_many_requests"
MEDIA_TYPE = "unsupported_media_type"
OFF = "switched_off"
INVALID_BSN = "invalid_bsn"
LENGTH_REQUIRED = "length_required"
UNKNOWN_BUCKET = "unknown_bucket"
INVALID_FILE = "invalid_file"

POINTER = "pointer"
"""The fact of an error that says where in a document the fault is, as a JSON Pointer."""


def invalid_request(sentence: str) -> Malformed:
    """Return the error of a body that is not what the operation takes."""
    return Malformed(sentence, reason=INVALID_REQUEST, code="HY-2700")


def invalid_token(sentence: str) -> Malformed:
    """Return the error of a text that is no token of the profile."""
    return Malformed(sentence, reason=INVALID_TOKEN, code="HY-2701")


def context_mismatch(pointer: str | None = None) -> Malformed:
    """Return the error of a token that is bound to something else than was expected."""
    return Malformed(
        "The token is bound to another context than this one.",
        reason=CONTEXT_MISMATCH,
        code="HY-2702",
        effect="Nothing was opened.",
        facts={} if pointer is None else {POINTER: pointer},
    )


def foreign_token(pointer: str | None = None) -> Malformed:
    """Return the error of a token of a tenant that is not the caller's."""
    return Malformed(
        "The token names a key of another tenant.",
        reason=FOREIGN_TOKEN,
        code="HY-2703",
        effect="Nothing was opened.",
        facts={} if pointer is None else {POINTER: pointer},
    )


def invalid_document(sentence: str, pointer: str | None = None) -> Malformed:
    """Return the error of a JSON text that this door does not take."""
    facts = {} if pointer is None else {POINTER: pointer}
    return Malformed(sentence, reason=INVALID_DOCUMENT, code="HY-2704", facts=facts)


def invalid_field(sentence: str, pointer: str | None = None) -> Malformed:
    """Return the error of a list of fields that says nothing sound, or of a field of it."""
    facts = {} if pointer is None else {POINTER: pointer}
    return Malformed(sentence, reason=INVALID_FIELD, code="HY-2705", facts=facts)


def field_too_long(pointer: str, length: int, longest: int) -> Malformed:
    """Return the error of a field that cannot hold its token."""
    return Malformed(
        f"The token has {length} characters and the field takes {longest}.",
        reason=FIELD_TOO_LONG,
        code="HY-2706",
        effect="Nothing was replaced.",
        facts={POINTER: pointer},
    )


def too_many_values(most: int) -> Malformed:
    """Return the error of a document with more values than one request serves."""
    return Malformed(
        f"One document has at most {most:,} values to encrypt or decrypt.",
        reason=TOO_MANY_VALUES,
        code="HY-2707",
        effect="Nothing was replaced.",
        next_step="send it in parts",
    )


def too_large(sentence: str) -> Malformed:
    """Return the error of a request that is longer than is served."""
    return Malformed(sentence, reason=TOO_LARGE, code="HY-2708")


def media_type() -> Malformed:
    """Return the error of a body that is said to be something else than JSON."""
    return Malformed("The body must be application/json.", reason=MEDIA_TYPE, code="HY-2709")


def switched_off(what: str, setting: str) -> Refused:
    """Return the error of what this installation does not do."""
    return Refused(
        f"{what} is off here.",
        reason=OFF,
        code="HY-2711",
        next_step=f"whoever runs this installation may set {setting}; its page says what it shows",
    )


def invalid_bsn(sentence: str) -> Malformed:
    """Return the error of digits that are no BSN, or stand for none; they are not told."""
    return Malformed(sentence, reason=INVALID_BSN, code="HY-2712")


def length_required() -> Malformed:
    """Return the error of a file whose length is not told: it stands in front of what is sealed."""
    return Malformed(
        "The length of the body must be told beforehand: Content-Length.",
        reason=LENGTH_REQUIRED,
        code="HY-2750",
    )


def unknown_bucket() -> Malformed:
    """Return the error of a bucket that is not there, another tenant's, or not of this app."""
    return Malformed(
        "The token's app was not registered for a bucket of this name.",
        reason=UNKNOWN_BUCKET,
        code="HY-2751",
        next_step="hyok apps create … --grant use-keys --bucket NAME",
    )


def invalid_file() -> Malformed:
    """Return the error of bytes that open as no file of this bucket and name."""
    return Malformed(
        "The file does not open: it is of another bucket or name, or was changed.",
        reason=INVALID_FILE,
        code="HY-2753",
        effect="Nothing was opened.",
    )
