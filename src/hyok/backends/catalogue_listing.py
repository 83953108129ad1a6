"""Listing pages out of the file store's catalogue.

With a delimiter the scan does not walk through a folder: on the first name in it, it seeks to the
first name behind it.  A page costs what it shows, not what it hides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends.catalogue import NULL_VERSION, VERSION_BORN_DIGITS, born_of
from hyok.backends.port import Listed, ListedObjects, StoredVersion, StoreListing, VersionListing
from hyok.errors import Malformed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_FLAT_ROWS = (
    "SELECT name, etag, size, modified_ms FROM objects "
    "WHERE bucket = ? AND name >= ? AND name < ? ORDER BY name LIMIT ?"
)
_VERSION_COLUMNS = "SELECT name, born, version, modified_ms, file, etag, size"
_VERSION_ROWS = f"""
{_VERSION_COLUMNS} FROM objects WHERE bucket = ?1 AND name >= ?2 AND name < ?3
UNION ALL
{_VERSION_COLUMNS} FROM versions WHERE bucket = ?1 AND name >= ?2 AND name < ?3
ORDER BY name, born DESC LIMIT ?4
"""
_OLDER_ROWS = f"""
{_VERSION_COLUMNS} FROM objects WHERE bucket = ?1 AND name = ?2 AND born < ?3
UNION ALL
{_VERSION_COLUMNS} FROM versions WHERE bucket = ?1 AND name = ?2 AND born < ?3
ORDER BY born DESC LIMIT ?4
"""
_NEWEST_BORN = """
SELECT MAX(born) FROM (
  SELECT born FROM objects WHERE bucket = ?1 AND name = ?2
  UNION ALL SELECT born FROM versions WHERE bucket = ?1 AND name = ?2
)
"""
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
        return StoreListing(ListedObjects(), ())
    head, cut = prefix.encode(), delimiter.encode()
    at = max(head, _first_after(head, cut, after.encode()))
    stop = successor(head)
    objects: list[Listed] = []
    prefixes: list[str] = []
    last = ""
    while True:
        room = limit - len(objects) - len(prefixes)
        # One more than there is room for tells whether another page follows.
        for name, etag, size, modified_ms in db.execute(_FLAT_ROWS, (bucket, at, stop, room + 1)):
            if len(objects) + len(prefixes) == limit:
                return StoreListing(ListedObjects.of(objects), prefixes, last)
            end = name.find(cut, len(head)) if cut else -1
            if end >= 0:
                folder = name[: end + len(cut)]
                last = folder.decode()
                prefixes.append(last)
                at = successor(folder)
                break
            last = name.decode()
            objects.append(Listed(last, etag, size, modified_ms))
        else:
            return StoreListing(ListedObjects.of(objects), prefixes)


def _first_after(head: bytes, cut: bytes, after: bytes) -> bytes:
    """Return where the scan begins: behind a folder that ``after`` names, else behind the name."""
    if not after:
        return b""
    if cut and after.startswith(head):
        end = after.find(cut, len(head))
        if end >= 0 and end + len(cut) == len(after):
            return successor(after)
    return after + b"\0"


def version_page(
    db: sqlite3.Connection,
    bucket: int,
    prefix: str,
    delimiter: str,
    after: str,
    after_version: str,
    limit: int,
) -> VersionListing:
    """Return at most ``limit`` versions and common prefixes, by name and newest first.

    Raises:
        Malformed: ``after_version`` is none of ours, or without a name (reason
            ``InvalidArgument``).
    """
    if limit <= 0:
        return VersionListing((), ())
    head, cut = prefix.encode(), delimiter.encode()
    at, below = _first_version(db, bucket, head, cut, after.encode(), after_version)
    versions: list[StoredVersion] = []
    prefixes: list[str] = []
    last = ("", "")
    newest_of = b""  # the name whose newest version was seen
    while True:
        room = limit - len(versions) - len(prefixes)
        for row in _version_rows(db, bucket, at, below, successor(head), room + 1):
            name, born, version, modified_ms, file, etag, size = row
            if len(versions) + len(prefixes) == limit:
                return VersionListing(versions, prefixes, *last)
            end = name.find(cut, len(head)) if cut else -1
            if end >= 0:
                folder = name[: end + len(cut)]
                prefixes.append(folder.decode())
                last = (folder.decode(), "")
                at, below = successor(folder), 0
                break
            latest = name != newest_of and (
                not below or name != at or _newest_born(db, bucket, name) == born
            )
            newest_of = name
            versions.append(
                StoredVersion(name.decode(), version, modified_ms, latest, not file, etag, size)
            )
            # The place in the order, not the id: it holds when that version is gone by then.
            last = (name.decode(), f"{born:0{VERSION_BORN_DIGITS}x}")
        else:
            return VersionListing(versions, prefixes)


def _first_version(
    db: sqlite3.Connection, bucket: int, head: bytes, cut: bytes, after: bytes, version: str
) -> tuple[bytes, int]:
    """Return the name where the scan begins, and the `born` below which; 0: all of that name."""
    if not version:
        return max(head, _first_after(head, cut, after)), 0
    below = born_of(version)
    if version == NULL_VERSION:
        query = "SELECT born FROM {} WHERE bucket = ? AND name = ? AND version = 'null'"
        found = [
            row[0]
            for table in ("objects", "versions")
            for row in db.execute(query.format(table), (bucket, after))
        ]
        below = found[0] if found else -1
    if below < 0 or not after:
        raise Malformed("The version id to go on from is none.", reason="InvalidArgument")
    behind = _first_after(head, cut, after)
    # In a folder that is shown as one, or outside the prefix, there is nothing older to show.
    if below and after >= head and behind == after + b"\0":
        return after, below
    return max(head, behind), 0


def _version_rows(
    db: sqlite3.Connection, bucket: int, at: bytes, below: int, stop: bytes, limit: int
) -> Iterator[tuple[bytes, int, str, int, str, str, int]]:
    if below:
        older = db.execute(_OLDER_ROWS, (bucket, at, below, limit)).fetchall()
        yield from older
        limit -= len(older)
        at += b"\0"
    yield from db.execute(_VERSION_ROWS, (bucket, at, stop, limit))


def _newest_born(db: sqlite3.Connection, bucket: int, name: bytes) -> int:
    (born,) = db.execute(_NEWEST_BORN, (bucket, name)).fetchone()
    return int(born or 0)
