"""Tags of objects and buckets: what S3 allows, in a header and in a document.

Source: Amazon S3 User Guide, "Categorizing your objects using tags"; Amazon S3 API Reference,
PutObjectTagging and PutBucketTagging.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAGS_MAX = 10
BUCKET_TAGS_MAX = 50
TAG_KEY_CHARS_MAX = 128
TAG_VALUE_CHARS_MAX = 256
SYSTEM_PREFIX = "aws:"

_ALLOWED = frozenset("_.:/=+-@ ")
# Letters, digits and blanks of every script, and the marks that belong to letters.
_CATEGORIES = frozenset({"L", "M", "N", "Z"})


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
        Malformed: too many (``BadRequest``); twice the same key, a key or value that is too long
            or holds other characters than S3 allows, or a key of the system (``InvalidTag``).
    """
    if len(pairs) > limit:
        kind = "Object tags" if limit == TAGS_MAX else "Bucket tag count"
        raise Malformed(f"{kind} cannot be greater than {limit}", reason="BadRequest")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise Malformed("Cannot provide multiple Tags with the same key", reason="InvalidTag")
        if not 1 <= len(key) <= TAG_KEY_CHARS_MAX or not _is_clean(key):
            raise Malformed("The TagKey you have provided is invalid", reason="InvalidTag")
        if len(value) > TAG_VALUE_CHARS_MAX or not _is_clean(value):
            raise Malformed("The TagValue you have provided is invalid", reason="InvalidTag")
        if key[: len(SYSTEM_PREFIX)].lower() == SYSTEM_PREFIX:
            raise Malformed("System tags cannot be added/updated by requester", reason="InvalidTag")
        tags[key] = value
    return tags


def count_header(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the header that tells how many tags an object has; none where it has no tag."""
    return [("x-amz-tagging-count", str(len(tags)))] if tags else []


def _is_clean(text: str) -> bool:
    return all(
        char in _ALLOWED or (char.isascii() and char.isalnum()) or _is_other_letter(char)
        for char in text
    )


def _is_other_letter(char: str) -> bool:
    # A line separator is in category Z too, and would break a line wherever it is written.
    return (
        not char.isascii()
        and unicodedata.category(char)[0] in _CATEGORIES
        and char not in "\u2028\u2029\x85"
    )
