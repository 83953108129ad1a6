"""The objects of the file store: a row, a data file and a block that belong together.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends import catalogue_versions as versions
from hyok.backends import object_lock
from hyok.backends.catalogue import (
    ENABLED,
    NULL_VERSION,
    ObjectRow,
    bucket_row,
    check_condition,
    find,
    is_known,
    store_row,
    translated,
)
from hyok.backends.data_files import FILE_MODE, etag_of, overwrite_block, translated_files
from hyok.backends.filesystem_bodies import FileSink, FileSource, resolve, told
from hyok.backends.port import Condition, Deleted, Stored, StoredFacts
from hyok.envelope.sealed_file import parse_block, render_block
from hyok.errors import Conflict, Malformed, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hyok.backends.catalogue import Catalogue
    from hyok.backends.data_files import DataFiles
    from hyok.backends.port import Span
    from hyok.envelope.layout import Suite

NAME_BYTES_MAX = 16_384
"""A key has 1,024 bytes at most; sealed, it grows by a third."""

LOOKS_MAX = 100
"""How often a reader looks again when the object changes under its eyes."""


class Objects:
    """The objects of a store.  Every method blocks."""

    def __init__(
        self,
        catalogue: Catalogue,
        files: DataFiles,
        suites: Mapping[int, Suite],
        clock_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._files = files
        self._suites = suites
        self._clock_ms = clock_ms

    def sink(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition,
        *,
        lock_checked: bool = False,
    ) -> FileSink:
        """Return a sink that makes an object of ``size`` bytes."""
        check_name(name)
        if not lock_checked:  # the date of an upload's lock may be past when it is completed
            object_lock.check_asked(facts.lock, self._clock_ms())
        block = self.block(facts)
        with translated():
            # Asked now to save the body's way; decided again when the row is written.
            db = self._catalogue.reading
            check_condition(find(db, bucket, name), condition)
            object_lock.first(facts.lock, bucket_row(db, bucket).lock, 0)
        writer = self._files.create(len(block), size)
        return FileSink(
            self._catalogue,
            self._files,
            writer,
            bucket,
            name,
            block,
            condition,
            facts,
            self._clock_ms,
        )

    def block(self, facts: StoredFacts) -> bytes:
        """Return the block of these facts; empty where there is no envelope.

        Raises:
            Malformed: facts in clear, or no envelope in these bytes.
        """
        if facts.clear or facts.user_metadata:
            raise Malformed("this store keeps no metadata in clear")
        if not facts.envelope:
            return b""
        block = render_block(facts.envelope)
        parse_block(block, suites=self._suites)
        return block

    def _look(self, bucket: str, name: str, version_id: str = "") -> tuple[ObjectRow, int, bytes]:
        """Return row, open file and block that belong together."""
        for _ in range(LOOKS_MAX):
            with translated():
                row = versions.there(self._catalogue.reading, bucket, name, version_id)
            fd = self._files.open(row.file)
            if fd is None:  # replaced since the row was read
                continue
            try:
                block = b"" if not row.sealed else row.pending_block
                if block is None:
                    block = self._files.read_block(fd, row.file, row.etag)
                if block is not None:
                    return row, fd, block
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # given a new envelope since the row was read
        raise Tampered(
            "a stored object and the catalogue do not belong together",
            code="HY-3307",
            effect="The object cannot be read.",
            next_step="restore the store's folder from one backup; its disk or a person changed it",
        )

    def _told(self, row: ObjectRow, block: bytes) -> Stored:
        return told(row, StoredFacts(self._files.envelope_of(block) if block else b""))

    def source(
        self, bucket: str, name: str, span: Span, if_match: str, version_id: str
    ) -> FileSource:
        """Return the bytes of a span, of the version as it is now."""
        row, fd, block = self._look(bucket, name, version_id)
        try:
            check_condition(row, Condition(if_match=if_match))
            start, stop = resolve(span, row.size)
            return FileSource(self._told(row, block), fd, len(block) + start, len(block) + stop)
        except BaseException:
            os.close(fd)
            raise

    def head(self, bucket: str, name: str, version_id: str) -> Stored:
        """Return the version as it is now."""
        row, fd, block = self._look(bucket, name, version_id)
        os.close(fd)
        return self._told(row, block)

    def delete(
        self, bucket: str, name: str, condition: Condition, version_id: str, *, bypass: bool
    ) -> Deleted:
        """As the port says."""

        def act(db: sqlite3.Connection) -> tuple[Deleted, list[str]]:
            at = bucket_row(db, bucket)
            row = find(db, bucket, name, version_id)
            if row is not None or condition.if_match:
                if row is None:
                    return Deleted(), []
                check_condition(row, condition)
            if at.versioning and not version_id:
                marker = ObjectRow(at.id, name, "", False, 0, "", self._clock_ms())  # noqa: FBT003 - in order
                marker, over = versions.put_on_top(db, bucket, at, marker, row)
                return Deleted(marker.version_id, marker=True), over
            if row is None:
                return Deleted(), []
            object_lock.check_free(row.lock, self._clock_ms(), bypass=bypass)
            return Deleted(row.version_id, row.marker), versions.remove(db, bucket, row)

        with translated():
            # Deletes of what is not there are common and cost no commit.
            db = self._catalogue.reading
            if find(db, bucket, name, version_id) is None and (
                version_id or not bucket_row(db, bucket).versioning
            ):
                return Deleted()
        deleted, over = self._catalogue.write(act)
        self._files.remove(*over)
        return deleted

    def replace_facts(self, bucket: str, name: str, facts: StoredFacts, if_match: str) -> Stored:
        """As the port says: in place, unless the bucket keeps the version that this replaces."""
        block = self.block(facts)

        def act(db: sqlite3.Connection) -> tuple[ObjectRow, bool]:
            row = versions.there(db, bucket, name, "")
            check_condition(row, Condition(if_match=if_match))
            if row.sealed is not bool(block):
                raise Malformed("a sealed object needs an envelope, and a plain one takes none")
            if row.versioning == ENABLED or row.version != NULL_VERSION:
                return row, False
            if block:
                row = replace(row, etag=etag_of(row.file, block))
                store_row(db, row)
                db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (row.file, block))
            if facts.tags:
                versions.set_tags(db, row.file, facts.tags)
            return row, True

        row, in_place = self._catalogue.write(act)
        if not in_place:
            return self._replace_by_copy(bucket, row, facts)
        # It counts already.  If the write in place fails, the next opening repeats it.
        with suppress(Unavailable):
            self._apply_block(row.file)
        return self._told(row, block)

    def _replace_by_copy(self, bucket: str, row: ObjectRow, facts: StoredFacts) -> Stored:
        """Lay a new version with the same bytes over ``row``, which stays as it is."""
        if not facts.tags:
            with translated():
                facts = replace(facts, tags=versions.tags_of(self._catalogue.reading, row))
        condition = Condition(if_match=row.etag)
        return self.copy(bucket, row.name, bucket, row.name, facts, row.etag, condition, "")

    def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition,
        version_id: str,
    ) -> Stored:
        """As the port says."""
        row, fd, old_block = self._look(bucket, name, version_id)
        try:
            check_condition(row, Condition(if_match=if_match))
            sink = self.sink(to_bucket, to_name, row.size, facts, condition)
            try:
                sink.copy_from(fd, len(old_block), row.size)
                return sink.commit()
            except BaseException:
                sink.abort()
                raise
        finally:
            os.close(fd)

    def _apply_block(self, file: str) -> None:
        """Write the block that waits in the catalogue into its file."""
        with self._files.changing(file) as fd:
            with translated():
                waiting = self._catalogue.reading.execute(
                    "SELECT block FROM blocks WHERE file = ?", (file,)
                ).fetchone()
            if waiting is None:
                return
            if fd is not None:
                overwrite_block(fd, waiting[0])

            def act(db: sqlite3.Connection) -> None:
                # Only this one: a newer one may wait by now.
                db.execute("DELETE FROM blocks WHERE file = ? AND block = ?", (file, waiting[0]))

            self._catalogue.write(act)

    def repair(self) -> None:
        """Write every block that a crash or a failing disk kept out of its file."""
        with translated():
            files = self._catalogue.reading.execute("SELECT file FROM blocks").fetchall()
        for (file,) in files:
            self._apply_block(file)

    def sweep(self) -> int:
        """Remove data files that no row knows, as crashes leave them; return how many."""

        def known(file: str) -> bool:
            with translated():
                return is_known(self._catalogue.reading, file)

        self.repair()
        with translated_files():
            strays = [file for file in self._files if not known(file)]
        return sum(self._files.remove_if_idle(file, known) for file in strays)


def check_catalogue(path: Path, files: DataFiles) -> None:
    """Make an empty catalogue where there is none.

    Raises:
        Conflict: there are data files already (code HY-3306).
    """
    if not path.exists() and next(iter(files), None) is not None:
        raise Conflict(
            "the file store has data files and no catalogue",
            code="HY-3306",
            effect="The store was not opened, so that nothing is taken for rubbish.",
            next_step="restore catalogue.sqlite3 with its folder, from one backup",
        )
    # SQLite gives its files the mode of the database's.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))


def check_name(name: str) -> None:
    """Return quietly if the store can hold this name.

    Raises:
        Refused: it cannot; says what fits.
    """
    size = len(_encoded(name))
    if not 0 < size <= NAME_BYTES_MAX:
        raise Refused(
            f"this store holds names of 1 to {NAME_BYTES_MAX} bytes, this one has {size}",
            reason="KeyTooLongError" if size else "InvalidArgument",
        )


def _encoded(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise Refused("a name must be valid UTF-8", reason="InvalidArgument") from error
