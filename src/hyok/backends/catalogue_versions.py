"""The versions of one name in the file store's catalogue, as S3 lets them come and go.

Every function runs inside a transaction of its caller and returns the data files that no row names
any more; they may be removed after the commit.

Source: Amazon S3 User Guide, "Retaining multiple versions of objects with S3 Versioning".
"""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends.catalogue import (
    ENABLED,
    NULL_VERSION,
    VERSION_BORN_DIGITS,
    find,
    find_newest_beside,
    store_row,
)
from hyok.backends.port import NO_LOCK
from hyok.errors import Malformed, NotFound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from hyok.backends.catalogue import BucketRow, ObjectRow
    from hyok.backends.port import Lock

_RANDOM_BYTES = 8
_KEY = "WHERE bucket = ? AND name = ? AND born = ?"
_COLUMNS = "bucket, name, file, sealed, size, etag, modified_ms, version, born"


def put_on_top(
    db: sqlite3.Connection, bucket: str, at: BucketRow, row: ObjectRow, old: ObjectRow | None
) -> tuple[ObjectRow, list[str]]:
    """Make ``row`` the newest version of its name; return it with its id, and the files left over.

    Args:
        db: a transaction.
        bucket: the bucket's name.
        at: the bucket's row.
        row: a data file that is whole, or a delete marker; its `version` and `born` are given here.
        old: what a listing shows under the name now.
    """
    newest = find_newest_beside(db, bucket, row.name) if at.versioning else None
    last = max((found.born for found in (old, newest) if found is not None), default=0)
    born = max(row.modified_ms * 1000, last + 1)
    version = NULL_VERSION
    if at.versioning == ENABLED:
        version = f"{born:0{VERSION_BORN_DIGITS}x}{secrets.token_hex(_RANDOM_BYTES)}"
    row = replace(row, version=version, born=born, versioning=at.versioning)
    over = [] if at.versioning == ENABLED else _remove_null(db, bucket, at, row.name, old)
    if old is not None and (at.versioning == ENABLED or old.version != NULL_VERSION):
        _move(db, old, "objects", "versions")
    if row.marker:
        _insert_marker(db, row)
    else:
        store_row(db, row)
    return row, over


def _remove_null(
    db: sqlite3.Connection, bucket: str, at: BucketRow, name: str, old: ObjectRow | None
) -> list[str]:
    """Take away the version that a write without versions replaces."""
    stale = old if old is not None and old.version == NULL_VERSION else None
    if stale is None and at.versioning:
        stale = find(db, bucket, name, NULL_VERSION)
    return [] if stale is None else _forget(db, stale)


def remove(db: sqlite3.Connection, bucket: str, row: ObjectRow) -> list[str]:
    """Take one version away for good; what was below it shows again, unless that is a marker."""
    over = _forget(db, row)
    if row.versioning and find(db, bucket, row.name) is None:
        newest = find_newest_beside(db, bucket, row.name)
        if newest is not None and not newest.marker:
            _move(db, newest, "versions", "objects")
    return over


def _forget(db: sqlite3.Connection, row: ObjectRow) -> list[str]:
    for table in ("objects", "versions"):
        db.execute(f"DELETE FROM {table} {_KEY}", (row.bucket, row.name.encode(), row.born))  # noqa: S608 - our own names
    if row.marker:
        return []
    for table in ("blocks", "tags", "locks"):
        db.execute(f"DELETE FROM {table} WHERE file = ?", (row.file,))  # noqa: S608 - our own names
    return [row.file]


def _move(db: sqlite3.Connection, row: ObjectRow, source: str, target: str) -> None:
    key = (row.bucket, row.name.encode(), row.born)
    db.execute(
        f"INSERT INTO {target} ({_COLUMNS}) SELECT {_COLUMNS} FROM {source} {_KEY}",  # noqa: S608 - our own names
        key,
    )
    db.execute(f"DELETE FROM {source} {_KEY}", key)  # noqa: S608 - our own names


def _insert_marker(db: sqlite3.Connection, row: ObjectRow) -> None:
    db.execute(
        "INSERT INTO versions VALUES (?, ?, '', 0, 0, '', ?, ?, ?)",
        (row.bucket, row.name.encode(), row.modified_ms, row.version, row.born),
    )


# ── what hangs on a version ──────────────────────────────────────────────────────────────────


def tags_of(db: sqlite3.Connection, row: ObjectRow) -> Mapping[str, str]:
    """Return a version's tags."""
    found = db.execute("SELECT tags FROM tags WHERE file = ?", (row.file,)).fetchone()
    return {} if found is None else dict(json.loads(found[0]))


def set_tags(db: sqlite3.Connection, file: str, tags: Mapping[str, str]) -> None:
    """Replace the tags of the version that this file holds."""
    if tags:
        values = (file, len(tags), json.dumps(dict(tags)))
        db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", values)
    else:
        db.execute("DELETE FROM tags WHERE file = ?", (file,))


def set_lock(db: sqlite3.Connection, file: str, lock: Lock) -> None:
    """Replace the lock of the version that this file holds."""
    if lock == NO_LOCK:
        db.execute("DELETE FROM locks WHERE file = ?", (file,))
    else:
        values = (file, lock.mode, lock.until_ms, None if lock.hold is None else int(lock.hold))
        db.execute("INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?)", values)


# ── what is not there ────────────────────────────────────────────────────────────────────────


def there(db: sqlite3.Connection, bucket: str, name: str, version_id: str) -> ObjectRow:
    """Return a version that has bytes.

    Raises:
        NotFound: there is none; it says so where a delete marker is the newest.
        Malformed: the version is a delete marker (reason ``MethodNotAllowed``).
    """
    row = find(db, bucket, name, version_id)
    if row is not None and not row.marker:
        return row
    if row is None and not version_id:
        row = find_newest_beside(db, bucket, name)
    elif row is None:
        raise NotFound("the version does not exist", reason="NoSuchVersion")
    if row is None:
        raise NotFound("the object does not exist", reason="NoSuchKey")
    facts = {"delete-marker": "true", "version-id": row.version}
    if version_id:
        raise Malformed("a delete marker has no bytes", reason="MethodNotAllowed", facts=facts)
    raise NotFound("the object was deleted", reason="NoSuchKey", facts=facts)
