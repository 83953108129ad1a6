"""XML documents that clients send, read behind one guard: bounded, and without a DOCTYPE.

Names are taken without their namespace, since clients disagree about it.  Elements that a document
does not know are skipped, as S3 does.

Source: Amazon S3 API Reference, the request syntax of each operation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from hyok.errors import Malformed
from hyok.s3.checksums import KNOWN, Algorithm
from hyok.s3.names import PART_NUMBER_MAX, unquote_etag
from hyok.s3.tags import BUCKET_TAGS_MAX, check_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPLETE_BYTES_MAX = 4 << 20  # 10000 parts of about 300 bytes, checksums included
DELETE_BYTES_MAX = 8 << 20  # 1000 keys of 1024 bytes, every one written as &#x..; at worst
SMALL_BYTES_MAX = 64 << 10
DEPTH_MAX = 8
ELEMENTS_MAX = 100_000
DELETE_KEYS_MAX = 1000


@dataclass(slots=True)
class Element:
    """One element: its name without a namespace, its text and its children."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        """Return the children of this name."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str | None:
        """Return the text of the only child of this name; None when there is none.

        Raises:
            Malformed: there are two (reason ``MalformedXML``).
        """
        found = self.all(name)
        if len(found) > 1:
            raise malformed()
        return found[0].text if found else None


def parse(body: bytes | memoryview, root: str, bytes_max: int = SMALL_BYTES_MAX) -> Element:
    """Return the root element, which must have this name.

    Raises:
        Malformed: not XML, another document, too large, too deep, or with a DOCTYPE.
    """
    if len(body) > bytes_max:
        raise Malformed("Your request was too big.", reason="MaxMessageLengthExceeded")
    builder = _Builder()
    parser = expat.ParserCreate("UTF-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    # Without a DOCTYPE there are no entities, so nothing can be fetched or blown up.
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(bytes(body), True)  # noqa: FBT003 - the library has it by position
    except (expat.ExpatError, ValueError):
        raise malformed() from None
    if builder.root is None or builder.root.name != root:
        raise malformed()
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, _attributes: Mapping[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX or len(self._open) >= DEPTH_MAX:
            raise malformed()
        element = Element(name.rpartition(" ")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].text += text

    def doctype(self, *_: object) -> None:
        raise malformed()


def malformed() -> Malformed:
    """Return the error of a document that is none of S3's."""
    return Malformed(
        "The XML you provided was not well-formed or did not validate against our published schema",
        reason="MalformedXML",
    )


# --- CompleteMultipartUpload ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """One part as the client lists it; ``etag`` without quotes, checksums in base64."""

    number: int
    etag: str
    checksums: Mapping[Algorithm, str]


def parse_complete(body: bytes | memoryview) -> list[CompletedPart]:
    """Return the parts that shall become the object, in ascending order.

    Raises:
        Malformed: bad XML, no part, or not in order (reason ``InvalidPartOrder``).
    """
    root = parse(body, "CompleteMultipartUpload", COMPLETE_BYTES_MAX)
    parts: list[CompletedPart] = []
    for element in root.all("Part"):
        number_text, etag = element.value("PartNumber"), element.value("ETag")
        if number_text is None or etag is None:
            raise malformed()
        number_text = number_text.strip()
        if not (number_text.isascii() and number_text.isdigit() and len(number_text) <= 5):
            raise malformed()
        number = int(number_text)
        if not 1 <= number <= PART_NUMBER_MAX:
            raise Malformed(
                "Part number must be an integer between 1 and 10000, inclusive",
                reason="InvalidArgument",
            )
        if parts and number <= parts[-1].number:
            raise Malformed(
                "The list of parts was not in ascending order. Parts must be ordered by part "
                "number.",
                reason="InvalidPartOrder",
            )
        checksums = {
            KNOWN[child.name[8:]]: child.text.strip()
            for child in element.children
            if child.name.startswith("Checksum") and child.name[8:] in KNOWN
        }
        parts.append(CompletedPart(number, unquote_etag(etag), checksums))
    if not parts:
        raise malformed()
    return parts


# --- DeleteObjects -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """One object to delete; ``etag`` (without quotes) is a condition when not empty."""

    key: str
    version_id: str = ""
    etag: str = ""


def parse_delete(body: bytes | memoryview) -> tuple[list[DeleteKey], bool]:
    """Return what to delete, and whether only failures shall be told.

    Raises:
        Malformed: bad XML, no key, or more than 1000.
    """
    root = parse(body, "Delete", DELETE_BYTES_MAX)
    objects = root.all("Object")
    if not 1 <= len(objects) <= DELETE_KEYS_MAX:
        raise malformed()
    keys: list[DeleteKey] = []
    for element in objects:
        key = element.value("Key")
        if not key:
            raise malformed()
        keys.append(
            DeleteKey(
                key,
                (element.value("VersionId") or "").strip(),
                unquote_etag(element.value("ETag") or ""),
            )
        )
    return keys, (root.value("Quiet") or "").strip().lower() == "true"


# --- CreateBucket ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BucketAsked:
    """What a CreateBucket asks for; both may be empty."""

    location: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def parse_create_bucket(body: bytes | memoryview) -> BucketAsked:
    """Return location constraint and tags of a CreateBucketConfiguration.

    Raises:
        Malformed: bad XML, or tags that S3 does not allow.
    """
    if len(body) == 0:
        return BucketAsked()
    root = parse(body, "CreateBucketConfiguration")
    pairs = [tag_pair(tag) for tags in root.all("Tags") for tag in tags.all("Tag")]
    location = (root.value("LocationConstraint") or "").strip()
    return BucketAsked(location, check_tags(pairs, BUCKET_TAGS_MAX))


def tag_pair(element: Element) -> tuple[str, str]:
    """Return key and value of a Tag element."""
    key, value = element.value("Key"), element.value("Value")
    if key is None or value is None:
        raise malformed()
    return key, value
