"""Bodies on their way into and out of the file store.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from hyok.backends import catalogue_versions as versions
from hyok.backends import object_lock
from hyok.backends.catalogue import ObjectRow, bucket_row, check_condition, find
from hyok.backends.data_files import etag_of, translated_files
from hyok.backends.port import Stored
from hyok.errors import Malformed, NotFound, Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from hyok.backends.catalogue import Catalogue
    from hyok.backends.data_files import DataFiles, FileWriter
    from hyok.backends.port import Condition, Span, StoredFacts

M_co = TypeVar("M_co", covariant=True)


def now_ms() -> int:
    """Return the unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class _Sink(Protocol[M_co]):
    def write(self, view: memoryview) -> None: ...

    def commit(self) -> M_co: ...

    def abort(self) -> None: ...


def write_whole(sink: _Sink[M_co], body: bytes | bytearray | memoryview) -> M_co:
    """Write a body that is held whole; return what `commit` tells of it."""
    try:
        sink.write(memoryview(body))
        return sink.commit()
    except BaseException:
        sink.abort()
        raise


class FileSink:
    """Fills a data file and then names it in the catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        files: DataFiles,
        writer: FileWriter,
        bucket: str,
        name: str,
        block: bytes,
        condition: Condition,
        facts: StoredFacts,
        clock_ms: Callable[[], int],
    ) -> None:
        self._catalogue = catalogue
        self._files = files
        self._writer = writer
        self._bucket = bucket
        self._name = name
        self._block = block
        self._condition = condition
        self._facts = facts
        self._clock_ms = clock_ms

    def write(self, view: memoryview) -> None:
        self._writer.write(view)

    def copy_from(self, source: int, start: int, length: int) -> None:
        """Append bytes of another open file."""
        self._writer.copy_from(source, start, length)

    def copy_whole(self, file: str, length: int) -> None:
        """Append all of another data file."""
        fd = self._files.open(file)
        if fd is None:
            raise NotFound("the upload is over", reason="NoSuchUpload")
        try:
            self._writer.copy_from(fd, 0, length)
        finally:
            os.close(fd)

    def commit(self, also: Callable[[sqlite3.Connection], Sequence[str]] = lambda _: ()) -> Stored:
        """As the port says; ``also`` runs in the same transaction and returns files to remove."""
        self._writer.name(self._bucket, self._name)
        self._writer.finish(self._block)
        written_ms = self._clock_ms()

        def act(db: sqlite3.Connection) -> tuple[ObjectRow, list[str]]:
            at = bucket_row(db, self._bucket)
            old = find(db, self._bucket, self._name)
            check_condition(old, self._condition)
            over = list(also(db))
            row = ObjectRow(
                bucket=at.id,
                name=self._name,
                file=self._writer.file,
                sealed=bool(self._block),
                size=self._writer.size,
                etag=etag_of(self._writer.file, self._block),
                modified_ms=written_ms,
                tag_count=len(self._facts.tags),
                lock=object_lock.first(self._facts.lock, at.lock, written_ms),
            )
            row, replaced = versions.put_on_top(db, self._bucket, at, row, old)
            versions.set_tags(db, row.file, self._facts.tags)
            versions.set_lock(db, row.file, row.lock)
            return row, over + replaced

        try:
            row, over = self._catalogue.write(act)
        except Unavailable:
            # Whether the row is durable is not known: removing the file could lose the object.
            # Without a row it is a stray, and the sweep's.
            self._writer.release()
            raise
        except BaseException:
            self._writer.discard()
            raise
        # From here on the object exists, whatever happens to this thread.
        self._writer.release()
        self._files.remove(*over)
        return told(row, self._facts)

    def abort(self) -> None:
        self._writer.discard()


class FileSource:
    """Reads a span of one open data file; a replaced object is still read to its end."""

    def __init__(self, stored: Stored, fd: int, start: int, stop: int) -> None:
        self.stored = stored
        self._fd = fd
        self._at = start
        self._stop = stop
        # A descriptor closed during a read could be given out again and yield foreign bytes.
        self._guard = threading.Lock()

    def read_into(self, buffer: memoryview) -> int:
        room = buffer[: self._stop - self._at]
        if not len(room):
            return 0
        with self._guard, translated_files():
            if self._fd < 0:
                raise Unavailable("the read was given up")
            count = os.preadv(self._fd, [room], self._at)
        if count == 0:
            raise Unavailable("a stored file is shorter than its entry", code="HY-3305")
        self._at += count
        return count

    def read_all(self) -> bytes:
        """Return what is left."""
        room = memoryview(bytearray(self._stop - self._at))
        done = 0
        while count := self.read_into(room[done:]):
            done += count
        return bytes(room)

    def close(self) -> None:
        with self._guard, suppress(OSError):
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def resolve(span: Span, size: int) -> tuple[int, int]:
    """Return the bounds of a span in a body of ``size`` bytes.

    Raises:
        Malformed: it begins at or behind the end of a body that is not empty.
    """
    if span.suffix:
        return max(0, size - span.suffix), size
    stop = size if span.stop is None else min(span.stop, size)
    if span.start > max(0, size - 1) or stop < span.start:
        raise Malformed("the range lies outside the object", reason="InvalidRange")
    return span.start, stop


def told(row: ObjectRow, facts: StoredFacts) -> Stored:
    """Return a version as the port tells it."""
    return Stored(
        name=row.name,
        etag=row.etag,
        size=row.size,
        modified_ms=row.modified_ms,
        facts=replace(facts, lock=row.lock),
        version_id=row.version_id,
        tag_count=row.tag_count,
    )
