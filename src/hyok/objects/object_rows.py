"""Objects of a store's page as clients see them: plaintext sizes, their ETags, clear keys.

By columns, as a page is (`hyok.s3.columns`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.envelope.layout import LAYOUT
from hyok.errors import Malformed
from hyok.objects.mirror import PREFIX as RESERVED
from hyok.s3.answers import Entries
from hyok.s3.names import etags_out

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from hyok.backends.port import ListedObjects, StoreListing
    from hyok.envelope.names import NameKey


def without_reserved(objects: ListedObjects) -> ListedObjects:
    """Return the objects that do not stand under our own prefix."""
    if f"\n{RESERVED}" not in "\n".join(["", *objects.names]):  # a name may hold the mark itself
        return objects
    shown = [at for at, name in enumerate(objects.names) if not name.startswith(RESERVED)]
    return objects.picked(shown)


def entries_of(
    keys: Sequence[str], objects: ListedObjects, in_clear: Collection[str] = ()
) -> Entries:
    """Return objects under their clear keys; ``in_clear``: whose length is the plaintext's."""
    known = {size: _plain_size(size) for size in set(objects.sizes)}
    sizes: Sequence[int] = [known[size] for size in objects.sizes]
    if in_clear:
        both = zip(keys, sizes, objects.sizes, strict=True)
        sizes = [stored if key in in_clear else plain for key, plain, stored in both]
    return Entries(keys, sizes, etags_out(objects.etags), objects.modified_ms)


def _plain_size(stored: int) -> int:
    try:
        return LAYOUT.object_plain_size(stored)
    except Malformed:
        return stored  # not ours; shown as it stands, refused when read (format.md §5)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a page of sealed names shows below a prefix.  ``count``: how many names opened."""

    entries: Entries
    prefixes: Sequence[str]
    count: int


def opened(page: StoreListing, name_key: NameKey, prefix: str) -> Opened:
    """Return what opens and begins with the prefix; what does not open is not ours.

    That leaves out our own prefix too: its dot stands in no sealed name.
    """
    objects = page.objects
    keys, rolled = name_key.open_all(objects.names), name_key.open_all(page.prefixes)
    shown = [key for key in keys if key is not None and key.startswith(prefix)]
    if len(shown) < len(keys):
        places = [at for at, key in enumerate(keys) if key is not None and key.startswith(prefix)]
        objects = objects.picked(places)
    return Opened(
        entries_of(shown, objects),
        [key for key in rolled if key is not None and key.startswith(prefix)],
        len(keys) - keys.count(None) + len(rolled) - rolled.count(None),
    )


def last_key(page: StoreListing, name_key: NameKey) -> str:
    """Return the clear key, or common prefix, of the last name of ours in the store's order."""
    names = sorted([*page.objects.names, *page.prefixes], reverse=True)
    return next((key for key in name_key.open_all(names) if key is not None), "")


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a `Sorted`.  ``last``: the key or prefix that it ends with."""

    entries: Entries
    prefixes: Sequence[str]
    last: str
    more: bool


@dataclass(frozen=True, slots=True)
class Sorted:
    """A whole listing by the bytes of the clear key, common prefixes among the keys.

    Text in Python is compared by code points, which is the order of its bytes in UTF-8.
    """

    entries: Entries
    prefixes: Sequence[str]

    @classmethod
    def of(cls, entries: Entries, prefixes: Iterable[str], prefix: str, delimiter: str) -> Sorted:
        """Roll up at the delimiter behind the prefix, and sort."""
        keys, rolled = entries.keys, set(prefixes)
        kept: Sequence[int] = range(len(keys))
        if delimiter:
            folders = [_folder(key, prefix, delimiter) for key in keys]
            rolled = {_folder(one, prefix, delimiter) or one for one in rolled}
            rolled.update(filter(None, folders))
            kept = [at for at, folder in enumerate(folders) if not folder]
        order = sorted(kept, key=keys.__getitem__)
        return cls(entries.picked(order), sorted(rolled))

    def part(self, after: str, limit: int) -> Part:
        """Return the next ``limit`` rows behind a key or common prefix."""
        keys, prefixes = self.entries.keys, self.prefixes
        begin = bisect_right(keys, after) if after else 0
        first = bisect_right(prefixes, after) if after else 0
        shown = sorted([*keys[begin : begin + limit], *prefixes[first : first + limit]])[:limit]
        last = shown[-1] if shown else ""
        stop = bisect_right(keys, last, begin) if shown else begin
        behind = bisect_right(prefixes, last, first) if shown else first
        return Part(
            self.entries[begin:stop],
            prefixes[first:behind],
            last,
            stop < len(keys) or behind < len(prefixes),
        )


def _folder(key: str, prefix: str, delimiter: str) -> str:
    cut = key.find(delimiter, len(prefix))
    return key[: cut + len(delimiter)] if cut >= 0 else ""
