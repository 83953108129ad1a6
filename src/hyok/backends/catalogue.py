"""The file store's catalogue: which data file holds which object, in one SQLite database.

The commit of a transaction here is the moment at which an object begins or ceases to exist; data
files are made durable before it and removed after it.  Names are kept as UTF-8 blobs, so SQLite's
order is the byte order of a listing and every name that S3 allows fits.

Several threads and processes write.  Within a process, transactions that wait for the disk are
joined: whoever comes first commits for all who queued meanwhile, each in a savepoint of its own.

Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/withoutrowid.html
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from hyok.errors import Conflict, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hyok.backends.port import Condition

T = TypeVar("T")

APPLICATION_ID = 0x4859_4F4B  # "HYOK", so that `file` and a stranger can tell what this is
SCHEMA_VERSION = 1
BUSY_SECONDS_MAX = 15.0
"""How long a worker waits for the commit of another one."""

JOINED_WRITES_MAX = 64
"""How many waiting writes one commit makes durable at most; bounds the time of a commit."""

# Pages of 8 KiB keep a row with a name of 1,400 bytes in the leaf, without overflow pages.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS objects (
  bucket INTEGER NOT NULL REFERENCES buckets (id),
  name BLOB NOT NULL,
  file TEXT NOT NULL,
  sealed INTEGER NOT NULL,        -- 1: the file begins with a block; 0: plain bytes alone
  size INTEGER NOT NULL,          -- of the body
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  PRIMARY KEY (bucket, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_file ON objects (file);
CREATE TABLE IF NOT EXISTS blocks (   -- blocks on their way into their files
  file TEXT PRIMARY KEY,
  block BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY,
  bucket INTEGER NOT NULL REFERENCES buckets (id),
  name BLOB NOT NULL,
  envelope BLOB NOT NULL,
  begun_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_name ON uploads (bucket, name, begun_ms);
CREATE TABLE IF NOT EXISTS parts (
  upload TEXT NOT NULL REFERENCES uploads (id),
  number INTEGER NOT NULL,
  file TEXT NOT NULL,
  size INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_ms INTEGER NOT NULL,
  PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_file ON parts (file);
"""


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object of a bucket, and the file that holds it."""

    bucket: int
    name: str
    file: str
    sealed: bool
    size: int
    etag: str
    modified_ms: int
    pending_block: bytes | None = None  # newer than the file's own, when not None


@dataclass(slots=True)
class _Waiting(Generic[T]):
    """A write that waits for its commit."""

    act: Callable[[sqlite3.Connection], T]
    result: T | None = None
    error: BaseException | None = None
    done: bool = False


class _Local(threading.local):
    """Each thread reads through its own connection; slots would be shared by all threads."""

    connection: sqlite3.Connection | None = None


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(
            "the file store's catalogue did not answer",
            reason="ServiceUnavailable",
            code="HY-3301",
            effect="Nothing was changed.",
            next_step="check the free space and the permissions of the store's directory",
        ) from error


class Catalogue:
    """See the module's docstring.  Every method blocks; any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = _Local()
        self._opened: list[sqlite3.Connection] = []
        self._guard = threading.Lock()  # of `_queue` and `_opened`
        self._turn = threading.Lock()  # of the one writing connection
        self._queue: list[_Waiting[Any]] = []
        with translated():
            self._writer = self._connect()
            self._writer.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "page_size = 8192",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"application_id = {APPLICATION_ID}",
            f"user_version = {SCHEMA_VERSION}",
            "cache_size = -16384",
        ):
            # Setting what already stands would still write to the file, and so wait for others.
            name, _, value = pragma.partition(" = ")
            (now,) = connection.execute(f"PRAGMA {name}").fetchone()
            if str(now).upper() != value:
                connection.execute(f"PRAGMA {pragma}")
        with self._guard:
            self._opened.append(connection)
        return connection

    @property
    def reading(self) -> sqlite3.Connection:
        """This thread's connection for reads."""
        if self._local.connection is None:
            self._local.connection = self._connect()
        return self._local.connection

    def write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``act`` in a transaction and return its result once that is on disk.

        What ``act`` raises undoes its own changes alone.

        Raises:
            Unavailable: the commit failed, or another process held the catalogue too long.
        """
        mine: _Waiting[T] = _Waiting(act)
        with self._guard:
            self._queue.append(mine)
        with self._turn:
            while not mine.done:
                with self._guard:
                    batch = self._queue[:JOINED_WRITES_MAX]
                    del self._queue[:JOINED_WRITES_MAX]
                self._commit(batch)
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.result)

    def _commit(self, batch: list[_Waiting[Any]]) -> None:
        """Write the batch in one transaction; give each its result or error."""
        try:
            with translated():
                self._writer.execute("BEGIN IMMEDIATE")
                for waiting in batch:
                    self._run(waiting)
                self._writer.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            for waiting in batch:
                waiting.error = error
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        for waiting in batch:
            waiting.done = True

    def _run(self, waiting: _Waiting[Any]) -> None:
        self._writer.execute("SAVEPOINT one")
        try:
            waiting.result = waiting.act(self._writer)
        except sqlite3.Error:
            raise  # the database itself fails: nothing of this transaction may stand
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            waiting.error = error
            self._writer.execute("ROLLBACK TO one")
        self._writer.execute("RELEASE one")

    def close(self) -> None:
        """Close every connection.  Nobody may use the catalogue any more."""
        with self._turn, self._guard:
            for connection in self._opened:
                connection.close()
            self._opened.clear()


def bucket_id(db: sqlite3.Connection, bucket: str) -> int:
    """Return the row id of a bucket.

    Raises:
        NotFound: there is no such bucket.
    """
    row = db.execute("SELECT id FROM buckets WHERE name = ?", (bucket,)).fetchone()
    if row is None:
        raise NotFound("the bucket does not exist in this store", reason="NoSuchBucket")
    return int(row[0])


_FIND = """
SELECT b.id, o.file, o.sealed, o.size, o.etag, o.modified_ms, k.block
FROM buckets b
LEFT JOIN objects o ON o.bucket = b.id AND o.name = ?2
LEFT JOIN blocks k ON k.file = o.file
WHERE b.name = ?1
"""


def find(db: sqlite3.Connection, bucket: str, name: str) -> ObjectRow | None:
    """Return the row of an object, None when there is no such object.

    Raises:
        NotFound: there is no such bucket.
    """
    row = db.execute(_FIND, (bucket, name.encode())).fetchone()
    if row is None:
        raise NotFound("the bucket does not exist in this store", reason="NoSuchBucket")
    if row[1] is None:
        return None
    return ObjectRow(row[0], name, row[1], bool(row[2]), row[3], row[4], row[5], row[6])


def check_condition(row: ObjectRow | None, condition: Condition) -> None:
    """Return quietly if the condition holds for what is there now.

    Raises:
        Conflict: it does not.
    """
    if condition.absent and row is not None:
        raise Conflict("an object of this name exists already", reason="PreconditionFailed")
    if condition.exists and row is None:
        raise Conflict("no object of this name exists", reason="PreconditionFailed")
    if condition.not_match and row is not None and row.etag == condition.not_match:
        raise Conflict("the object is still the version named", reason="PreconditionFailed")
    if condition.if_match and (row is None or row.etag != condition.if_match):
        raise Conflict("the object is no longer the version named", reason="PreconditionFailed")


def store_row(db: sqlite3.Connection, row: ObjectRow) -> None:
    """Let this row be the object of its name, whatever stood there."""
    db.execute(
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            row.bucket,
            row.name.encode(),
            row.file,
            int(row.sealed),
            row.size,
            row.etag,
            row.modified_ms,
        ),
    )


def is_known(db: sqlite3.Connection, file: str) -> bool:
    """Tell whether a row names this data file."""
    query = "SELECT EXISTS (SELECT 1 FROM {} WHERE file = ?)"
    tables = ("objects", "parts")
    return any(db.execute(query.format(table), (file,)).fetchone()[0] for table in tables)
