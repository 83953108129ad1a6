"""Fields of an effect, read strictly: what a proposal says must be there and of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.custody.proposal import Effect


def text(effect: Effect, name: str, *, default: str | None = None) -> str:
    """Return a text.

    Raises:
        Malformed: it is missing, empty or something else.
    """
    found = effect.get(name, default)
    if not isinstance(found, str) or (not found and default is None):
        raise Malformed(f"{name}: a text is wanted", effect="Nothing was proposed.")
    return found


def number(effect: Effect, name: str) -> int:
    """Return a whole number.

    Raises:
        Malformed: it is missing or something else.
    """
    found = effect.get(name)
    if not isinstance(found, int) or isinstance(found, bool):
        raise Malformed(f"{name}: a whole number is wanted", effect="Nothing was proposed.")
    return found


def texts(effect: Effect, name: str) -> Sequence[str]:
    """Return a list of texts, empty when it is missing.

    Raises:
        Malformed: it is something else.
    """
    found: object = effect.get(name, [])
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise Malformed(f"{name}: a list of texts is wanted", effect="Nothing was proposed.")
    return found
