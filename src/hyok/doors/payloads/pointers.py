"""JSON Pointers with `*` for every element or member, and where they lead.  Pure.

The canonical pointer of a place, which tokens are bound to, names members as they are called and
writes `*` for every element of an array.  A member that is itself called `*` is written `~2`, here
and in requests, so that it passes for no array.

Source: RFC 6901; docs/keyservices/payloads.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.doors.payloads.literal_json import DEPTH_MAX
from hyok.doors.payloads.refusals import invalid_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hyok.doors.payloads.literal_json import Json

CHARS_MAX = 1024
ANY = None
"""The segment `*`."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}").fullmatch
_ESCAPE = re.compile(r"~(.?)", re.DOTALL)
_MEANS = {"0": "~", "1": "/", "2": "*"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pointer as a request names it."""

    text: str
    segments: tuple[str | None, ...]

    def overlaps(self, other: Pattern) -> bool:
        """Say whether one could lead to what the other leads to, or into it."""
        both = zip(self.segments, other.segments, strict=False)
        return all(one == two or ANY in (one, two) for one, two in both)


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a document: what holds it, under which name or number, and both its pointers."""

    holder: dict[str, Json] | list[Json]
    key: str | int
    pointer: str  # where exactly, for people
    canonical: str

    @property
    def value(self) -> Json:
        if isinstance(self.holder, dict):
            return self.holder[str(self.key)]
        return self.holder[int(self.key)]

    def replace(self, value: Json) -> None:
        """Put another value there."""
        if isinstance(self.holder, dict):
            self.holder[str(self.key)] = value
        else:
            self.holder[int(self.key)] = value


def parse(text: str) -> Pattern:
    """Return what a pointer says.

    Raises:
        Malformed: it is none, or names the whole document (code HY-2705).
    """
    if not text.startswith("/") or len(text) > CHARS_MAX:
        raise invalid_field(
            f"{text[:80]!r} is no pointer to a field: it begins with / and has at most "
            f"{CHARS_MAX} characters."
        )
    words = text[1:].split("/")
    if len(words) > DEPTH_MAX:
        raise invalid_field(f"A pointer has at most {DEPTH_MAX} parts.")
    return Pattern(text, tuple(ANY if word == "*" else _unescape(word) for word in words))


def _unescape(word: str) -> str:
    def means(found: re.Match[str]) -> str:
        if (said := _MEANS.get(found[1])) is None:
            raise invalid_field(f"{found[0]!r} is no escape of a pointer: ~0, ~1 and ~2 are.")
        return said

    return _ESCAPE.sub(means, word)


def escape(name: str) -> str:
    """Return a member's name as it stands in a pointer."""
    escaped = name.replace("~", "~0").replace("/", "~1")
    return "~2" if escaped == "*" else escaped


def check_apart(patterns: Sequence[Pattern]) -> None:
    """Return quietly if no two of them can meet.

    Raises:
        Malformed: two can (code HY-2705).
    """
    for index, one in enumerate(patterns):
        for other in patterns[index + 1 :]:
            if one.overlaps(other):
                raise invalid_field(f"The fields {one.text} and {other.text} can meet.")


def find(document: Json, pattern: Pattern) -> Sequence[Place]:
    """Return the places that a pattern leads to; none is no error."""
    places = list(_inside(document, "", "", pattern.segments[0]))
    for segment in pattern.segments[1:]:
        deeper: list[Place] = []
        for place in places:
            deeper += _inside(place.value, place.pointer, place.canonical, segment)
        places = deeper
    return places


def _inside(holder: Json, pointer: str, canonical: str, segment: str | None) -> Iterator[Place]:
    if isinstance(holder, dict):
        for name in holder if segment is ANY else (segment,):
            if name in holder:
                written = f"/{escape(name)}"
                yield Place(holder, name, pointer + written, canonical + written)
    elif isinstance(holder, list):
        if segment is ANY:
            chosen: Sequence[int] = range(len(holder))
        else:
            number = int(segment) if _INDEX(segment) else len(holder)
            chosen = [number] if number < len(holder) else []
        for number in chosen:
            yield Place(holder, number, f"{pointer}/{number}", canonical + "/*")


def walk(document: Json) -> Iterator[Place]:
    """Give every place of a document, outer ones first; what is replaced is not looked into."""
    waiting = list(_inside(document, "", "", ANY))
    waiting.reverse()
    while waiting:
        place = waiting.pop()
        yield place
        if isinstance(place.value, dict | list):
            inner = list(_inside(place.value, place.pointer, place.canonical, ANY))
            waiting += reversed(inner)
