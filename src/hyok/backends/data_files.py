"""The data files of the file store: made, filled, read, repaired and removed.

A data file has a random name and never changes its body.  A sealed one is format.md §17's: a block
of 4096 bytes with the envelope, then the body.  Whoever fills a file holds a lock on it until the
catalogue names it, so a file that is neither named nor locked is what a crash left.

The ETag is a hash of the file's name and its block: it changes with every write and every new
envelope, says nothing of the plaintext, and shows a reader that block and row belong together.

Source: docs/format.md, section 17; flock(2); copy_file_range(2).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block
from hyok.errors import Malformed, Tampered, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hyok.envelope.layout import Suite

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
NAME_ATTRIBUTE = "user.hyok.object"
RESERVE_BYTES_MIN = 1 << 20
"""From this size the room on the disk is claimed before the body comes."""

COPY_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@contextmanager
def translated_files() -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        raise Unavailable(
            "the file store is full" if full else "the file store's disk did not answer",
            reason="ServiceUnavailable",
            code="HY-3302" if full else "HY-3303",
            effect="Nothing was stored.",
            next_step="make room in the store's directory" if full else "check the store's disk",
        ) from error


def etag_of(file: str, block: bytes) -> str:
    """Return the ETag of a file with this block; plain files have none."""
    return hashlib.blake2b(file.encode() + block, digest_size=16, person=b"hyok etag").hexdigest()


class DataFiles:
    """The folder of data files.  Every method blocks; any thread may call."""

    def __init__(self, root: Path, suites: Mapping[int, Suite]) -> None:
        self._root = root
        self._suites = suites
        with translated_files():
            root.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            for number in range(256):
                (root / f"{number:02x}").mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            _flush_directory(root)

    def path(self, file: str) -> Path:
        """Return where a data file lies."""
        return self._root / file[:2] / file

    def __iter__(self) -> Iterator[str]:
        """Go through the names of every data file."""
        for number in range(256):
            with os.scandir(self._root / f"{number:02x}") as entries:
                yield from [entry.name for entry in entries]

    def create(self, body_at: int, size: int) -> FileWriter:
        """Return a writer of a new file for a body of ``size`` bytes at offset ``body_at``."""
        with translated_files():
            while True:
                file = secrets.token_hex(16)
                path = self.path(file)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_nlink:
                    break
                os.close(fd)  # a sweep came between creation and lock
            writer = FileWriter(path, file, fd, body_at, size)
            try:
                if size >= RESERVE_BYTES_MIN:
                    with suppress_unsupported():
                        os.posix_fallocate(fd, 0, body_at + size)
            except OSError:
                writer.discard()
                raise
            return writer

    def open(self, file: str) -> int | None:
        """Return a descriptor for reading; None when the file is gone: ask the catalogue again."""
        with translated_files():
            try:
                return os.open(self.path(file), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None

    def read_block(self, fd: int, file: str, etag: str) -> bytes | None:
        """Return the file's block; None when it is not the one that ``etag`` was made of."""
        with translated_files():
            block = os.pread(fd, FILE_BLOCK_BYTES, 0)
        return block if etag_of(file, block) == etag else None

    def envelope_of(self, block: bytes) -> bytes:
        """Return the envelope in a block.

        Raises:
            Tampered: the block is damaged.
        """
        try:
            return parse_block(block, suites=self._suites)
        except Malformed as error:
            raise Tampered(
                "a sealed file's block is damaged",
                code="HY-3304",
                effect="The object cannot be read.",
                next_step="restore the file from a backup; the disk or a person changed it",
            ) from error

    @contextmanager
    def changing(self, file: str) -> Iterator[int | None]:
        """Hold the right to change a file's block; give its descriptor, None when it is gone."""
        with translated_files():
            try:
                fd = os.open(self.path(file), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                yield None
                return
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield fd
            finally:
                os.close(fd)

    def remove(self, *files: str) -> None:
        """Unlink files that no row names any more.  What fails here is left for the sweep."""
        for file in files:
            with suppress(OSError):
                self.path(file).unlink()

    def remove_if_idle(self, file: str, is_known: IsKnown) -> bool:
        """Remove a file that nobody fills and no row names; tell whether it was removed."""
        with translated_files():
            try:
                fd = os.open(self.path(file), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Asked again under the lock: its writer may have committed meanwhile.
                if is_known(file):
                    return False
                self.path(file).unlink(missing_ok=True)
                return True
            except BlockingIOError:
                return False
            finally:
                os.close(fd)


class IsKnown(Protocol):
    """Asks the catalogue whether a row names the file."""

    def __call__(self, file: str, /) -> bool: ...


class FileWriter:
    """Fills one new data file.  Blocking; `discard` may come from any thread at any time."""

    def __init__(self, path: Path, file: str, fd: int, body_at: int, size: int) -> None:
        self.file = file
        self.size = size
        self._path = path
        self._fd = fd
        self._body_at = body_at
        self._done = 0
        # A descriptor closed during a write could be given out again and take our bytes.
        self._guard = threading.Lock()

    def write(self, view: memoryview) -> None:
        """Append to the body.

        Raises:
            Malformed: more than was promised; the file is gone.
        """
        view = memoryview(view).cast("B")
        with self._guard, translated_files():
            self._check_open()
            if self._done + len(view) > self.size:
                self._drop()
                raise Malformed("the body is longer than was promised", reason="IncompleteBody")
            while view.nbytes:
                count = os.pwrite(self._fd, view, self._body_at + self._done)
                self._done += count
                view = view[count:]

    def copy_from(self, source: int, start: int, length: int) -> None:
        """Append ``length`` bytes of another file, in the kernel where it can."""
        with self._guard, translated_files():
            self._check_open()
            at = self._body_at + self._done
            _copy(source, start, self._fd, at, length)
            self._done += length

    def finish(self, block: bytes) -> None:
        """Write the block last, and make all of the file durable.

        Raises:
            Malformed: the body is shorter than was promised; the file is gone.
        """
        with self._guard, translated_files():
            self._check_open()
            if self._done != self.size:
                self._drop()
                raise Malformed("the body ended early", reason="IncompleteBody")
            if block:
                _write_all(self._fd, block, 0)
            os.fsync(self._fd)
            _flush_directory(self._path.parent)

    def name(self, bucket: str, name: str) -> None:
        """Note whose body this is beside the bytes, for `rebuild`; some file systems cannot."""
        with self._guard, suppress(OSError):
            self._check_open()
            os.setxattr(self._fd, NAME_ATTRIBUTE, bucket.encode() + b"\0" + name.encode())

    def release(self) -> None:
        """The catalogue names the file now: let go of it."""
        with self._guard:
            self._close()

    def discard(self) -> None:
        """Remove the file.  Never raises; quiet when it was released or removed before."""
        with self._guard:
            self._drop()

    def _check_open(self) -> None:
        if self._fd < 0:
            raise Unavailable("the upload was given up", reason="ServiceUnavailable")

    def _drop(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = -1


def overwrite_block(fd: int, block: bytes) -> None:
    """Write a block in place and make it durable."""
    with translated_files():
        _write_all(fd, block, 0)
        os.fsync(fd)


@contextmanager
def suppress_unsupported() -> Iterator[None]:
    """Pass over what this file system does not know; a full disk is still an error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise


def _copy(source: int, start: int, target: int, at: int, length: int) -> None:
    """Copy between two files, both by position."""
    done = 0
    try:
        while done < length:
            count = os.copy_file_range(source, target, length - done, start + done, at + done)
            if count == 0:
                raise Unavailable("a stored file is shorter than its entry", code="HY-3305")
            done += count
        return
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
    room = memoryview(bytearray(COPY_BYTES))
    while done < length:
        count = os.preadv(source, [room[: length - done]], start + done)
        if count == 0:
            raise Unavailable("a stored file is shorter than its entry", code="HY-3305")
        _write_all(target, room[:count], at + done)
        done += count


def _write_all(fd: int, data: bytes | memoryview, at: int) -> None:
    view = memoryview(data)
    while view.nbytes:
        count = os.pwrite(fd, view, at)
        at += count
        view = view[count:]


def _flush_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
