"""The sealed file: an object whose envelope stands in front of it.

For stores without object metadata, and for exports.  The first 4096 bytes are the block; parts
and trailer follow as in any other object.

Source: docs/format.md, section 17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.envelope import block as envelope_block
from hyok.envelope.layout import PRODUCTION_SUITES
from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.envelope.layout import Suite

FILE_BLOCK_BYTES = 4_096
_MAGIC = b"HYKC"
_HEAD_BYTES = 8


def render_block(envelope: bytes) -> bytes:
    """Return the first 4096 bytes of the sealed file of this envelope.

    Raises:
        Malformed: the envelope is too long.
    """
    if len(envelope) > envelope_block.ENVELOPE_BYTES_MAX:
        raise Malformed("the envelope is too long", reason="MetadataTooLarge")
    head = _MAGIC + len(envelope).to_bytes(4, "big")
    return (head + envelope).ljust(FILE_BLOCK_BYTES, b"\0")


def parse_block(block: bytes, *, suites: Mapping[int, Suite] = PRODUCTION_SUITES) -> bytes:
    """Return the envelope that stands in the first 4096 bytes of a sealed file.

    Raises:
        Malformed: these are no such bytes, or the envelope does not end where its length says.
    """
    if len(block) != FILE_BLOCK_BYTES or block[:4] != _MAGIC:
        raise Malformed("this is no sealed file")
    stop = _HEAD_BYTES + int.from_bytes(block[4:_HEAD_BYTES], "big")
    if stop > FILE_BLOCK_BYTES or any(block[stop:]):
        raise Malformed("the sealed file's block is damaged")
    envelope = bytes(block[_HEAD_BYTES:stop])
    envelope_block.parse(envelope, suites=suites)
    return envelope
