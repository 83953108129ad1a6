"""Fields of a document: which are encrypted, what is recognised later, and indexes.  Pure.

Source: docs/keyservices/payloads.md.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.doors.payloads import jwe, pointers
from hyok.doors.payloads.literal_json import Json, Number, render
from hyok.doors.payloads.refusals import (
    context_mismatch,
    field_too_long,
    foreign_token,
    invalid_field,
    too_many_values,
)
from hyok.doors.payloads.wire import PREFIX, PTR
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyok.doors.payloads.jwe import Alg, Token
    from hyok.doors.payloads.pointers import Place
    from hyok.doors.payloads.wire import Field

KEYS_MAX = 16
INDEX_BYTES = 16
_INDEX_BEGINS = b"hyok:index:1\n"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A value that is to be encrypted, and what its token is bound to."""

    place: Place
    plain: bytes
    field: Field
    context: Mapping[str, str]


def bound(context: Mapping[str, str], place: Place) -> dict[str, str]:
    """Return a context with the pointer of the field in it."""
    return {**context, PTR: place.canonical}


def choose(
    document: Json, wanted: Sequence[Field], context: Mapping[str, str], most: int
) -> Sequence[Chosen]:
    """Return the values that the fields lead to, as they will be encrypted.

    Raises:
        Malformed: there are more than ``most`` (code HY-2707), or one would make a token that
            nobody could read: it is too long, or what it is bound to is (code HY-2705).
    """
    found: list[Chosen] = []
    for one in wanted:
        places = pointers.find(document, one.pattern)
        if len(found) + len(places) > most:
            raise too_many_values(most)
        for place in places:
            plain = render(place.value)
            if len(plain) > jwe.PLAIN_BYTES_MAX:
                raise invalid_field(
                    f"A token holds at most {jwe.PLAIN_BYTES_MAX:,} bytes.", place.pointer
                )
            found.append(Chosen(place, plain, one, _checked(bound(context, place), place)))
    return found


def _checked(context: dict[str, str], place: Place) -> dict[str, str]:
    def wrong(sentence: str) -> Malformed:
        return invalid_field(sentence, place.pointer[: pointers.CHARS_MAX])

    return jwe.check_context({**context}, wrong, "The context with the field's pointer")


def put(chosen: Sequence[Chosen], tokens: Sequence[str]) -> None:
    """Put tokens where the values were, if every field can hold its own.

    Raises:
        Malformed: one cannot (code HY-2706); nothing was replaced.
    """
    texts = [PREFIX + token for token in tokens]
    for one, text in zip(chosen, texts, strict=True):
        longest = one.field.longest
        if longest is not None and len(text) > longest:
            raise field_too_long(one.place.pointer, len(text), longest)
    for one, text in zip(chosen, texts, strict=True):
        one.place.replace(text)


@dataclass(frozen=True, slots=True)
class Found:
    """A token that stands in a document."""

    place: Place
    token: Token


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a document holds: tokens by key, and how many texts that only begin like one."""

    groups: Mapping[tuple[str, Alg], Sequence[Found]]
    strange: int


def recognise(document: Json, tenant: str, most: int) -> Recognised:
    """Return the tokens of a document.

    Raises:
        Malformed: one names a key of another tenant (code HY-2703), or there are too many
            (code HY-2707).
    """
    groups: dict[tuple[str, Alg], list[Found]] = {}
    strange = seen = 0
    for place in pointers.walk(document):
        value = place.value
        if not isinstance(value, str) or not value.startswith(PREFIX):
            continue
        seen += 1
        if seen > most:
            raise too_many_values(most)
        try:
            token = jwe.read(value.removeprefix(PREFIX))
        except Malformed:
            strange += 1
            continue
        if token.kid.tenant != tenant:
            raise foreign_token(place.pointer)
        groups.setdefault((token.kid.name, token.alg), []).append(Found(place, token))
    if len(groups) > KEYS_MAX:
        raise too_many_values(most)
    return Recognised(groups, strange)


def check_contexts(group: Sequence[Found], context: Mapping[str, str]) -> None:
    """Return quietly if every token is bound to this context and to the field that it stands in.

    Raises:
        Malformed: one is not (code HY-2702).
    """
    for one in group:
        if one.token.context != bound(context, one.place):
            raise context_mismatch(one.place.pointer)


def index_text(
    value: Json, context: Mapping[str, str], pointer: str, over: Sequence[str] | None
) -> bytes | None:
    """Return what the index of a value is computed over; None: a null has none.

    Strings are compared in Unicode's form NFC, without space around them and without regard to
    case; numbers as they are written.

    Raises:
        Malformed: the value is neither, or ``over`` names what the context has not (code HY-2705).
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = unicodedata.normalize("NFC", value.strip().casefold())
    elif not isinstance(value, Number):
        raise invalid_field("Only strings and numbers have an index.")
    names = context if over is None else over
    if strange := [name for name in names if name not in context]:
        raise invalid_field(f"The context has no {strange[0][:40]!r} for the index.")
    bound_to: dict[str, Json] = {name: context[name] for name in sorted(names)}
    return _INDEX_BEGINS + render([pointer, bound_to, value])


def index_of(mac: bytes) -> str:
    """Return an index as it is stored."""
    return jwe.encode(mac[:INDEX_BYTES])
