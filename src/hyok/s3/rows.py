"""Documents of many rows, as stores answer a listing with, read in a few passes of C code.

The guard is that of `documents`: bounded, and without a DOCTYPE.  Names are taken without their
namespace, and what is below a row's own elements is skipped.

Source: Amazon S3 API Reference, the response syntax of ListObjectsV2 and ListObjectVersions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Self

# The guard is ours: the tree is built for a document that can declare nothing, and is bounded.
from xml.etree.ElementTree import ParseError, XMLParser

from hyok.errors import Malformed
from hyok.s3.documents import ELEMENTS_MAX, malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from xml.etree.ElementTree import Element

_OFTEN = frozenset({"ChecksumAlgorithm"})
"""What a row may hold several times; anything else would leave open which one counts."""

_QUOTED = frozenset({"ETag"})
"""What stands in quotes, which are HTTP's and no part of it."""

PIECES_MAX = 64  # of a row that is looked for by a pattern
_PIECE = re.compile(r"(<[^<>]*>)([^<]*)").findall
_PART = re.compile(r"<([A-Za-z]+)(/?)>").fullmatch
_USUAL = bytes(range(9, 11)) + bytes(range(32, 256))
_NO_CHARACTER = re.compile(b"\xef\xbf[\xbe\xbf]").search  # U+FFFE and U+FFFF
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|([a-z]+));|&")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_QUOTES = ("&#34;", "&quot;")
_QUOTED_TEXT = re.compile(r"(&#34;|&quot;|\")[^&\"]*\1").fullmatch


