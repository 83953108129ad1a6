"""Multipart uploads of the file store: parts as data files, joined when the upload is completed.

Until the completing transaction the parts stand and nothing else does; with it the object exists
and the upload does not.  A crash before it leaves a half-joined file, one after it leaves parts:
both without a row, so `sweep` removes them.

Source: docs/format.md, section 17 (the block is written last).
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyok.backends.catalogue import bucket_id, bucket_row, translated
from hyok.backends.catalogue_listing import successor
from hyok.backends.data_files import etag_of
from hyok.backends.object_lock import check_asked, first
from hyok.backends.port import Lock, StoredFacts, StoredPart, StoredUpload
from hyok.errors import Malformed, NotFound, Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from hyok.backends.catalogue import Catalogue
    from hyok.backends.data_files import DataFiles, FileWriter
    from hyok.backends.filesystem_bodies import FileSink
    from hyok.backends.port import Stored

UPLOAD_ID_BYTES = 16
PART_NUMBER_MAX = 10_000


@dataclass(frozen=True, slots=True)
class PartRow:
    number: int
    file: str
    size: int
    etag: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Joining:
    """What a completion was found to consist of."""

    facts: StoredFacts
    parts: Sequence[PartRow]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class Uploads:
    """The open uploads of a store.  Every method blocks."""

    def __init__(self, catalogue: Catalogue, files: DataFiles) -> None:
        self._catalogue = catalogue
        self._files = files

    def begin(self, bucket: str, name: str, facts: StoredFacts, at_ms: int) -> str:
        """Return the id of a new upload."""
        upload_id = secrets.token_hex(UPLOAD_ID_BYTES)
        check_asked(facts.lock, at_ms)

        def act(db: sqlite3.Connection) -> None:
            at = bucket_row(db, bucket)
            lock = first(facts.lock, at.lock, at_ms)
            if not facts.lock.mode:  # a default counts from the completion
                lock = facts.lock
            db.execute(
                "INSERT INTO uploads (id, bucket, name, envelope, begun_ms, tags, lock_mode, "
                "lock_until_ms, lock_hold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    upload_id,
                    at.id,
                    name.encode(),
                    facts.envelope,
                    at_ms,
                    json.dumps(dict(facts.tags)),
                    lock.mode,
                    lock.until_ms,
                    None if lock.hold is None else int(lock.hold),
                ),
            )

        self._catalogue.write(act)
        return upload_id

    def part(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        size: int,
        clock_ms: Callable[[], int],
    ) -> FilePartSink:
        """Return a sink for one part."""
        if not 1 <= number <= PART_NUMBER_MAX:
            raise Malformed(
                f"a part's number lies between 1 and {PART_NUMBER_MAX}", reason="InvalidArgument"
            )
        with translated():
            _facts(self._catalogue.reading, bucket, name, upload_id)
        writer = self._files.create(0, size)
        return FilePartSink(self._catalogue, self._files, writer, upload_id, number, clock_ms)

    def parts(
        self, bucket: str, name: str, upload_id: str, after: int, limit: int
    ) -> list[StoredPart]:
        """Return a page of the parts, by number."""
        with translated():
            db = self._catalogue.reading
            _facts(db, bucket, name, upload_id)
            rows = db.execute(
                "SELECT number, etag, size, modified_ms FROM parts "
                "WHERE upload = ? AND number > ? ORDER BY number LIMIT ?",
                (upload_id, after, max(0, limit)),
            )
            return [StoredPart(*row) for row in rows]

    def check(self, bucket: str, name: str, upload_id: str, parts: Sequence[StoredPart]) -> Joining:
        """Return the files of the parts named.

        Raises:
            Malformed: no parts, not in ascending order, or one that is not there (any more).
            NotFound: there is no such upload.
        """
        with translated():
            db = self._catalogue.reading
            facts = _facts(db, bucket, name, upload_id)
            rows = {row.number: row for row in _part_rows(db, upload_id)}
        if not parts:
            raise Malformed("an upload needs a part", reason="MalformedXML")
        numbers = [part.number for part in parts]
        if numbers != sorted(set(numbers)):
            raise Malformed("the parts are not in ascending order", reason="InvalidPartOrder")
        for part in parts:
            if part.number not in rows or rows[part.number].etag != part.etag:
                raise Malformed(f"part {part.number} is not there", reason="InvalidPart")
        return Joining(facts, [rows[number] for number in numbers])

    def join(self, upload_id: str, joining: Joining, sink: FileSink) -> Stored:
        """Make the object of its parts, and end the upload, in one transaction."""
        try:
            for part in joining.parts:
                sink.copy_whole(part.file, part.size)
            return sink.commit(lambda db: self.finish(db, upload_id, joining))
        except BaseException:
            sink.abort()
            raise

    def finish(self, db: sqlite3.Connection, upload_id: str, joining: Joining) -> list[str]:
        """End the upload inside the transaction that makes its object; return the parts' files.

        Raises:
            NotFound: it was completed or aborted meanwhile.
            Malformed: a part was sent again meanwhile.
        """
        now = {row.number: row for row in _part_rows(db, upload_id)}
        files = _forget(db, upload_id)
        if any(now.get(part.number) != part for part in joining.parts):
            raise Malformed("a part was replaced during completion", reason="InvalidPart")
        return files

    def abort(self, bucket: str, name: str, upload_id: str) -> None:
        """Drop an upload and its parts."""

        def act(db: sqlite3.Connection) -> list[str]:
            _facts(db, bucket, name, upload_id)
            return _forget(db, upload_id)

        self._files.remove(*self._catalogue.write(act))

    def open_ones(self, bucket: str, prefix: str, limit: int) -> list[StoredUpload]:
        """Return open uploads below a prefix, by name and age."""
        head = prefix.encode()
        with translated():
            db = self._catalogue.reading
            rows = db.execute(
                "SELECT name, id, begun_ms FROM uploads WHERE bucket = ? AND name >= ? "
                "AND name < ? ORDER BY name, begun_ms, id LIMIT ?",
                (bucket_id(db, bucket), head, successor(head), max(0, limit)),
            )
            return [StoredUpload(name.decode(), upload, begun) for name, upload, begun in rows]

    def forget_all(self, db: sqlite3.Connection, bucket: int) -> list[str]:
        """Drop every upload of a bucket inside a transaction; return the files of their parts."""
        rows = db.execute("SELECT id FROM uploads WHERE bucket = ?", (bucket,)).fetchall()
        return [file for (upload,) in rows for file in _forget(db, upload)]


class FilePartSink:
    """Fills one part's file and then names it in the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        files: DataFiles,
        writer: FileWriter,
        upload_id: str,
        number: int,
        clock_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._files = files
        self._writer = writer
        self._upload_id = upload_id
        self._number = number
        self._clock_ms = clock_ms

    def write(self, view: memoryview) -> None:
        self._writer.write(view)

    def commit(self) -> StoredPart:
        self._writer.finish(b"")
        file = self._writer.file
        part = StoredPart(self._number, etag_of(file, b""), self._writer.size, self._clock_ms())

        def act(db: sqlite3.Connection) -> list[str]:
            # The upload may be over by now; a part without one would never be removed.
            if not db.execute("SELECT 1 FROM uploads WHERE id = ?", (self._upload_id,)).fetchone():
                raise NotFound("the upload is over", reason="NoSuchUpload")
            key = (self._upload_id, self._number)
            old = db.execute("SELECT file FROM parts WHERE upload = ? AND number = ?", key)
            files = [file for (file,) in old]
            db.execute(
                "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
                (*key, file, part.size, part.etag, part.modified_ms),
            )
            return files

        try:
            replaced = self._catalogue.write(act)
        except Unavailable:
            self._writer.release()  # durable or not, nobody knows: the sweep's
            raise
        except BaseException:
            self._writer.discard()
            raise
        self._writer.release()
        self._files.remove(*replaced)
        return part

    def abort(self) -> None:
        self._writer.discard()


