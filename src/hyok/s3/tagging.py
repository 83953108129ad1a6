"""The Tagging document, both ways: the tags of an object or of a bucket.

Source: Amazon S3 API Reference, PutObjectTagging, GetObjectTagging, PutBucketTagging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import NotFound
from hyok.s3.documents import malformed, parse, tag_pair
from hyok.s3.elements import document, leaf
from hyok.s3.tags import BUCKET_TAGS_MAX, TAGS_MAX, check_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

TAGGING_BYTES_MAX = 128 << 10  # 50 tags of 384 characters, each written as &#x.....; at worst


def parse_tagging(body: bytes | memoryview, limit: int = TAGS_MAX) -> dict[str, str]:
    """Return the tags of a Tagging document; of a bucket with a ``limit`` of `BUCKET_TAGS_MAX`.

    Raises:
        Malformed: bad XML (``MalformedXML``), or tags that S3 does not allow.
    """
    sets = parse(body, "Tagging", TAGGING_BYTES_MAX).all("TagSet")
    if len(sets) != 1:
        raise malformed()
    return check_tags([tag_pair(tag) for tag in sets[0].all("Tag")], limit)


def parse_bucket_tagging(body: bytes | memoryview) -> dict[str, str]:
    """Return the tags that a bucket shall have.

    Raises:
        Malformed: as `parse_tagging`.
    """
    return parse_tagging(body, BUCKET_TAGS_MAX)


def render_tagging(tags: Mapping[str, str]) -> bytes:
    """Return Tagging; an object without tags has an empty TagSet."""
    rows = [f"<Tag>{leaf('Key', k)}{leaf('Value', v)}</Tag>" for k, v in tags.items()]
    return document("Tagging", [f"<TagSet>{''.join(rows)}</TagSet>"])


def no_tag_set() -> NotFound:
    """Return the error of a bucket that has no tags (an object without tags is no error)."""
    return NotFound("The TagSet does not exist", reason="NoSuchTagSet")
