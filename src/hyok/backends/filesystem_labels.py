"""Tags and locks of the file store's versions: what changes beside the bytes.

Source: Amazon S3 API Reference, PutObjectTagging, PutObjectRetention, PutObjectLegalHold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.backends import catalogue_versions as versions
from hyok.backends import object_lock
from hyok.backends.catalogue import bucket_row, translated
from hyok.errors import Malformed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from hyok.backends.catalogue import Catalogue
    from hyok.backends.port import Lock


class Labels:
    """What hangs on the versions of a store.  Every method blocks."""

    def __init__(self, catalogue: Catalogue, clock_ms: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._clock_ms = clock_ms

    def tags(self, bucket: str, name: str, version_id: str) -> Mapping[str, str]:
        """Return a version's tags."""
        with translated():
            db = self._catalogue.reading
            return versions.tags_of(db, versions.there(db, bucket, name, version_id))

    def set_tags(self, bucket: str, name: str, tags: Mapping[str, str], version_id: str) -> str:
        """Replace a version's tags; return its id."""

        def act(db: sqlite3.Connection) -> str:
            row = versions.there(db, bucket, name, version_id)
            versions.set_tags(db, row.file, tags)
            return row.version_id

        return self._catalogue.write(act)

    def set_lock(
        self, bucket: str, name: str, lock: Lock, version_id: str, *, bypass: bool
    ) -> None:
        """As the port says."""

        def act(db: sqlite3.Connection) -> None:
            if bucket_row(db, bucket).lock is None:
                raise Malformed("the bucket has no object lock", reason="InvalidRequest")
            row = versions.there(db, bucket, name, version_id)
            now_ms = self._clock_ms()
            object_lock.check_asked(lock, now_ms)
            new = object_lock.changed(row.lock, lock, now_ms, bypass=bypass)
            versions.set_lock(db, row.file, new)

        self._catalogue.write(act)
