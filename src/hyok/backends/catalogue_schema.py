"""The tables of the file store's catalogue, and how an older catalogue gets those it lacks.

`objects` holds what a listing shows: for each name the newest version, unless that is a delete
marker.  `versions` holds all the others: older versions, and delete markers.  A bucket that never
had versions leaves `versions` empty, and a listing of objects costs the same with it as without.

What belongs to one version beside its row hangs on its data file, which no other version shares.

Source: https://www.sqlite.org/lang_altertable.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.errors import Conflict

if TYPE_CHECKING:
    import sqlite3

SCHEMA_VERSION = 2

# Pages of 8 KiB keep a row with a name of 1,400 bytes in the leaf, without overflow pages.
_TABLES = (
    """CREATE TABLE IF NOT EXISTS buckets (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL UNIQUE,
      created_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS objects (
      bucket INTEGER NOT NULL REFERENCES buckets (id),
      name BLOB NOT NULL,
      file TEXT NOT NULL,
      sealed INTEGER NOT NULL,        -- 1: the file begins with a block; 0: plain bytes alone
      size INTEGER NOT NULL,          -- of the body
      etag TEXT NOT NULL,
      modified_ms INTEGER NOT NULL,
      PRIMARY KEY (bucket, name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS versions (
      bucket INTEGER NOT NULL REFERENCES buckets (id),
      name BLOB NOT NULL,
      file TEXT NOT NULL,             -- empty: a delete marker
      sealed INTEGER NOT NULL,
      size INTEGER NOT NULL,
      etag TEXT NOT NULL,
      modified_ms INTEGER NOT NULL,
      version TEXT NOT NULL,
      born INTEGER NOT NULL,
      PRIMARY KEY (bucket, name, born DESC)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS blocks (   -- blocks on their way into their files
      file TEXT PRIMARY KEY,
      block BLOB NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS tags (
      file TEXT PRIMARY KEY,
      count INTEGER NOT NULL,
      tags TEXT NOT NULL              -- a JSON object
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS locks (
      file TEXT PRIMARY KEY,
      mode TEXT NOT NULL,
      until_ms INTEGER NOT NULL,
      hold INTEGER                    -- NULL: never said
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS uploads (
      id TEXT PRIMARY KEY,
      bucket INTEGER NOT NULL REFERENCES buckets (id),
      name BLOB NOT NULL,
      envelope BLOB NOT NULL,
      begun_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS parts (
      upload TEXT NOT NULL REFERENCES uploads (id),
      number INTEGER NOT NULL,
      file TEXT NOT NULL,
      size INTEGER NOT NULL,
      etag TEXT NOT NULL,
      modified_ms INTEGER NOT NULL,
      PRIMARY KEY (upload, number)
    ) STRICT, WITHOUT ROWID""",
)

# Since version 2.  Each has a default that is true of what was there before, so that adding it
# rewrites no row.
_COLUMNS = (
    ("buckets", "versioning", "TEXT NOT NULL DEFAULT ''"),
    ("buckets", "object_lock", "INTEGER NOT NULL DEFAULT 0"),
    ("buckets", "lock_mode", "TEXT NOT NULL DEFAULT ''"),
    ("buckets", "lock_days", "INTEGER NOT NULL DEFAULT 0"),
    ("buckets", "lock_years", "INTEGER NOT NULL DEFAULT 0"),
    ("objects", "version", "TEXT NOT NULL DEFAULT 'null'"),
    ("objects", "born", "INTEGER NOT NULL DEFAULT 0"),
    ("uploads", "tags", "TEXT NOT NULL DEFAULT '{}'"),
    ("uploads", "lock_mode", "TEXT NOT NULL DEFAULT ''"),
    ("uploads", "lock_until_ms", "INTEGER NOT NULL DEFAULT 0"),
    ("uploads", "lock_hold", "INTEGER"),
)

_INDEXES = (
    "CREATE INDEX IF NOT EXISTS objects_file ON objects (file)",
    "CREATE INDEX IF NOT EXISTS versions_file ON versions (file)",
    # A name has at most one version of the time without versions.
    "CREATE UNIQUE INDEX IF NOT EXISTS versions_null ON versions (bucket, name) "
    "WHERE version = 'null'",
    "CREATE INDEX IF NOT EXISTS uploads_name ON uploads (bucket, name, begun_ms)",
    "CREATE INDEX IF NOT EXISTS parts_file ON parts (file)",
)


def prepare(db: sqlite3.Connection) -> None:
    """Bring a catalogue to this version, in one transaction; quiet when it is there.

    Raises:
        Conflict: a newer release made it.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > SCHEMA_VERSION:
        raise Conflict(
            f"the file store's catalogue has version {found}, this release knows {SCHEMA_VERSION}",
            code="HY-3308",
            effect="The store was not opened.",
            next_step="run the release that made it, or a later one",
        )
    if found == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")  # another process may do the same: nothing below minds twice
    try:
        for table in _TABLES:
            db.execute(table)
        for table, column, definition in _COLUMNS:
            # A release of version 1 that looked in leaves its number behind, and our columns.
            if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {definition}")
        for index in _INDEXES:
            db.execute(index)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
