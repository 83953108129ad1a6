"""The buckets of the file store, and what each does to new versions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hyok.backends.catalogue import ENABLED, SUSPENDED, bucket_id, bucket_row, translated
from hyok.backends.object_lock import check_default
from hyok.errors import Conflict, Malformed, NotFound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from hyok.backends.catalogue import Catalogue
    from hyok.backends.data_files import DataFiles
    from hyok.backends.filesystem_upload import Uploads
    from hyok.backends.port import DefaultLock

_FILLED = """
SELECT EXISTS (SELECT 1 FROM objects WHERE bucket = ?1)
  OR EXISTS (SELECT 1 FROM versions WHERE bucket = ?1)
"""


class Buckets:
    """The buckets of a store.  Every method blocks."""

    def __init__(
        self,
        catalogue: Catalogue,
        files: DataFiles,
        uploads: Uploads,
        clock_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._files = files
        self._uploads = uploads
        self._clock_ms = clock_ms

    def create(self, bucket: str, *, object_lock: bool) -> None:
        """Make a bucket; one that is there stays as it is."""

        def act(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR IGNORE INTO buckets (name, created_ms, versioning, object_lock) "
                "VALUES (?, ?, ?, ?)",
                (bucket, self._clock_ms(), ENABLED if object_lock else "", int(object_lock)),
            )

        self._catalogue.write(act)

    def delete(self, bucket: str) -> None:
        """Remove an empty bucket and its open uploads."""

        def act(db: sqlite3.Connection) -> list[str]:
            number = bucket_id(db, bucket)
            if db.execute(_FILLED, (number,)).fetchone()[0]:
                raise Conflict("the bucket is not empty", reason="BucketNotEmpty")
            files = self._uploads.forget_all(db, number)
            db.execute("DELETE FROM buckets WHERE id = ?", (number,))
            return files

        self._files.remove(*self._catalogue.write(act))

    def has(self, bucket: str) -> bool:
        """Tell whether there is such a bucket."""
        with translated(), suppress(NotFound):
            bucket_id(self._catalogue.reading, bucket)
            return True
        return False

    def names(self) -> list[str]:
        """Return the names of all buckets, in order."""
        with translated():
            rows = self._catalogue.reading.execute("SELECT name FROM buckets ORDER BY name")
            return [str(row[0]) for row in rows]

    def versioning(self, bucket: str) -> str:
        """Return ``Enabled``, ``Suspended`` or empty."""
        with translated():
            return bucket_row(self._catalogue.reading, bucket).versioning

    def set_versioning(self, bucket: str, status: str) -> None:
        """Switch versions on, or suspend them."""
        if status not in {ENABLED, SUSPENDED}:
            raise Malformed("versions are Enabled or Suspended", reason="MalformedXML")

        def act(db: sqlite3.Connection) -> None:
            at = bucket_row(db, bucket)
            if at.lock is not None and status != ENABLED:
                raise Conflict("object lock needs versions", reason="InvalidBucketState")
            db.execute("UPDATE buckets SET versioning = ? WHERE id = ?", (status, at.id))

        self._catalogue.write(act)

    def object_lock(self, bucket: str) -> DefaultLock | None:
        """Return a bucket's object lock."""
        with translated():
            return bucket_row(self._catalogue.reading, bucket).lock

    def set_object_lock(self, bucket: str, default: DefaultLock) -> None:
        """Switch object lock on, or change what new versions get."""
        check_default(default)

        def act(db: sqlite3.Connection) -> None:
            at = bucket_row(db, bucket)
            if at.versioning != ENABLED:
                raise Conflict("object lock needs versions", reason="InvalidBucketState")
            db.execute(
                "UPDATE buckets SET object_lock = 1, lock_mode = ?, lock_days = ?, "
                "lock_years = ? WHERE id = ?",
                (default.mode, default.days, default.years, at.id),
            )

        self._catalogue.write(act)