class Rows:
    """A document: texts by name, and rows by kind, each with its texts by name."""

    __slots__ = ("_alike", "_names", "_root")

    def __init__(self, root: Element, names: _LocalNames, alike: Sequence[Alike]) -> None:
        self._root = root
        self._names = names
        self._alike = {found.kind: found for found in alike}

    def text(self, name: str) -> str:
        """Return the text of the only element of this name; empty when there is none.

        Raises:
            Malformed: there are two.
        """
        found = [child.text or "" for child in self._root if self._names[child.tag] == name]
        if len(found) > 1:
            raise malformed()
        return found[0] if found else ""

    def all(self, kinds: Collection[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield kind and texts of the rows of these kinds, in order; not those read by `columns`.

        Raises:
            Malformed: a row says something twice.
        """
        names = self._names
        for row in self._root:
            kind = names[row.tag]
            if kind in kinds:
                texts = {names[child.tag]: child.text or "" for child in row}
                if len(texts) != len(row):
                    _check_once([names[child.tag] for child in row])
                yield kind, texts

    def columns(self, kind: str, names: Sequence[str]) -> list[Sequence[str]]:
        """Return these texts of the rows of a kind: a list for each name, of all rows.

        A text is empty where a row has none of the name.  ETags come without their quotes.

        Raises:
            Malformed: a row says something twice.
        """
        rows = [texts for _, texts in self.all((kind,))]
        found: list[Sequence[str]] = [[texts.get(name, "") for texts in rows] for name in names]
        for at, name in enumerate(names):
            if name in _QUOTED:
                found[at] = [text.strip('"') for text in found[at]]
        if (alike := self._alike.get(kind)) is not None:
            first = [alike.column(name) for name in names]
            found = [[*a, *b] for a, b in zip(first, found, strict=True)] if rows else first
        return found


class _LocalNames(dict[str, str]):
    """Names without their namespace; a document has a dozen, thousands of times."""

    def __missing__(self, tag: str) -> str:
        self[tag] = name = tag.rpartition("}")[2]
        return name


class Alike:
    """Rows that have the same elements in the same order, and texts that differ."""

    __slots__ = ("_columns", "count", "kind", "tags")

    def __init__(self, kind: str, tags: int, count: int, columns: dict[str, list[str]]) -> None:
        """``tags``: how many all rows have together."""
        self.kind = kind
        self.tags = tags
        self.count = count
        self._columns = columns

    def column(self, name: str) -> Sequence[str]:
        """Return the texts of this name."""
        return self._columns.get(name) or ("",) * self.count


def alike(text: str, kind: str) -> Alike | None:
    """Return what stands in ``text`` if it is nothing but rows like its first one; else None.

    A tree of some eight thousand elements takes five times as long as all else that is done for a
    page of a listing.  So the tags of the first row become a pattern of which the texts are the
    holes; where anything is left between two matches, something stands there that is no such row.

    Raises:
        Malformed: a text has a reference that XML does not know.
    """
    end = f"</{kind}>"
    first = text[: text.find(end) + len(end)]
    pieces = _PIECE(text[: text.find("<", len(first))] if len(first) < len(text) else text)
    if len(pieces) > PIECES_MAX or not _is_sound(first):
        return None
    # An ETag's quotes are part of the pattern, where the first row has them, so that nothing is
    # left to do for each; rows of which one has other quotes are looked for once more without.
    for quoted in (True, False):
        shape = _Shape.of(pieces, quoted=quoted)
        if shape is None:
            return None
        found = shape.columns(text)
        if found is not None:
            count = len(found[0])
            columns = dict(zip(shape.names, map(_read, shape.names, found), strict=True))
            return Alike(kind, count * shape.tags, count, columns)
    return None


class _Shape(NamedTuple):
    """What a row looks like: a pattern, the names of its holes, and how many tags it has."""

    pattern: str
    names: list[str]
    tags: int

    @classmethod
    def of(cls, pieces: Sequence[tuple[str, str]], *, quoted: bool) -> Self | None:
        """Return the shape of a row of these tags, each with the text behind it.

        None: a part of it has attributes, or a namespace of its own, or comes twice.
        """
        pattern, names, parts, depth = "", [], [], 0
        for tag, between in pieces:
            pattern += re.escape(tag)
            name = ""
            if depth == 1 and not tag.startswith("</"):
                part = _PART(tag)
                if part is None:
                    return None
                parts.append(part[1])
                name = "" if part[2] else part[1]
            if name or between:
                # Up to the next tag and not to the next quote, so that no hole holds a tag.
                found = _QUOTED_TEXT(between) if quoted and name in _QUOTED else None
                quotes = found[1] if found is not None else ""
                pattern += f"{quotes}([^<]*){quotes}"
                names.append(name)
            depth += 0 if tag.endswith("/>") else -1 if tag.startswith("</") else 1
        if not any(names) or len(parts) != len(set(parts)):
            return None
        return cls(pattern, names, len(pieces))

    def columns(self, text: str) -> list[list[str]] | None:
        """Return the texts of the holes, hole by hole; None: not all of ``text`` is such rows."""
        # What stands between two matches, then the holes of the second, and so on: a flat list is
        # made in four fifths of the time of a tuple for each row.
        pieces = re.split(self.pattern, text)
        step = len(self.names) + 1
        if any(pieces[::step]):
            return None
        return [pieces[at::step] for at in range(1, step)]


def _is_unusual(body: bytes) -> bool:
    """Does something stand in it that XML allows nowhere, or reads as something else?"""
    if b"]]>" in body or body.translate(None, _USUAL):
        return True
    return not body.isascii() and _NO_CHARACTER(body) is not None


def _is_sound(row: str) -> bool:
    """Is it one element, whose parts stand well in one another, and no comment among them?"""
    try:
        _tree(row.encode())
    except Malformed:
        return False
    return "<!" not in row and "<?" not in row


def _read(name: str, texts: list[str]) -> list[str]:
    """Return texts of this name without references, nor the quotes of an ETag.

    Raises:
        Malformed: one has a reference that XML does not know.
    """
    whole = "".join(texts)
    if "&" in whole:
        texts = _resolved(texts)
    if name in _QUOTED and ("&" in whole or '"' in whole):
        return [text.strip('"') for text in texts]
    return texts


def _resolved(texts: list[str]) -> list[str]:
    whole = "<".join(texts)  # which stands in none of them
    for quote in _QUOTES:  # around every ETag
        whole = whole.replace(quote, '"')
    if "&" not in whole:
        return whole.split("<")
    return [_REFERENCE.sub(_resolve, text) if "&" in text else text for text in texts]


def _resolve(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name in _ENTITIES:
        return _ENTITIES[name]
    number = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else -1
    if number in {9, 10, 13} or 0x20 <= number <= 0xD7FF or 0xE000 <= number <= 0xFFFD:
        return chr(number)
    if 0x10000 <= number <= 0x10FFFF:
        return chr(number)
    raise malformed()


def _check_once(names: list[str]) -> None:
    once = [name for name in names if name not in _OFTEN]
    if len(once) != len(set(once)):
        raise malformed()


def parse_rows(body: bytes, root: str, bytes_max: int, kinds: Sequence[str] = ()) -> Rows:
    """Return a document whose root has this name.

    Args:
        body: the document.
        root: the name of its element.
        bytes_max: how long it may be.
        kinds: rows that stand side by side, of which `columns` shall be had.

    Raises:
        Malformed: not XML, another document, too large, or with a DOCTYPE.
    """
    # Without a DOCTYPE there are no entities, and without a zero byte none hides in UTF-16, which
    # the parser goes over to by itself.
    if len(body) > bytes_max or b"\0" in body:
        raise malformed()
    frame, found = body, []
    for kind in kinds:
        frame, cut = _cut(frame, kind)
        found += [cut] if cut is not None else []
    # Each element has a `<` of its own.  What was cut out holds no tags but those of its rows.
    tags = sum([cut.tags for cut in found])
    if frame.count(b"<") + tags > 2 * ELEMENTS_MAX or b"<!DOCTYPE" in frame:
        raise malformed()
    whole, names = _tree(frame), _LocalNames()
    if names[whole.tag] != root:
        raise malformed()
    return Rows(whole, names, found)


def _tree(body: bytes) -> Element:
    parser = XMLParser(encoding="utf-8")  # noqa: S314 - `parse_rows` bounds what comes here
    try:
        parser.feed(body)
        whole: Element = parser.close()
    except (ParseError, ValueError):
        raise malformed() from None
    return whole


def _cut(body: bytes, kind: str) -> tuple[bytes, Alike | None]:
    """Return the document without its rows, and these; as it is where they are not alike."""
    begin, end = body.find(b"<%b>" % kind.encode()), body.rfind(b"</%b>" % kind.encode())
    if begin < 0 or end < begin or b"<!" in body[:begin]:
        return body, None
    end += len(kind) + 3
    if _is_unusual(body) and _is_unusual(body[begin:end]):
        return body, None
    try:
        found = alike(str(memoryview(body)[begin:end], "utf-8"), kind)
    except UnicodeDecodeError:
        raise malformed() from None
    return (body, None) if found is None else (body[:begin] + body[end:], found)
