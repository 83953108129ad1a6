"""The trailer: the manifest that ends an object and commits it.

It names every part with its length and the attempt that counts, and carries the plaintext's
checksums.  Its padding makes the object's length a function of the plaintext's length.

Whatever is wrong with a stored trailer is `Tampered`: none of it came from a client.

Source: docs/format.md, section 6.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hyok.envelope.keys import SALT_BYTES
from hyok.envelope.layout import (
    ENTRY_BYTES,
    FIXED_BYTES,
    HYOK1,
    HYOK1_TEST,
    PARTS_MAX,
    TAG_BYTES,
    layout_of,
)
from hyok.envelope.parts import PART_ID_BYTES, UNBOUND, part_id
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from hyok.envelope.keys import DataKey
    from hyok.envelope.layout import Layout, Suite

FOOTER_BYTES = 16
TAIL_RECORD_BYTES = 120
CHECKSUM_BYTES: tuple[int, ...] = (0, 4, 4, 8, 20, 32, 64)
"""Length of each checksum by the format's number: none, CRC32, CRC32C, CRC64NVME, SHA-1/256/512."""

_MAGIC = b"HYKT"
_FOOTER = struct.Struct(">4sIIB3s")
_TAIL = struct.Struct(">BBBBB3sQ16s16s64sQ")
_ENTRY = struct.Struct(">HHIQ16s")
_TAIL_VERSION = 1
_FLAG_MULTIPART = 1
_FLAG_BOUND = 2
_NONCE = bytes(12)  # the key is used for this one message
_LABEL = b"HYOK1 trailer"
_SUITES = {suite.id: suite for suite in (HYOK1, HYOK1_TEST)}


class Entry(NamedTuple):
    """One part: its number, its plaintext length and the attempt that was kept."""

    part_number: int
    plain_size: int
    part_id: bytes  # 16 zero bytes: not bound to an attempt

    @property
    def bound(self) -> bool:
        """Whether the entry names the one attempt that counts."""
        return self.part_id != UNBOUND


class Trailer(NamedTuple):
    """What a trailer says, in the order of the parts in the object."""

    suite_id: int
    multipart: bool
    entries: tuple[Entry, ...]
    plain_size: int
    object_id: bytes
    md5: bytes  # of the plaintext, or 16 zero bytes
    checksum_algorithm: int  # 0 none, 1 CRC32, 2 CRC32C, 3 CRC64NVME, 4 SHA1, 5 SHA256, 6 SHA512
    checksum_type: int  # 0 full object, 1 composite
    checksum: bytes
    created_ms: int  # unix time, milliseconds

    @property
    def bound(self) -> bool:
        """Whether every entry names its attempt."""
        for entry in self.entries:  # noqa: SIM110 - asked of every object; most have one entry
            if entry.part_id == UNBOUND:
                return False
        return True


class Footer(NamedTuple):
    """The last 16 bytes of an object.  Not proven: only fit to find the trailer by."""

    part_count: int
    trailer_size: int
    suite_id: int


def _check(trailer: Trailer, suite: Suite) -> None:
    """Return quietly if the trailer keeps every rule that does not depend on its bytes.

    Raises:
        Malformed: it does not; reason ``EntityTooSmall`` for a short part before the last, and
            ``InvalidPartOrder`` for part numbers that do not ascend.
    """
    entries = trailer.entries
    if not 1 <= len(entries) <= PARTS_MAX:
        raise Malformed(f"an object has 1 to {PARTS_MAX} parts", reason="InvalidPart")
    last = total = 0
    for entry in entries:
        if not last < entry.part_number <= PARTS_MAX:
            raise Malformed("the part numbers do not ascend", reason="InvalidPartOrder")
        last = entry.part_number
        total += entry.plain_size
    for entry in entries[:-1]:
        if entry.plain_size < suite.min_part_bytes:
            raise Malformed("a part before the last is too small", reason="EntityTooSmall")
    if total != trailer.plain_size:
        raise Malformed("the parts do not add up to the object")
    if not trailer.multipart and (last != 1 or not trailer.bound):
        raise Malformed("a single upload is part 1 alone, bound to its header")
    algorithm = trailer.checksum_algorithm
    if not 0 <= algorithm < len(CHECKSUM_BYTES) or trailer.checksum_type not in (0, 1):
        raise Malformed("the checksum's kind is not known")
    if len(trailer.checksum) != CHECKSUM_BYTES[algorithm]:
        raise Malformed("the checksum has the wrong length")


def _footer(part_count: int, trailer_size: int, suite_id: int) -> bytes:
    return _FOOTER.pack(_MAGIC, part_count, trailer_size, suite_id, bytes(3))


def seal_trailer(trailer: Trailer, data_key: DataKey, salt: bytes) -> bytes:
    """Return the bytes that follow the last part.  ``salt``: 16 fresh random bytes.

    Raises:
        Malformed: the parts do not make an object.
    """
    suite = _SUITES[trailer.suite_id]
    _check(trailer, suite)
    if len(trailer.object_id) != 16 or len(trailer.md5) != 16:  # struct would pad or cut
        raise Malformed("object_id and md5 are 16 bytes")
    entries, sizes = [], []
    for entry in trailer.entries:
        if len(entry.part_id) != PART_ID_BYTES:
            raise Malformed("a part_id is 16 bytes")
        sizes.append(entry.plain_size)
        entries.append(_ENTRY.pack(entry.part_number, 0, 0, entry.plain_size, entry.part_id))
    size = layout_of(suite).trailer_size(trailer.plain_size, sizes)
    tail = _TAIL.pack(
        _TAIL_VERSION,
        trailer.multipart * _FLAG_MULTIPART | trailer.bound * _FLAG_BOUND,
        trailer.checksum_algorithm,
        trailer.checksum_type,
        len(trailer.checksum),
        bytes(3),
        trailer.plain_size,
        trailer.object_id,
        trailer.md5,
        trailer.checksum,
        trailer.created_ms,
    )
    body = (tail + b"".join(entries)).ljust(size - SALT_BYTES - TAG_BYTES - FOOTER_BYTES, b"\0")
    footer = _footer(len(trailer.entries), size, suite.id)
    sealed = AESGCM(data_key.trailer_key(salt)).encrypt(_NONCE, body, _LABEL + footer)
    return salt + sealed + footer


