"""The objects of the file store: a row, a data file and a block that belong together.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hyok.backends.catalogue import ObjectRow, check_condition, find, store_row, translated
from hyok.backends.data_files import etag_of, overwrite_block
from hyok.backends.filesystem_bodies import FileSink, FileSource, forget, resolve
from hyok.backends.port import Condition, Stored, StoredFacts
from hyok.envelope.sealed_file import parse_block, render_block
from hyok.errors import Malformed, NotFound, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

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

    def __init__(self, catalogue: Catalogue, files: DataFiles, suites: Mapping[int, Suite]) -> None:
        self._catalogue = catalogue
        self._files = files
        self._suites = suites

    def sink(
        self, bucket: str, name: str, size: int, facts: StoredFacts, condition: Condition
    ) -> FileSink:
        """Return a sink that makes an object of ``size`` bytes."""
        check_name(name)
        block = self.block(facts)
        with translated():
            # Asked now to save the body's way; decided again when the row is written.
            check_condition(find(self._catalogue.reading, bucket, name), condition)
        writer = self._files.create(len(block), size)
        return FileSink(self._catalogue, self._files, writer, bucket, name, block, condition, facts)

    def block(self, facts: StoredFacts) -> bytes:
        """Return the block of these facts; empty where there is no envelope.

        Raises:
            Malformed: facts in clear, or no envelope in these bytes.
        """
        if facts.clear or facts.user_metadata or facts.tags:
            raise Malformed("this store keeps no metadata in clear")
        if not facts.envelope:
            return b""
        block = render_block(facts.envelope)
        parse_block(block, suites=self._suites)
        return block

    def _look(self, bucket: str, name: str) -> tuple[ObjectRow, int, bytes]:
        """Return row, open file and block that belong together."""
        for _ in range(LOOKS_MAX):
            with translated():
                row = find(self._catalogue.reading, bucket, name)
            if row is None:
                raise NotFound("the object does not exist", reason="NoSuchKey")
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
        envelope = self._files.envelope_of(block) if block else b""
        return Stored(row.name, row.etag, row.size, row.modified_ms, StoredFacts(envelope))

    def source(self, bucket: str, name: str, span: Span, if_match: str) -> FileSource:
        """Return the bytes of a span, of the object as it is now."""
        row, fd, block = self._look(bucket, name)
        try:
            check_condition(row, Condition(if_match=if_match))
            start, stop = resolve(span, row.size)
            return FileSource(self._told(row, block), fd, len(block) + start, len(block) + stop)
        except BaseException:
            os.close(fd)
            raise

    def head(self, bucket: str, name: str) -> Stored:
        """Return the object as it is now."""
        row, fd, block = self._look(bucket, name)
        os.close(fd)
        return self._told(row, block)

    def delete(self, bucket: str, name: str, condition: Condition) -> None:
        """Remove; quiet when there is nothing."""

        def act(db: sqlite3.Connection) -> str | None:
            row = find(db, bucket, name)
            if row is None:
                return None
            check_condition(row, condition)
            forget(db, row)
            return row.file

        with translated():
            # Deletes of what is not there are common and cost no commit.
            if find(self._catalogue.reading, bucket, name) is None:
                return
        file = self._catalogue.write(act)
        if file is not None:
            self._files.remove(file)

    def replace_facts(self, bucket: str, name: str, facts: StoredFacts, if_match: str) -> Stored:
        """As the port says."""
        block = self.block(facts)

        def act(db: sqlite3.Connection) -> ObjectRow:
            row = find(db, bucket, name)
            if row is None:
                raise NotFound("the object does not exist", reason="NoSuchKey")
            check_condition(row, Condition(if_match=if_match))
            if row.sealed is not bool(block):
                raise Malformed("a sealed object needs an envelope, and a plain one takes none")
            if block:
                row = replace(row, etag=etag_of(row.file, block))
                store_row(db, row)
                db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?)", (row.file, block))
            return row

        row = self._catalogue.write(act)
        # It counts already.  If the write in place fails, the next opening repeats it.
        with suppress(Unavailable):
            self._apply_block(row.file)
        return self._told(row, block)

    def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition,
    ) -> Stored:
        """As the port says."""
        row, fd, old_block = self._look(bucket, name)
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
