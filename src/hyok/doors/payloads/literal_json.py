"""JSON of which every number survives as it was written, and every member where it stood.  Pure.

`1.0` stays `1.0`, `1E400` and an integer of a hundred digits are what they were: a number is never
turned into one of ours.  What is refused is what two readers could take differently: a member
named twice, half a surrogate pair, `NaN`.

Source: RFC 8259; RFC 7493 (I-JSON), sections 2.1 and 2.3.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, TypeAlias, cast

from hyok.doors.payloads.refusals import invalid_document

if TYPE_CHECKING:
    from collections.abc import Sequence

DEPTH_MAX = 64
PARTS_MAX = 500_000
"""Commas and brackets in a text: each value costs tens of bytes of memory, the text one or two."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


Json: TypeAlias = "dict[str, Json] | list[Json] | str | Number | bool | None"


def parse(raw: bytes) -> Json:
    """Return what a text says.

    Raises:
        Malformed: it is not JSON in UTF-8, names a member twice, or is deeper or of more parts
            than is served (code HY-2704).
    """
    # Longer than that alone can it have so many.
    if len(raw) > PARTS_MAX and sum(map(raw.count, (b",", b"[", b"{"))) > PARTS_MAX:
        raise invalid_document(f"The JSON has more than {PARTS_MAX:,} parts.")
    try:
        text = raw.decode("utf-8")
        found = cast("Json", _DECODER.decode(text))
        _check_depth(found)
        if "\\u" in text:
            render(found)  # half a surrogate pair can only have come from an escape
    except _Twice as error:
        raise invalid_document(f"The member {str(error)[:80]!r} is there twice.") from error
    except (ValueError, RecursionError) as error:
        raise invalid_document("This is not JSON in UTF-8.") from error
    return found


class _Twice(Exception):
    """A member is named twice."""


def _once(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _Twice(name.encode("utf-8", "replace").decode())
            seen.add(name)
    return found


def _no_constant(word: str) -> Json:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_int=Number,
    parse_float=Number,
    parse_constant=_no_constant,
)


def _check_depth(found: Json) -> None:
    level = [found]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise invalid_document(f"The JSON is deeper than {DEPTH_MAX} levels.")


def render(value: Json) -> bytes:
    """Return the shortest text of a value, its numbers and the order of its members as they were.

    Raises:
        UnicodeEncodeError: a string has half a surrogate pair.
    """
    pieces: list[str] = []
    _write(value, pieces)
    return "".join(pieces).encode("utf-8")


_WORDS = {True: "true", False: "false", None: "null"}


def _write(value: Json, pieces: list[str]) -> None:
    if isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif isinstance(value, Number):
        pieces.append(value.text)
    elif isinstance(value, dict):
        mark = "{"
        for name, inner in value.items():
            pieces += (mark, encode_basestring(name), ":")
            _write(inner, pieces)
            mark = ","
        pieces.append("}" if value else "{}")
    elif isinstance(value, list):
        mark = "["
        for inner in value:
            pieces.append(mark)
            _write(inner, pieces)
            mark = ","
        pieces.append("]" if value else "[]")
    else:
        pieces.append(_WORDS[value])
