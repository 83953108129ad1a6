"""Documents of many rows, as stores answer a listing with, read in a few passes of C code.

The guard is that of `documents`: bounded, and without a DOCTYPE.  Names are taken without their
namespace, and what is below a row's own elements is skipped.

Source: Amazon S3 API Reference, the response syntax of ListObjectsV2 and ListObjectVersions.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

# The guard is ours: the tree is built for a document that can declare nothing, and is bounded.
from xml.etree.ElementTree import ParseError, XMLParser

from hyok.errors import Malformed
from hyok.s3.documents import ELEMENTS_MAX, malformed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from xml.etree.ElementTree import Element

_OFTEN = frozenset({"ChecksumAlgorithm"})
"""What a row may hold several times; anything else would leave open which one counts."""

PIECES_MAX = 64  # of a row that is looked for by a pattern
ROW_TEXTS_MIN = 2  # or else a match would be one text, and no tuple of them
_PIECE = re.compile(r"(<[^<>]*>)([^<]*)").findall
_PART = re.compile(r"<([^\s/>]+)").match
_LEAF = re.compile(r"<([A-Za-z]+)>").fullmatch
_UNUSUAL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]").search
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6})|([a-z]+));|&")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_QUOTES = ("&#34;", "&quot;")


class Rows:
    """A document: texts by name, and rows by kind, each with its texts by name."""

    __slots__ = ("_alike", "_names", "_root")

    def __init__(self, root: Element, names: _LocalNames, alike: Alike | None) -> None:
        self._root = root
        self._names = names
        self._alike = alike

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
        """Yield kind and texts of the rows of these kinds, in order; not those of the `table`.

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

    def table(self, kind: str, columns: Sequence[str]) -> Iterator[Sequence[str]]:
        """Yield these texts of each row of a kind; empty where a row has none of the name.

        Raises:
            Malformed: a row says something twice.
        """
        if self._alike is not None and self._alike.kind == kind:
            yield from self._alike.table(columns)
        for _, texts in self.all((kind,)):
            yield [texts.get(column, "") for column in columns]


class _LocalNames(dict[str, str]):
    """Names without their namespace; a document has a dozen, thousands of times."""

    def __missing__(self, tag: str) -> str:
        self[tag] = name = tag.rpartition("}")[2]
        return name


class Alike:
    """Rows that have the same elements in the same order, and texts that differ."""

    __slots__ = ("_names", "_rows", "kind")

    def __init__(self, kind: str, names: list[str], rows: list[tuple[str, ...]]) -> None:
        self.kind = kind
        self._names = names
        self._rows = rows

    def table(self, columns: Sequence[str]) -> Iterator[Sequence[str]]:
        found = dict(zip(self._names, zip(*self._rows, strict=True), strict=True))
        missing = ("",) * len(self._rows)
        wanted = [_resolved(found[name]) if name in found else missing for name in columns]
        return zip(*wanted, strict=True)


def alike(text: str, kind: str) -> Alike | None:
    """Return what stands in ``text`` if it is nothing but rows like its first one; else None.

    A tree of some eight thousand elements takes five times as long as all else that is done for a
    page of a listing.  So the tags of the first row become a pattern of which the texts are the
    holes; where the matches and their texts together are not as long as ``text``, something stands
    there that is not such a row.
    """
    end = f"</{kind}>"
    first = text[: text.find(end) + len(end)]
    pieces = _PIECE(text[: text.find("<", len(first))])
    if len(pieces) > PIECES_MAX or not _is_sound(first) or _is_unusual(text):
        return None
    pattern, names, parts, depth, length = "", [], [], 0, 0
    for (tag, between), (following, _) in zip(pieces, [*pieces[1:], ("", "")], strict=True):
        pattern += re.escape(tag)
        length += len(tag)
        if depth == 1 and (part := _PART(tag)) is not None:
            parts.append(part[1])
        leaf = _LEAF(tag) if depth == 1 else None
        own = leaf is not None and following == f"</{leaf[1]}>"
        if own or between:
            pattern += "([^<]*)"
            names.append(leaf[1] if own and leaf is not None else "")
        depth += 0 if tag.endswith("/>") else -1 if tag.startswith("</") else 1
    if sum(map(bool, names)) < ROW_TEXTS_MIN or len(parts) != len(set(parts)):
        return None
    rows = re.findall(pattern, text)
    whole = len(rows) * length + sum(map(len, chain.from_iterable(rows)))
    return Alike(kind, names, rows) if whole == len(text) else None


def _is_unusual(text: str) -> bool:
    """Does something stand in it that XML allows nowhere, or reads as something else?"""
    return "]]>" in text or not (text.isprintable() or _UNUSUAL(text) is None)


def _is_sound(row: str) -> bool:
    """Is it one element, whose parts stand well in one another, and no comment among them?"""
    try:
        _tree(row.encode())
    except Malformed:
        return False
    return "<!" not in row and "<?" not in row


def _resolved(texts: Sequence[str]) -> Sequence[str]:
    """Return texts with their references resolved.

    Raises:
        Malformed: one has a reference that XML does not know.
    """
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


def parse_rows(body: bytes, root: str, bytes_max: int, kind: str = "") -> Rows:
    """Return a document whose root has this name.

    Args:
        body: the document.
        root: the name of its element.
        bytes_max: how long it may be.
        kind: rows that stand side by side, of which a `table` shall be had.

    Raises:
        Malformed: not XML, another document, too large, or with a DOCTYPE.
    """
    # Each element has a `<` of its own.  Without a DOCTYPE there are no entities, and without a
    # zero byte none hides in UTF-16, which the parser goes over to by itself.
    if len(body) > bytes_max or body.count(b"<") > 2 * ELEMENTS_MAX:
        raise malformed()
    if b"<!DOCTYPE" in body or b"\0" in body:
        raise malformed()
    frame, found = _cut(body, kind) if kind else (body, None)
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
    try:
        found = alike(body[begin:end].decode(), kind)
    except UnicodeDecodeError:
        raise malformed() from None
    return (body, None) if found is None else (body[:begin] + body[end:], found)
