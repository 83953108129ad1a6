"""Taking the checksum of plaintext while it is sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyok.s3.checksums import Checksum
    from hyok.vocabulary import Source


class Summed:
    """A `Source` that takes the checksum of what goes through it."""

    __slots__ = ("_checksum", "_source")

    def __init__(self, source: Source, checksum: Checksum) -> None:
        self._source = source
        self._checksum = checksum

    def read_into(self, buffer: memoryview) -> int:
        count = self._source.read_into(buffer)
        self._checksum.update(buffer[:count])
        return count