def parse_footer(raw: bytes, sealed_size: int, suite: Suite = HYOK1) -> Footer:
    """Return what the last 16 bytes of an object of ``sealed_size`` bytes claim.

    To be asked before the trailer is read or room for it is made.

    Raises:
        Tampered: no honest trailer looks like this.
    """
    return _judged_footer(raw, sealed_size, suite)[0]


def _judged_footer(raw: bytes, sealed_size: int, suite: Suite) -> tuple[Footer, int]:
    """Return the footer, and the plaintext length of an object that is so long."""
    if len(raw) != FOOTER_BYTES:
        raise Tampered("the object ends too early")
    magic, part_count, trailer_size, suite_id, reserved = _FOOTER.unpack(raw)
    if magic != _MAGIC or any(reserved) or suite_id != suite.id:
        raise Tampered("the object does not end in a trailer")
    if not 1 <= part_count <= PARTS_MAX:
        raise Tampered("the trailer claims an impossible number of parts")
    layout = layout_of(suite)
    plain_size = _plain_size(layout, sealed_size)
    least, most = layout.trailer_bounds(plain_size, part_count)
    if not least <= trailer_size <= most or trailer_size > sealed_size:
        raise Tampered("the trailer claims an impossible length")
    return Footer(part_count, trailer_size, suite_id), plain_size


def _plain_size(layout: Layout, sealed_size: int) -> int:
    try:
        return layout.object_plain_size(sealed_size)
    except Malformed as error:
        raise Tampered("the stored object was cut or padded") from error


def open_trailer(
    raw: bytes,
    data_key: DataKey,
    *,
    sealed_size: int,
    object_id: bytes,
    multipart: bool,
    suite: Suite = HYOK1,
    part_header: bytes | None = None,
) -> Trailer:
    """Return what the trailer says, every check of the format done.

    Args:
        raw: the whole trailer, footer included.
        data_key: of the envelope.
        sealed_size: the stored length of the object.
        object_id: of the envelope.
        multipart: of the envelope.
        suite: of the envelope.
        part_header: of the envelope, where it is not multipart; the entry must name it.

    Raises:
        Tampered: any check failed.
    """
    footer, plain_size = _judged_footer(raw[-FOOTER_BYTES:], sealed_size, suite)
    if footer.trailer_size != len(raw):
        raise Tampered("the trailer has another length than its footer says")
    salt, sealed = raw[:SALT_BYTES], raw[SALT_BYTES:-FOOTER_BYTES]
    try:
        body = AESGCM(data_key.trailer_key(salt)).decrypt(
            _NONCE, sealed, _LABEL + raw[-FOOTER_BYTES:]
        )
    except InvalidTag as error:
        raise Tampered("the trailer failed authentication") from error
    trailer = _parse_body(body, footer)
    if trailer.multipart is not multipart or trailer.object_id != object_id:
        raise Tampered("the trailer belongs to another object")
    try:
        _check(trailer, suite)
    except Malformed as error:
        raise Tampered(f"the trailer breaks a rule: {error}") from error
    sizes = [entry.plain_size for entry in trailer.entries]
    expected = layout_of(suite).trailer_size(plain_size, sizes)
    if trailer.plain_size != plain_size or expected != len(raw):
        raise Tampered("the trailer and the stored length disagree")
    if part_header is not None and trailer.entries[0].part_id != part_id(part_header):
        raise Tampered("the trailer names another attempt than the envelope")
    return trailer


def _parse_body(body: bytes, footer: Footer) -> Trailer:
    (
        version,
        flags,
        algorithm,
        checksum_type,
        checksum_bytes,
        reserved,
        plain_size,
        object_id,
        md5,
        checksum,
        created_ms,
    ) = _TAIL.unpack_from(body)
    entries_stop = TAIL_RECORD_BYTES + ENTRY_BYTES * footer.part_count
    if version != _TAIL_VERSION or any(reserved) or any(body[entries_stop:]):
        raise Tampered("the trailer uses reserved bytes")
    if any(checksum[checksum_bytes:]):
        raise Tampered("the checksum has bytes left over")
    entries = []
    for number, zero, zeros, size, attempt in _ENTRY.iter_unpack(
        body[TAIL_RECORD_BYTES:entries_stop]
    ):
        if zero or zeros:
            raise Tampered("the trailer uses reserved bytes")
        entries.append(Entry(number, size, attempt))
    trailer = Trailer(
        suite_id=footer.suite_id,
        multipart=bool(flags & _FLAG_MULTIPART),
        entries=tuple(entries),
        plain_size=plain_size,
        object_id=object_id,
        md5=md5,
        checksum_algorithm=algorithm,
        checksum_type=checksum_type,
        checksum=checksum[:checksum_bytes],
        created_ms=created_ms,
    )
    if flags != trailer.multipart * _FLAG_MULTIPART | trailer.bound * _FLAG_BOUND:
        raise Tampered("the trailer's flags do not agree with its entries")
    return trailer


assert FIXED_BYTES == SALT_BYTES + TAIL_RECORD_BYTES + TAG_BYTES + FOOTER_BYTES
