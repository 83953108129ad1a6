"""The folder that `hyok export` writes: sealed files, keyring records, a sealed manifest.

    export.json           version and id, in clear
    objects/0000/00000001 sealed files (docs/format.md, section 17)
    keyring/<ik_id hex>   the records that they name
    manifest/000001       pages of up to 1,000 objects, sealed under the installation's own key

The manifest is sealed because it holds what the files hide: names, sizes and digests of plaintexts.
Its last page says that it is the last, so a folder that was cut short is known as such.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from hyok.backends.port import WHOLE, Span, Stored, StoredFacts
from hyok.envelope.sealed_file import FILE_BLOCK_BYTES, parse_block
from hyok.errors import Malformed, NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

VERSION = 1
PAGE_OBJECTS = 1_000
FOLDER_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class Exported:
    """One object of the manifest.  ``sha256``: of the plaintext, in hex."""

    file: str
    key: str
    stored_name: str
    size: int
    sha256: str
    classification: str
    modified_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)
    user_metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the manifest.  ``registration``: as `hyok.objects.registration` renders it."""

    registration: str
    objects: tuple[Exported, ...]
    last: bool

    def render(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @staticmethod
    def parse(raw: bytes) -> Page:
        """Return the page of these bytes.

        Raises:
            Malformed: they are none.
        """
        try:
            found: dict[str, Any] = json.loads(raw)
            objects = tuple(Exported(**row) for row in found["objects"])
            return Page(str(found["registration"]), objects, bool(found["last"]))
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed("a page of the manifest is not readable", code="HY-3506") from error


def purpose(export_id: str, number: int) -> str:
    """Return what a page is sealed for, so that no page stands in another's place."""
    return f"export {export_id} page {number}"


def object_file(number: int) -> str:
    """Return the file of the object with this number, from 1."""
    return f"objects/{number // FOLDER_OBJECTS:04d}/{number:08d}"


def page_file(number: int) -> str:
    """Return the file of a manifest page, from 1."""
    return f"manifest/{number:06d}"


def record_file(ik_id: bytes) -> str:
    """Return the file of a keyring record."""
    return f"keyring/{ik_id.hex()}"


def write_durably(path: Path, raw: bytes) -> None:
    """Write a file whole and flush it, or leave what was there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def begin(folder: Path, export_id: str) -> None:
    """Make a new export folder."""
    head = {"hyok_export": VERSION, "export_id": export_id}
    write_durably(folder / "export.json", json.dumps(head).encode())


def export_id_of(folder: Path) -> str:
    """Return the id of an export folder.

    Raises:
        Malformed: it is none of this version.
    """
    try:
        head = json.loads((folder / "export.json").read_text())
        if head["hyok_export"] == VERSION:
            return str(head["export_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Malformed(f"{folder} is no export folder", code="HY-3506") from error
    raise Malformed(f"{folder} is an export of another version", code="HY-3506")


class SealedFolder:
    """Reads sealed files as a store would: what `ObjectReader` asks of one, and no more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self, name: str) -> Stored:
        """Return what a sealed file says of itself.

        Raises:
            NotFound: there is no such file.
            Tampered: it is no sealed file.
        """
        path = self._folder / name
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                block = file.read(FILE_BLOCK_BYTES)
        except OSError as error:
            raise NotFound(f"the file {name} of the export is missing") from error
        try:
            envelope = parse_block(block)
        except Malformed as error:
            raise Tampered(f"the file {name} is no sealed file: {error}") from error
        return Stored(name, "0" * 32, size - FILE_BLOCK_BYTES, 0, StoredFacts(envelope))

    async def read_whole(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> tuple[Stored, bytes]:
        """See `hyok.backends.port.ObjectStore`."""
        del bucket, if_match, version_id  # a file has one version
        stored = self.stored(name)
        start, stop = _bounds(span, stored.size)
        with (self._folder / name).open("rb") as file:
            file.seek(FILE_BLOCK_BYTES + start)
            return stored, file.read(stop - start)

    async def tags(self, bucket: str, name: str, version_id: str = "") -> Mapping[str, str]:
        """Return nothing: what changed since an object was written stands in the manifest."""
        del bucket, name, version_id
        return {}

    async def read(
        self,
        bucket: str,
        name: str,
        span: Span = WHOLE,
        if_match: str = "",
        version_id: str = "",
    ) -> SealedFolderSource:
        """See `hyok.backends.port.ObjectStore`."""
        del bucket, if_match, version_id  # a file has one version
        stored = self.stored(name)
        start, stop = _bounds(span, stored.size)
        return SealedFolderSource(stored, self._folder / name, start, stop)


class SealedFolderSource:
    """The bytes of one sealed file."""

    def __init__(self, stored: Stored, path: Path, start: int, stop: int) -> None:
        self.stored = stored
        self._file = path.open("rb")
        self._file.seek(FILE_BLOCK_BYTES + start)
        self._left = stop - start

    def read_into(self, buffer: memoryview) -> int:
        """Fill the front of ``buffer``."""
        count = self._file.readinto(buffer[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _bounds(span: Span, size: int) -> tuple[int, int]:
    if span.suffix:
        return max(0, size - span.suffix), size
    return span.start, size if span.stop is None else min(span.stop, size)
