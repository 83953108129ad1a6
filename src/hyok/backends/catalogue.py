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

from hyok.backends import catalogue_schema
from hyok.backends.port import NO_LOCK, DefaultLock, Lock
from hyok.errors import Conflict, NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hyok.backends.port import Condition

T = TypeVar("T")

APPLICATION_ID = 0x4859_4F4B  # "HYOK", so that `file` and a stranger can tell what this is
BUSY_SECONDS_MAX = 15.0
"""How long a worker waits for the commit of another one."""

JOINED_WRITES_MAX = 64
"""How many waiting writes one commit makes durable at most; bounds the time of a commit."""

NULL_VERSION = "null"
"""The id of a version that was written while its bucket had none."""

ENABLED = "Enabled"
SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class BucketRow:
    """One bucket, and what it does to new versions."""

    id: int
    versioning: str = ""  # ENABLED, SUSPENDED; empty: never switched on
    lock: DefaultLock | None = None  # None: no object lock


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One version of an object, and the file that holds it; or a delete marker, without a file."""

    bucket: int
    name: str
    file: str
    sealed: bool
    size: int
    etag: str
    modified_ms: int
    version: str = NULL_VERSION
    born: int = 0  # greater than that of every older version of the name
    versioning: str = ""  # of the bucket
    tag_count: int = 0
    lock: Lock = NO_LOCK
    pending_block: bytes | None = None  # newer than the file's own, when not None

    @property
    def version_id(self) -> str:
        """The id that the port tells; empty in a bucket that never had versions."""
        return self.version if self.versioning else ""

    @property
    def marker(self) -> bool:
        return not self.file


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
            catalogue_schema.prepare(self._writer)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS_MAX, isolation_level=None, check_same_thread=False
        )
        for pragma in (
            "page_size = 8192",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"application_id = {APPLICATION_ID}",
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


def bucket_row(db: sqlite3.Connection, bucket: str) -> BucketRow:
    """Return the row of a bucket.

    Raises:
        NotFound: there is no such bucket.
    """
    row = db.execute(
        "SELECT id, versioning, object_lock, lock_mode, lock_days, lock_years "
        "FROM buckets WHERE name = ?",
        (bucket,),
    ).fetchone()
    if row is None:
        raise _no_bucket()
    return BucketRow(row[0], row[1], DefaultLock(*row[3:]) if row[2] else None)


def bucket_id(db: sqlite3.Connection, bucket: str) -> int:
    """Return the row id of a bucket.

    Raises:
        NotFound: there is no such bucket.
    """
    row = db.execute("SELECT id FROM buckets WHERE name = ?", (bucket,)).fetchone()
    if row is None:
        raise _no_bucket()
    return int(row[0])


def _no_bucket() -> NotFound:
    return NotFound("the bucket does not exist in this store", reason="NoSuchBucket")


_FIND = """
SELECT b.id, b.versioning,
  o.file, o.sealed, o.size, o.etag, o.modified_ms, o.version, o.born,
  k.block, t.count, l.mode, l.until_ms, l.hold
FROM buckets b
LEFT JOIN {} o ON o.bucket = b.id AND o.name = ?2{}
LEFT JOIN blocks k ON k.file = o.file
LEFT JOIN tags t ON t.file = o.file
LEFT JOIN locks l ON l.file = o.file
WHERE b.name = ?1
"""
_FIND_OBJECT = _FIND.format("objects", "")
_FIND_NULL = _FIND.format("versions", " AND o.version = 'null'")
_FIND_BORN = _FIND.format("versions", " AND o.born = ?3")
_FIND_NEWEST = _FIND.format("versions", "") + "ORDER BY o.born DESC LIMIT 1"
VERSION_BORN_DIGITS = 16
"""A version's id begins with its `born` in hex, so that the id alone leads to the row."""


def find(db: sqlite3.Connection, bucket: str, name: str, version_id: str = "") -> ObjectRow | None:
    """Return a version of an object; without an id the one that a listing shows.

    Without an id None says that there is no such object; its newest version may be a marker.

    Raises:
        NotFound: there is no such bucket.
    """
    row = _found(db, _FIND_OBJECT, bucket, name)
    if not version_id or (row is not None and row.version == version_id):
        return row
    if version_id == NULL_VERSION:
        return _found(db, _FIND_NULL, bucket, name)
    row = _found(db, _FIND_BORN, bucket, name, born_of(version_id))
    return row if row is not None and row.version == version_id else None


def find_newest_beside(db: sqlite3.Connection, bucket: str, name: str) -> ObjectRow | None:
    """Return the newest version that a listing does not show: an older one, or a marker."""
    return _found(db, _FIND_NEWEST, bucket, name)


def born_of(version_id: str) -> int:
    """Return the `born` in an id that we made; -1, which no version has, for any other."""
    try:
        born = int(version_id[:VERSION_BORN_DIGITS], 16)
    except ValueError:
        return -1
    return born if born < 1 << 63 else -1  # what SQLite holds


def _found(
    db: sqlite3.Connection, query: str, bucket: str, name: str, *more: int
) -> ObjectRow | None:
    found = db.execute(query, (bucket, name.encode(), *more)).fetchone()
    if found is None:
        raise _no_bucket()
    number, versioning, file, sealed, size, etag, modified_ms, version, born = found[:9]
    if file is None:
        return None
    block, tag_count, mode, until_ms, hold = found[9:]
    lock = NO_LOCK if mode is None else Lock(mode, until_ms, None if hold is None else bool(hold))
    return ObjectRow(
        number, name, file, bool(sealed), size, etag, modified_ms, version, born,
        versioning, tag_count or 0, lock, block,
    )  # fmt: skip


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
        "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.bucket,
            row.name.encode(),
            row.file,
            int(row.sealed),
            row.size,
            row.etag,
            row.modified_ms,
            row.version,
            row.born,
        ),
    )


def is_known(db: sqlite3.Connection, file: str) -> bool:
    """Tell whether a row names this data file."""
    query = "SELECT EXISTS (SELECT 1 FROM {} WHERE file = ?)"
    tables = ("objects", "versions", "parts")
    return any(db.execute(query.format(table), (file,)).fetchone()[0] for table in tables)
