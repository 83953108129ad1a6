"""The embedded file store: sealed files in a folder, found through a catalogue.

A put is: fill a data file under a lock, flush it, commit its row, remove the file it replaced.  At
every instruction of that the name shows the old object or the new one, whole, and `sweep` removes
what a crash left.  Conditions are decided inside the row's transaction, so they hold between
threads and worker processes alike.

A new envelope goes into the catalogue first (durable, and the moment it counts) and then in place
into the file: until that write is flushed readers take the catalogue's copy, and opening the store
repeats the write.  Readers that are under way keep the file they opened, also when it is replaced.

Nothing in clear is kept: a store of this kind has `keeps_metadata` False.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from hyok.backends import catalogue_listing
from hyok.backends.catalogue import (
    Catalogue,
    ObjectRow,
    bucket_id,
    check_condition,
    find,
    is_known,
    store_row,
    translated,
)
from hyok.backends.data_files import (
    DIRECTORY_MODE,
    FILE_MODE,
    DataFiles,
    etag_of,
    overwrite_block,
    translated_files,
)
from hyok.backends.filesystem_bodies import FileSink, FileSource, forget, now_ms, resolve
from hyok.backends.filesystem_upload import Uploads
from hyok.backends.port import (
    ALWAYS,
    WHOLE,
    Condition,
    PartSink,
    Span,
    Stored,
    StoredFacts,
    StoreFeatures,
)
from hyok.envelope.layout import PRODUCTION_SUITES
from hyok.envelope.sealed_file import parse_block, render_block
from hyok.errors import Conflict, Malformed, NotFound, Refused, Tampered, Unavailable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hyok.backends.port import StoredPart, StoredUpload, StoreListing, StoreSink, StoreSource
    from hyok.envelope.layout import Suite

T = TypeVar("T")

NAME_BYTES_MAX = 16_384
"""A key has 1,024 bytes at most; sealed, it grows by a third."""

THREADS = 16
SLOW_THREADS = 4
"""Copies and joins have threads of their own, so that a large one keeps no small read waiting."""

LOOKS_MAX = 100
"""How often a reader looks again when the object changes under its eyes."""

FEATURES = StoreFeatures(
    keeps_metadata=False,
    conditional_put=True,
    conditional_copy=True,
    single_put_bytes_max=1 << 43,  # 8 TiB: half of the largest file of ext4
    part_bytes_min=1,
    part_bytes_max=1 << 43,
)


class FileStore:
    """See the module's docstring; `hyok.backends.port.ObjectStore` says what each method does."""

    features = FEATURES

    def __init__(
        self,
        root: Path,
        *,
        threads: int = THREADS,
        suites: Mapping[int, Suite] = PRODUCTION_SUITES,
    ) -> None:
        """Open the store in ``root``; make it when there is none.  Blocking.

        Raises:
            Conflict: there are data files and no catalogue: see `filesystem_rebuild`.
            Unavailable: the folder cannot be used.
        """
        self._suites = suites
        with translated_files():
            root.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            # One process at a time makes or repairs; the others wait for it to be whole.
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._files = DataFiles(root / "data", suites)
            path = root / "catalogue.sqlite3"
            self._check_catalogue(path)
            self._catalogue = Catalogue(path)
            self._repair()
        finally:
            os.close(lock)
        self._uploads = Uploads(self._catalogue, self._files)
        self._quick = ThreadPoolExecutor(threads, thread_name_prefix="file-store")
        self._slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="file-store-slow")

    def _check_catalogue(self, path: Path) -> None:
        if not path.exists() and next(iter(self._files), None) is not None:
            raise Conflict(
                "the file store has data files and no catalogue",
                code="HY-3306",
                effect="The store was not opened, so that nothing is taken for rubbish.",
                next_step="restore catalogue.sqlite3, or rebuild it from the files",
            )
        # SQLite gives its files the mode of the database's.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))

    async def _run(self, work: Callable[[], T], *, slow: bool = False) -> T:
        pool = self._slow if slow else self._quick
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def check_name(self, name: str) -> None:
        size = len(_encoded(name))
        if not 0 < size <= NAME_BYTES_MAX:
            raise Refused(
                f"this store holds names of 1 to {NAME_BYTES_MAX} bytes, this one has {size}",
                reason="KeyTooLongError" if size else "InvalidArgument",
            )

    # ── objects ──────────────────────────────────────────────────────────────────────────────

    async def put_whole(
        self,
        bucket: str,
        name: str,
        body: bytes | bytearray | memoryview,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> Stored:
        def work() -> Stored:
            sink = self._sink(bucket, name, len(body), facts, condition)
            try:
                sink.write(memoryview(body))
                return sink.commit()
            except BaseException:
                sink.abort()
                raise

        return await self._run(work)

    async def put(
        self,
        bucket: str,
        name: str,
        size: int,
        facts: StoredFacts,
        condition: Condition = ALWAYS,
    ) -> StoreSink:
        return await self._run(partial(self._sink, bucket, name, size, facts, condition))

    def _sink(
        self, bucket: str, name: str, size: int, facts: StoredFacts, condition: Condition
    ) -> FileSink:
        self.check_name(name)
        block = self._block(facts)
        with translated():
            # Asked now to save the body's way; decided again when the row is written.
            check_condition(find(self._catalogue.reading, bucket, name), condition)
        writer = self._files.create(len(block), size)
        return FileSink(self._catalogue, self._files, writer, bucket, name, block, condition, facts)

    def _block(self, facts: StoredFacts) -> bytes:
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

    def _source(self, bucket: str, name: str, span: Span, if_match: str) -> FileSource:
        row, fd, block = self._look(bucket, name)
        try:
            check_condition(row, Condition(if_match=if_match))
            start, stop = resolve(span, row.size)
            return FileSource(self._told(row, block), fd, len(block) + start, len(block) + stop)
        except BaseException:
            os.close(fd)
            raise

    async def head(self, bucket: str, name: str) -> Stored:
        def work() -> Stored:
            row, fd, block = self._look(bucket, name)
            os.close(fd)
            return self._told(row, block)

        return await self._run(work)

    async def read_whole(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> tuple[Stored, bytes]:
        def work() -> tuple[Stored, bytes]:
            source = self._source(bucket, name, span, if_match)
            try:
                return source.stored, source.read_all()
            finally:
                source.close()

        return await self._run(work)

    async def read(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = ""
    ) -> StoreSource:
        return await self._run(partial(self._source, bucket, name, span, if_match))

    async def delete(self, bucket: str, name: str, condition: Condition = ALWAYS) -> None:
        def act(db: sqlite3.Connection) -> str | None:
            row = find(db, bucket, name)
            if row is None:
                return None
            check_condition(row, condition)
            forget(db, row)
            return row.file

        def work() -> None:
            with translated():
                # Deletes of what is not there are common and cost no commit.
                if find(self._catalogue.reading, bucket, name) is None:
                    return
            file = self._catalogue.write(act)
            if file is not None:
                self._files.remove(file)

        await self._run(work)

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        delimiter: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> StoreListing:
        def work() -> StoreListing:
            with translated():
                db = self._catalogue.reading
                return catalogue_listing.page(
                    db, bucket_id(db, bucket), prefix, delimiter, after, limit
                )

        return await self._run(work)

    async def replace_facts(
        self, bucket: str, name: str, facts: StoredFacts, if_match: str
    ) -> Stored:
        block = self._block(facts)

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

        def work() -> Stored:
            row = self._catalogue.write(act)
            # It counts already.  If the write in place fails, the next opening repeats it.
            with suppress(Unavailable):
                self._apply_block(row.file)
            return self._told(row, block)

        return await self._run(work)

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

    def _repair(self) -> None:
        with translated():
            files = self._catalogue.reading.execute("SELECT file FROM blocks").fetchall()
        for (file,) in files:
            self._apply_block(file)

    async def copy(
        self,
        bucket: str,
        name: str,
        to_bucket: str,
        to_name: str,
        facts: StoredFacts,
        if_match: str,
        condition: Condition = ALWAYS,
    ) -> Stored:
        def work() -> Stored:
            row, fd, old_block = self._look(bucket, name)
            try:
                check_condition(row, Condition(if_match=if_match))
                sink = self._sink(to_bucket, to_name, row.size, facts, condition)
                try:
                    sink.copy_from(fd, len(old_block), row.size)
                    return sink.commit()
                except BaseException:
                    sink.abort()
                    raise
            finally:
                os.close(fd)

        return await self._run(work, slow=True)

    # ── uploads ──────────────────────────────────────────────────────────────────────────────

    async def begin_upload(self, bucket: str, name: str, facts: StoredFacts) -> str:
        self.check_name(name)
        self._block(facts)
        return await self._run(partial(self._uploads.begin, bucket, name, facts.envelope, now_ms()))

    async def put_part_whole(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        number: int,
        body: bytes | bytearray | memoryview,
    ) -> StoredPart:
        def work() -> StoredPart:
            sink = self._uploads.part(bucket, name, upload_id, number, len(body), now_ms)
            try:
                sink.write(memoryview(body))
                return sink.commit()
            except BaseException:
                sink.abort()
                raise

        return await self._run(work)

    async def put_part(
        self, bucket: str, name: str, upload_id: str, number: int, size: int
    ) -> PartSink:
        return await self._run(
            partial(self._uploads.part, bucket, name, upload_id, number, size, now_ms)
        )

    async def list_parts(
        self, bucket: str, name: str, upload_id: str, after: int = 0, limit: int = 1000
    ) -> Sequence[StoredPart]:
        return await self._run(partial(self._uploads.parts, bucket, name, upload_id, after, limit))

    async def complete_upload(
        self,
        bucket: str,
        name: str,
        upload_id: str,
        parts: Sequence[StoredPart],
        condition: Condition = ALWAYS,
    ) -> Stored:
        def work() -> Stored:
            joining = self._uploads.check(bucket, name, upload_id, parts)
            facts = StoredFacts(joining.envelope)
            sink = self._sink(bucket, name, joining.size, facts, condition)
            try:
                for part in joining.parts:
                    sink.copy_whole(part.file, part.size)
                return sink.commit(lambda db: self._uploads.finish(db, upload_id, joining))
            except BaseException:
                sink.abort()
                raise

        return await self._run(work, slow=True)

    async def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        await self._run(partial(self._uploads.abort, bucket, name, upload_id))

    async def list_uploads(
        self, bucket: str, prefix: str = "", limit: int = 1000
    ) -> Sequence[StoredUpload]:
        return await self._run(partial(self._uploads.open_ones, bucket, prefix, limit))

    # ── buckets and the store ────────────────────────────────────────────────────────────────

    async def create_bucket(self, bucket: str) -> None:
        def act(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR IGNORE INTO buckets (name, created_ms) VALUES (?, ?)", (bucket, now_ms())
            )

        await self._run(partial(self._catalogue.write, act))

    async def delete_bucket(self, bucket: str) -> None:
        def act(db: sqlite3.Connection) -> list[str]:
            number = bucket_id(db, bucket)
            filled = "SELECT EXISTS (SELECT 1 FROM objects WHERE bucket = ?)"
            if db.execute(filled, (number,)).fetchone()[0]:
                raise Conflict("the bucket is not empty", reason="BucketNotEmpty")
            files = self._uploads.forget_all(db, number)
            db.execute("DELETE FROM buckets WHERE id = ?", (number,))
            return files

        def work() -> None:
            self._files.remove(*self._catalogue.write(act))

        await self._run(work)

    async def has_bucket(self, bucket: str) -> bool:
        def work() -> bool:
            with translated(), suppress(NotFound):
                bucket_id(self._catalogue.reading, bucket)
                return True
            return False

        return await self._run(work)

    async def list_buckets(self) -> Sequence[str]:
        def work() -> list[str]:
            with translated():
                rows = self._catalogue.reading.execute("SELECT name FROM buckets ORDER BY name")
                return [str(row[0]) for row in rows]

        return await self._run(work)

    async def sweep(self) -> int:
        def known(file: str) -> bool:
            with translated():
                return is_known(self._catalogue.reading, file)

        def work() -> int:
            self._repair()
            with translated_files():
                strays = [file for file in self._files if not known(file)]
            return sum(self._files.remove_if_idle(file, known) for file in strays)

        return await self._run(work, slow=True)

    async def close(self) -> None:
        def work() -> None:
            self._quick.shutdown()
            self._slow.shutdown()
            self._catalogue.close()

        await asyncio.to_thread(work)


def _encoded(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise Refused("a name must be valid UTF-8", reason="InvalidArgument") from error
