"""What a listing of sealed names shows once they are open: clear keys and common prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from hyok.errors import Tampered
from hyok.objects.mirror import PREFIX as RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hyok.envelope.names import NameKey

_LAST_CODE_POINT = "\U0010ffff"


class Named(Protocol):
    """What a store lists."""

    @property
    def name(self) -> str: ...


class Keyed(Protocol):
    """What a client is shown."""

    @property
    def key(self) -> str: ...


N = TypeVar("N", bound=Named)
R = TypeVar("R", bound="Keyed | str")


def opened(
    found: Iterable[N],
    prefixes: Iterable[str],
    name_key: NameKey,
    entry: Callable[[str, N], R],
) -> list[R | str]:
    """Return clear rows; what does not open is not ours and is left out."""
    rows: list[R | str] = []
    for one in found:
        if one.name.startswith(RESERVED):
            continue
        try:
            rows.append(entry(name_key.open(one.name), one))
        except Tampered:
            continue
    for sealed in prefixes:
        if sealed.startswith(RESERVED):
            continue
        try:
            rows.append(name_key.open(sealed))
        except Tampered:
            continue
    return rows


def arranged(found: Iterable[R], prefix: str, delimiter: str) -> list[R | str]:
    """Filter by prefix, roll up at the delimiter, sort by the bytes of the clear key.

    Rows of one key stay in the order in which they came.
    """
    entries: list[R | str] = []
    rolled: set[str] = set()
    for row in found:
        key = key_of(row)
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            rolled.add(key[: cut + len(delimiter)])
        else:
            entries.append(row)
    return sorted([*entries, *rolled], key=lambda row: key_of(row).encode())


def key_of(row: Keyed | str) -> str:
    """Return the clear key of a row, or the common prefix that it is."""
    return row if isinstance(row, str) else row.key


def store_start(name_key: NameKey, after: str, delimiter: str) -> str:
    """Return the store's name to go on after, for a clear key or common prefix."""
    if not after:
        return ""
    sealed = name_key.seal(after)
    # Whatever stands below a common prefix was rolled up into it.
    return sealed + _LAST_CODE_POINT if delimiter and after.endswith(delimiter) else sealed