def _facts(db: sqlite3.Connection, bucket: str, name: str, upload_id: str) -> StoredFacts:
    """Return what an open upload's object will have beside its bytes.

    Raises:
        NotFound: no such bucket, or no such upload of this name.
    """
    row = db.execute(
        "SELECT envelope, tags, lock_mode, lock_until_ms, lock_hold FROM uploads "
        "WHERE id = ? AND bucket = ? AND name = ?",
        (upload_id, bucket_id(db, bucket), name.encode()),
    ).fetchone()
    if row is None:
        raise NotFound("the upload does not exist", reason="NoSuchUpload")
    lock = Lock(row[2], row[3], None if row[4] is None else bool(row[4]))
    return StoredFacts(envelope=bytes(row[0]), tags=json.loads(row[1]), lock=lock)


def _part_rows(db: sqlite3.Connection, upload_id: str) -> list[PartRow]:
    rows = db.execute(
        "SELECT number, file, size, etag, modified_ms FROM parts WHERE upload = ?", (upload_id,)
    )
    return [PartRow(*row) for row in rows]


def _forget(db: sqlite3.Connection, upload_id: str) -> list[str]:
    files = [row.file for row in _part_rows(db, upload_id)]
    db.execute("DELETE FROM parts WHERE upload = ?", (upload_id,))
    if db.execute("DELETE FROM uploads WHERE id = ?", (upload_id,)).rowcount != 1:
        raise NotFound("the upload is over", reason="NoSuchUpload")
    return files
