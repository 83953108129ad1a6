"""GetObjectAttributes: what was asked for, and its answer.

Source: Amazon S3 API Reference, GetObjectAttributes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from hyok.errors import Malformed
from hyok.s3.elements import checksum_elements, document, flag, leaf, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hyok.s3.checksums import Algorithm

PARTS_MAX = 1000
_NUMBER_MAX = 2**31 - 1


class Attribute(Enum):
    """What can be asked about an object, by its name in the header."""

    ETAG = "ETag"
    CHECKSUM = "Checksum"
    OBJECT_PARTS = "ObjectParts"
    STORAGE_CLASS = "StorageClass"
    OBJECT_SIZE = "ObjectSize"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client asked for; parts with a number above ``after``, at most ``parts_max``."""

    attributes: frozenset[Attribute]
    parts_max: int = PARTS_MAX
    after: int = 0


def parse_asked(header: Callable[[str], str | None]) -> Asked:
    """Read the headers of a GetObjectAttributes.

    Raises:
        Malformed: no attribute, an unknown one, or a number that is none (``InvalidArgument``).
    """
    names = [name.strip() for name in (header("x-amz-object-attributes") or "").split(",")]
    names = [name for name in names if name]
    if not names:
        raise Malformed(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is "
            "either missing or empty",
            reason="InvalidArgument",
        )
    known = {attribute.value: attribute for attribute in Attribute}
    if any(name not in known for name in names):
        raise Malformed("Invalid attribute name specified.", reason="InvalidArgument")
    return Asked(
        frozenset(known[name] for name in names),
        min(_number(header, "x-amz-max-parts", PARTS_MAX), PARTS_MAX),
        _number(header, "x-amz-part-number-marker", 0),
    )


def _number(header: Callable[[str], str | None], name: str, default: int) -> int:
    text = header(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > _NUMBER_MAX:
        raise Malformed(
            f"Argument {name} must be an integer between 0 and {_NUMBER_MAX}",
            reason="InvalidArgument",
        )
    return int(text)


@dataclass(frozen=True, slots=True)
class PartAttributes:
    """One part of a completed object, sizes and checksums of the plaintext."""

    number: int
    size: int
    checksums: Mapping[Algorithm, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an object has.  ``etag`` without quotes; ``parts`` None unless it was made of parts."""

    etag: str
    size: int
    checksums: Mapping[Algorithm, str] = field(default_factory=dict)
    checksum_type: str = ""
    storage_class: str = "STANDARD"
    parts: Sequence[PartAttributes] | None = None  # all of them, in ascending order


def render(held: Attributes, asked: Asked) -> bytes:
    """Return GetObjectAttributesResponse with what was asked for."""
    want = asked.attributes
    pieces: list[str] = []
    if Attribute.ETAG in want:
        pieces.append(leaf("ETag", held.etag))
    if Attribute.CHECKSUM in want and held.checksums:
        kind = optional("ChecksumType", held.checksum_type)
        pieces.append(f"<Checksum>{checksum_elements(held.checksums)}{kind}</Checksum>")
    if Attribute.OBJECT_PARTS in want and held.parts is not None:
        pieces.append(_parts(held.parts, asked))
    if Attribute.STORAGE_CLASS in want:
        pieces.append(leaf("StorageClass", held.storage_class))
    if Attribute.OBJECT_SIZE in want:
        pieces.append(leaf("ObjectSize", held.size))
    return document("GetObjectAttributesResponse", pieces)


def _parts(parts: Sequence[PartAttributes], asked: Asked) -> str:
    later = [part for part in parts if part.number > asked.after]
    page = later[: asked.parts_max]
    rows = "".join(
        [
            f"<Part>{leaf('PartNumber', part.number)}{leaf('Size', part.size)}"
            f"{checksum_elements(part.checksums)}</Part>"
            for part in page
        ]
    )
    last = page[-1].number if page else asked.after
    return (
        f"<ObjectParts>{leaf('PartsCount', len(parts))}{leaf('PartNumberMarker', asked.after)}"
        f"{leaf('NextPartNumberMarker', last)}{leaf('MaxParts', asked.parts_max)}"
        f"{flag('IsTruncated', on=len(page) < len(later))}{rows}</ObjectParts>"
    )
