"""Headers in the query of a presigned address, where the presigner of the JavaScript SDK puts them.

Everything in the query of such an address is signed, so it means what the header would mean: an
``x-amz-tagging`` that raises the classification must not be lost because of where it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "x-amz-"
_NAME = re.compile(r"[a-z0-9!#$&'*+.^_`|~-]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search

_OF_THE_SIGNATURE = frozenset(
    f"x-amz-{name}"
    for name in (
        "algorithm",
        "content-sha256",
        "credential",
        "date",
        "expires",
        "security-token",
        "signature",
        "signedheaders",
    )
)
# The presigner has no body yet and gives the CRC32 of an empty one; Amazon S3 ignores these here.
_OF_A_BODY = "x-amz-checksum-"
_OF_NO_BODY = frozenset(f"{_OF_A_BODY}{name}" for name in ("algorithm", "mode", "type"))
_ANNOUNCES_A_BODY = frozenset(
    ("x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-trailer")
)


def hoisted(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers in the query of a presigned request; of any other request none.

    Raises:
        Malformed: one could not have been a header, or is given twice (``InvalidArgument``).
    """
    found: dict[str, str] = {}
    if "X-Amz-Signature" not in query:
        return found
    for given, value in query.items():
        name = given.lower()
        if not name.startswith(_PREFIX) or not _is_hoisted(name):
            continue
        if not _NAME(name) or _CONTROL(value):
            raise Malformed(
                f"The query parameter {given[:64]!a} cannot stand for a header.",
                reason="InvalidArgument",
            )
        if name in found:
            raise Malformed(
                f"The query parameter {given[:64]} is given twice.", reason="InvalidArgument"
            )
        found[name] = value.strip(" \t")
    return found


def _is_hoisted(name: str) -> bool:
    if name in _OF_THE_SIGNATURE or name in _ANNOUNCES_A_BODY:
        return False
    return not name.startswith(_OF_A_BODY) or name in _OF_NO_BODY
