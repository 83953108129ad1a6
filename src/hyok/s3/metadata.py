"""User metadata as it stands in the headers of a request.

Source: Amazon S3 User Guide, "Working with object metadata".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed, Refused
from hyok.s3.tags import parse_tagging_header

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SYSTEM_HEADERS",
    "USER_METADATA_PREFIX",
    "check_user_metadata",
    "content_encoding",
    "parse_tagging_header",
]

USER_METADATA_PREFIX = "x-amz-meta-"
USER_METADATA_BYTES_MAX = 2048
RESERVED_NAME = "hyok"

SYSTEM_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
"""What S3 keeps beside an object and gives back with it."""


def check_user_metadata(entries: Mapping[str, str]) -> None:
    """Return quietly if a client may keep these, named without ``x-amz-meta-``.

    Raises:
        Malformed: more than 2 KB of names and values (reason ``MetadataTooLarge``).
        Refused: a name that is the gateway's own.
    """
    total = 0
    for name, value in entries.items():
        # The envelope's own field, and what could be mistaken for it.
        if name.startswith(RESERVED_NAME) and name[4:5] in ("", "-", "_", "."):
            raise Refused(
                f"User metadata named {RESERVED_NAME} is reserved for the gateway.",
                reason="InvalidArgument",
            )
        total += len(name.encode()) + len(value.encode())
    if total > USER_METADATA_BYTES_MAX:
        raise Malformed(
            "Your metadata headers exceed the maximum allowed metadata size",
            reason="MetadataTooLarge",
        )


def content_encoding(header: str | None) -> str:
    """Return what to keep of a Content-Encoding: all codings but the transfer's own."""
    if not header:
        return ""
    codings = [coding.strip() for coding in header.split(",")]
    return ",".join([c for c in codings if c and c.lower() != "aws-chunked"])
