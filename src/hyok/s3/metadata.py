"""User metadata and tags as they stand in the headers of a request.

Source: Amazon S3 User Guide, "Working with object metadata" and "Object tagging"; specs/
s3-gateway.md section 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from hyok.errors import Malformed, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USER_METADATA_PREFIX = "x-amz-meta-"
USER_METADATA_BYTES_MAX = 2048
RESERVED_NAME = "hyok"

TAGS_MAX = 10
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256

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


def parse_tagging_header(header: str | None) -> dict[str, str]:
    """Return the tags of an ``x-amz-tagging`` header, which is encoded like a form.

    Raises:
        Malformed: not such a text, or tags that S3 does not allow.
    """
    if not header:
        return {}
    try:
        pairs = parse_qsl(
            header, keep_blank_values=True, errors="strict", max_num_fields=TAGS_MAX + 1
        )
    except ValueError:
        raise Malformed(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates.",
            reason="InvalidArgument",
        ) from None
    return check_tags(pairs)


def check_tags(pairs: Sequence[tuple[str, str]], limit: int = TAGS_MAX) -> dict[str, str]:
    """Return the pairs as tags.

    Raises:
        Malformed: too many, twice the same key, or a key or value too long (``InvalidTag``).
    """
    if len(pairs) > limit:
        raise Malformed(f"Object tags cannot be greater than {limit}", reason="BadRequest")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise Malformed("Cannot provide multiple Tags with the same key", reason="InvalidTag")
        if not 1 <= len(key) <= TAG_KEY_CHARS_MAX:
            raise Malformed("The TagKey you have provided is invalid", reason="InvalidTag")
        if len(value) > TAG_VALUE_CHARS_MAX:
            raise Malformed("The TagValue you have provided is invalid", reason="InvalidTag")
        tags[key] = value
    return tags
