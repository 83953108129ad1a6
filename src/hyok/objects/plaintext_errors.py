"""What is said of plaintext that is not handed out, or not as it was asked for."""

from __future__ import annotations

from hyok.errors import Refused, Tampered


def no_envelope() -> Tampered:
    """Return what is said of a stored object that nobody sealed."""
    return Tampered(
        "The stored object carries no envelope, so it was not written by this gateway.",
        code="HY-3501",
        effect="It is not handed out.",
        next_step="if it stood there before the bucket was adopted: hyok buckets adopt; else "
        "restore the object",
    )


def another_object() -> Tampered:
    """Return what is said of an object in clear that is not the one that was counted."""
    return Tampered(
        "The stored object is another one than was counted when the bucket was adopted.",
        code="HY-3511",
        effect="It is not handed out.",
        next_step="find out who wrote to the store; write the object anew through the gateway",
    )


def older_version() -> Refused:
    """Return why a version of before the adoption is not read."""
    return Refused(
        "This version stands in clear at the store: it is of before the bucket was adopted, or was "
        "written around the gateway. Only the newest of then is read through, until it is sealed.",
        reason="AccessDenied",
        code="HY-3514",
        effect="It is not handed out.",
        next_step="remove such versions: hyok buckets adopt NAME --erase-versions",
    )


def stands_in_clear(effect: str) -> Refused:
    """Return why something is not done with an object that stands in clear."""
    return Refused(
        "The object stands in clear at the store since before its bucket was adopted; this is "
        "done with sealed objects only.",
        reason="AccessDenied",
        code="HY-3515",
        effect=effect,
        next_step="write it anew through the gateway, or: hyok buckets adopt NAME --mode seal",
    )
