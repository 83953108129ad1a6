"""The backup file: a copy of the database, sealed whole under the installation's own key.

The database holds names in clear (of uploads in progress, of apps and buckets), so its backup is
sealed before it goes to other people's disks.  Bringing it back takes the HSM, which everything in
it needs anyway.

    4   "HYKB"
    1   version: 1, or 2 and 3 where custodians hold the key together
    16  backup id, random
    8   unix time in milliseconds
    8   length of the database in bytes
    2   length of the next field
    n   the file's own key, sealed by the installation's HSM, or to custodians (versions 2 and 3);
        bound to all fields above
    …   one part of docs/format.md, section 4 (suite 1, part number 1) under that key
    …   version 3: to the end, who made it: a signature over the SHA-256 of all bytes above

The length is bound with the key, so a file that was cut, lengthened or put together from two is
refused, and nothing that was not verified is ever used as a database.  That the HSM sealed the key
shows where a file of version 1 comes from; anyone can seal to custodians, so these are signed.
Version 2 is that of releases that did not.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from hyok.envelope.keys import DataKey
from hyok.envelope.layout import HEADER_BYTES, HYOK1, Layout
from hyok.envelope.parts import (
    NONCE_PREFIX_BYTES,
    PART_SALT_BYTES,
    PartOpener,
    PartSealer,
    part_header,
)
from hyok.errors import Conflict, Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

BY_HSM, BY_CUSTODIANS, BY_CUSTODIANS_SIGNED = 1, 2, 3
SHARE_IS_WRONG = "HY-2431"
"""The code of a box that can tell which of several shares is not genuine."""

SEALED_KEY_BYTES_MAX = {BY_HSM: 4_096, BY_CUSTODIANS: 32_768, BY_CUSTODIANS_SIGNED: 32_768}
SIGNATURE_BYTES_MAX = 16_384
DATABASE_BYTES_MAX = 1 << 40

_MAGIC = b"HYKB"
_HEAD = struct.Struct(">4sB16sQQH")
_PART = 1
_PIECE_BYTES = 1 << 20


class SecretBox(Protocol):
    """Seals small secrets under a KEK of the HSM; filled by custody."""

    async def seal(self, purpose: str, plain: bytes) -> bytes: ...

    async def open(self, purpose: str, sealed: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class BackupHead:
    """What the file says of itself; proven once its key was opened."""

    backup_id: bytes
    made_ms: int
    size_bytes: int
    version: int = BY_HSM

    @property
    def by_custodians(self) -> bool:
        """Do custodians hold its key together?"""
        return self.version != BY_HSM

    @property
    def purpose(self) -> str:
        """What the file's key is sealed for."""
        return f"backup {self.version} {self.backup_id.hex()} {self.made_ms} {self.size_bytes}"

    def render(self, sealed_key: bytes) -> bytes:
        """Return the bytes in front of the part."""
        return (
            _HEAD.pack(
                _MAGIC, self.version, self.backup_id, self.made_ms, self.size_bytes, len(sealed_key)
            )
            + sealed_key
        )


async def seal_copy(
    plain: Path,
    target: Path,
    box: SecretBox,
    entropy: Callable[[int], bytes],
    now_ms: int,
    version: int = BY_HSM,
    sign: Callable[[BackupHead, bytes], Awaitable[bytes]] | None = None,
) -> int:
    """Seal the database file ``plain`` as ``target``; return its bytes.  Durable on return.

    ``version`` says what kind of ``box`` it is: the HSM's, or the custodians'.  ``sign`` returns
    what shows who made a file with this head and SHA-256; for version 3, and for no other.

    Raises:
        Conflict: ``target`` is there already.
        Unavailable: the HSM did not answer, or the installation has no key of its own yet.
    """
    assert (sign is not None) is (version == BY_CUSTODIANS_SIGNED)
    size = await asyncio.to_thread(_size, plain, target)
    head = BackupHead(entropy(16), now_ms, size, version)
    key = DataKey(entropy(32))
    try:
        front = head.render(await box.seal(head.purpose, key.reveal()))
        salted = part_header(entropy(PART_SALT_BYTES), entropy(NONCE_PREFIX_BYTES))
        beside = target.with_name(target.name + ".part")
        try:
            made = await asyncio.to_thread(_write, key, front, salted, plain, beside, size)
            signature = await sign(head, made) if sign is not None else b""
            return await asyncio.to_thread(_finish, beside, target, signature)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    finally:
        key.close()


def read_signature(sealed: Path) -> tuple[bytes, bytes]:
    """Return the SHA-256 that a file of version 3 has, and what is to be a signature over it.

    Raises:
        Malformed: it is missing, or no backup of a version that we know (HY-3103).
        Tampered: it is cut (HY-2402).
    """
    head, _, at = _parse(sealed)
    end = at + Layout(HYOK1).part_sealed_size(head.size_bytes)
    digest = hashlib.sha256()
    with sealed.open("rb") as source:
        while end:
            piece = source.read(min(end, _PIECE_BYTES))
            if not piece:
                raise _tampered(sealed)
            digest.update(piece)
            end -= len(piece)
        return digest.digest(), source.read(SIGNATURE_BYTES_MAX)


def read_head(sealed: Path) -> tuple[BackupHead, bytes]:
    """Return what a backup says of itself, and its sealed key; nothing of it is proven.

    Raises:
        Malformed: it is missing, or no backup of a version that we know (HY-3103).
        Tampered: it is cut (HY-2402).
    """
    head, sealed_key, _ = _parse(sealed)
    return head, sealed_key


