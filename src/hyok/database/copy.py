"""A consistent copy of the embedded database while it is in use, and putting one back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hyok.errors import Conflict, Malformed, Refused

_PREFIX = "sqlite:///"
PAGES_AT_A_TIME = 1000


def is_file(url: str) -> bool:
    """Return whether the database is a file of this host, and not a server's."""
    return url.startswith(_PREFIX)


def file_of(url: str) -> Path:
    """Return the database's file.

    Raises:
        Refused: it has none here.
    """
    if not is_file(url):
        raise Refused("this database is a server's, and no file of this host")
    return Path(url.removeprefix(_PREFIX))


def copy_to(source: Path, target: Path) -> int:
    """Copy a database that may be in use; return the bytes written.  Durable on return.

    Raises:
        Conflict: ``target`` is there already.
        Malformed: ``source`` is missing or damaged.
    """
    if target.exists():
        raise Conflict(f"{target} is there already; nothing was overwritten")
    if not source.exists():
        raise Malformed(f"there is no database {source}")
    beside = target.with_name(target.name + ".part")
    beside.unlink(missing_ok=True)
    os.close(os.open(beside, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(beside)) as copied:
            live.backup(copied, pages=PAGES_AT_A_TIME)
        check(beside)
        flush(beside)
        beside.rename(target)
        flush(target.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return target.stat().st_size


def check(path: Path) -> None:
    """Return quietly if this is a whole database of ours.

    Raises:
        Malformed: it is damaged, or something else.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            said = database.execute("PRAGMA integrity_check").fetchone()[0]
            database.execute("SELECT count(*) FROM keyring").fetchone()
    except sqlite3.DatabaseError as error:
        raise Malformed(f"{path} is no database of hyok: {error}") from error
    if said != "ok":
        raise Malformed(f"{path} is damaged: {said}")


def put_back(fresh: Path, target: Path) -> None:
    """Make the file ``fresh``, of the same folder, the database.  Nobody may be using it.

    Raises:
        Malformed: it is no database of ours; nothing was changed.
    """
    check(fresh)
    for leftover in ("-wal", "-shm"):
        target.with_name(target.name + leftover).unlink(missing_ok=True)
    fresh.rename(target)
    flush(target.parent)


def flush(path: Path) -> None:
    """Put a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
