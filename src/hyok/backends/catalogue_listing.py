"""Listing pages out of the file store's catalogue.

With a delimiter the scan does not walk through a folder: on the first name in it, it seeks to the
first name behind it.  A page costs what it shows, not what it hides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.port import Stored, StoreListing

if TYPE_CHECKING:
    import sqlite3

_FLAT_ROWS = (
    "SELECT name, etag, size, modified_ms FROM objects "
    "WHERE bucket = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?"
)
_BEYOND_ALL = b"\xff"
"""Greater than every name: no UTF-8 text holds this byte."""


def successor(prefix: bytes) -> bytes:
    """Return the least blob greater than every name that begins with a UTF-8 ``prefix``."""
    # The last byte of UTF-8 text is never 0xFF, so there is always room to add one.
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else _BEYOND_ALL


def page(
    db: sqlite3.Connection, bucket: int, prefix: str, delimiter: str, after: str, limit: int
) -> StoreListing:
    """Return at most ``limit`` objects and common prefixes behind ``after``, in byte order."""
    if limit <= 0:
        return StoreListing((), ())
    head, cut = prefix.encode(), delimiter.encode()
    at = max(head, _first_after(head, cut, after.encode()))
    stop = successor(head)
    objects: list[Stored] = []
    prefixes: list[str] = []
    last = ""
    while True:
        room = limit - len(objects) - len(prefixes)
        # One more than there is room for tells whether another page follows.
        for name, etag, size, modified_ms in db.execute(_FLAT_ROWS, (bucket, at, stop, room + 1)):
            if len(objects) + len(prefixes) == limit:
                return StoreListing(objects, prefixes, last)
            end = name.find(cut, len(head)) if cut else -1
            if end >= 0:
                folder = name[: end + len(cut)]
                last = folder.decode()
                prefixes.append(last)
                at = successor(folder)
                break
            last = name.decode()
            objects.append(Stored(last, etag, size, modified_ms))
        else:
            return StoreListing(objects, prefixes)


def _first_after(head: bytes, cut: bytes, after: bytes) -> bytes:
    """Return where the scan begins: behind a folder that ``after`` names, else behind the name."""
    if not after:
        return b""
    if cut and after.startswith(head):
        end = after.find(cut, len(head))
        if end >= 0 and end + len(cut) == len(after):
            return successor(after)
    return after + b"\0"