async def open_copy(sealed: Path, target: Path, box: SecretBox) -> BackupHead:
    """Write the database of the backup ``sealed`` to ``target``; return what the backup says.

    ``target`` is whole and verified on return, and is not there after any failure.

    Raises:
        Malformed: ``sealed`` is missing, or no backup of a version that we know (HY-3103).
        Tampered: it was changed, cut or lengthened, or another installation's (HY-2402).
        Unavailable: the HSM did not answer.
    """
    head, sealed_key, at = await asyncio.to_thread(_parse, sealed)
    try:
        key = DataKey(await box.open(head.purpose, sealed_key))
    except Tampered as error:
        if error.code == SHARE_IS_WRONG:
            raise  # it names whose
        raise _tampered(sealed) from error
    try:
        signed = head.version == BY_CUSTODIANS_SIGNED
        await asyncio.to_thread(_read, key, sealed, at, target, head.size_bytes, signed=signed)
    except (Tampered, Malformed) as error:
        raise _tampered(sealed) from error
    finally:
        key.close()
    return head


def _size(plain: Path, target: Path) -> int:
    if target.exists():
        raise Conflict(f"{target} is there already", effect="Nothing was overwritten.")
    return plain.stat().st_size


def _parse(path: Path) -> tuple[BackupHead, bytes, int]:
    """Return what the file says of itself, its sealed key, and where the part begins."""
    try:
        with path.open("rb") as source:
            raw = source.read(_HEAD.size)
            sealed_key = source.read(max(SEALED_KEY_BYTES_MAX.values()))
    except OSError as error:
        raise Malformed(
            f"the backup {path} cannot be read: {error.strerror}", code="HY-3103"
        ) from error
    if len(raw) < _HEAD.size or raw[:4] != _MAGIC:
        raise Malformed(f"{path} is no backup of hyok", code="HY-3103")
    _, version, backup_id, made_ms, size, key_bytes = _HEAD.unpack(raw)
    if version not in SEALED_KEY_BYTES_MAX:
        raise Malformed(
            f"{path} is a backup of version {version}",
            code="HY-3103",
            next_step="restore it with the release of hyok that made it, or a newer one",
        )
    if key_bytes > SEALED_KEY_BYTES_MAX[version] or size > DATABASE_BYTES_MAX:
        raise _tampered(path)
    head = BackupHead(backup_id, made_ms, size, version)
    return head, sealed_key[:key_bytes], _HEAD.size + key_bytes


def _write(
    key: DataKey, front: bytes, salted: bytes, plain: Path, beside: Path, size: int
) -> bytes:
    """Write everything but the signature; return its SHA-256."""
    with plain.open("rb") as source, _private(beside) as sink:
        sink.write(front + salted)
        _seal(PartSealer(key, HYOK1, _PART, salted), source, sink, size)
    with beside.open("rb") as made:
        return hashlib.file_digest(made, "sha256").digest()


def _finish(beside: Path, target: Path, signature: bytes) -> int:
    with beside.open("ab") as sink:
        sink.write(signature)
        sink.flush()
        os.fsync(sink.fileno())
    beside.rename(target)
    return target.stat().st_size


def _read(key: DataKey, sealed: Path, at: int, target: Path, size: int, *, signed: bool) -> None:
    try:
        with sealed.open("rb") as source, _private(target) as sink:
            source.seek(at)
            _open(key, source, sink, size, signed=signed)
            sink.flush()
            os.fsync(sink.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _seal(sealer: PartSealer, source: BinaryIO, sink: BinaryIO, size: int) -> None:
    """Seal exactly ``size`` bytes: as many as the head promises."""
    plain = memoryview(bytearray(HYOK1.segment_plain_bytes))
    out = memoryview(bytearray(HYOK1.segment_bytes))
    index, left = 0, size
    while True:
        want = min(left, sealer.segment_plain_bytes(index))
        count = source.readinto(plain[:want])  # type: ignore[attr-defined]  # a buffered file
        if count != want:
            raise Conflict("the copy of the database changed while it was sealed")
        left -= count
        sink.write(out[: sealer.seal_into(plain[:count], out, last=left == 0)])
        index += 1
        if left == 0:
            return


def _open(key: DataKey, source: BinaryIO, sink: BinaryIO, size: int, *, signed: bool) -> None:
    header = source.read(HEADER_BYTES)
    opener = PartOpener(key, HYOK1, _PART, header, size)
    left = Layout(HYOK1).part_sealed_size(size) - HEADER_BYTES
    out = memoryview(bytearray(HYOK1.segment_plain_bytes))
    for index in range(opener.segment_count):
        piece = source.read(min(left, _sealed_bytes(opener, index)))
        left -= len(piece)
        sink.write(out[: opener.open_into(index, memoryview(piece), out)])
    if not signed and source.read(1):
        raise Tampered("something follows the last segment")


def _sealed_bytes(opener: PartOpener, index: int) -> int:
    start, stop = opener.sealed_span(index)
    return stop - start


def _private(path: Path) -> BinaryIO:
    """Return a new file, open for writing, that nobody else may read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _tampered(path: Path) -> Tampered:
    return Tampered(
        f"the backup {path} is not genuine: it was changed or cut, or is another installation's",
        code="HY-2402",
        effect="Nothing was restored.",
        next_step="take another backup; ask who could write to this one",
    )
