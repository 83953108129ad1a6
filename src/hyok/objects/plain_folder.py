"""Plaintext files in a folder, under paths that a key can not choose freely.

A key becomes a path where that is safe and free; any other goes to `.hyok-odd-keys/<number>`, and
`opened.jsonl` says which.  No key leads out of the folder, whatever it says.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ODD = ".hyok-odd-keys"
INDEX = "opened.jsonl"
SEGMENT_BYTES_MAX = 240
PATH_BYTES_MAX = 2_000


def path_of(key: str) -> PurePosixPath | None:
    """Return the relative path of a key; None where it cannot be one."""
    segments = key.split("/")
    safe = all(
        segment not in {"", ".", ".."} and len(segment.encode()) <= SEGMENT_BYTES_MAX
        for segment in segments
    )
    hidden = segments[0] in {ODD, INDEX} or "\0" in key or "\\" in key
    if not safe or hidden or len(key.encode()) > PATH_BYTES_MAX:
        return None
    return PurePosixPath(*segments)


class PlainFolder:
    """Takes opened objects."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._odd = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, key: str) -> Path:
        """Return a free file for a key, its folders made."""
        wanted = path_of(key)
        if wanted is not None:
            path = self._folder / wanted
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                wanted = None  # `a` is a file already, and this is `a/b`
            else:
                # A link that somebody left in the folder must not lead out of it.
                inside = path.parent.resolve().is_relative_to(self._folder.resolve())
                if inside and not path.is_dir() and not path.is_symlink():
                    return path
        while True:
            self._odd += 1
            path = self._folder / ODD / f"{self._odd:08d}"
            if not path.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return path

    def relative(self, path: Path) -> str:
        """Return a file's path as the index gives it."""
        return path.relative_to(self._folder).as_posix()


class PlainFile:
    """A sink into one file, which exists under its name only once `keep` is called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{path.name[:200]}.opening")
        descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self.digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._beside.unlink(missing_ok=True)

    def write(self, view: memoryview) -> None:
        """Take all of ``view``."""
        self._file.write(view)
        self.digest.update(view)

    def keep(self) -> None:
        """Give the file its name; every byte of it is proven."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._beside.replace(self._path)
