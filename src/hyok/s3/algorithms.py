"""The checksum algorithms of S3: running values, and how a value is written.

Source: Amazon S3 User Guide, "Checking object integrity".  The
numbers of the algorithms are those of format.md section 6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from isal import isal_zlib

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from awscrt import checksums as crt

PREFIX = "x-amz-checksum-"


_NOT_IN_THE_FORMAT = 100


class Algorithm(IntEnum):
    """The algorithms, by their number in the format; those above 99 have none there.

    What has no number can be verified on its way in, and can be neither kept nor given back.
    """

    CRC32 = 1
    CRC32C = 2
    CRC64NVME = 3
    SHA1 = 4
    SHA256 = 5
    SHA512 = 6
    MD5 = 101
    XXHASH64 = 102
    XXHASH3 = 103
    XXHASH128 = 104

    @property
    def kept(self) -> bool:
        """Has the format a number for it, so that the value can stand beside the object?"""
        return self._value_ < _NOT_IN_THE_FORMAT

    @property
    def header(self) -> str:
        """The header and trailer that carries the value."""
        return _HEADERS[self._value_]

    @property
    def element(self) -> str:
        """The XML element that carries the value."""
        return "Checksum" + self.name

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return _SIZES[self._value_]


# By number: to look up a member of an enumeration costs a call in Python.
_HEADERS = {int(algorithm): PREFIX + algorithm.name.lower() for algorithm in Algorithm}
_SIZES = {1: 4, 2: 4, 3: 8, 4: 20, 5: 32, 6: 64, 101: 16, 102: 8, 103: 8, 104: 16}
KNOWN: Mapping[str, Algorithm] = {algorithm.name: algorithm for algorithm in Algorithm}
"""Every algorithm that can be verified, by name."""

ALGORITHMS: Mapping[str, Algorithm] = {name: known for name, known in KNOWN.items() if known.kept}
"""Those that can be kept, by name."""

UNSUPPORTED = (
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
    f"[{', '.join(ALGORITHMS)}]"
)


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class _XxHash:
    """An xxHash as `hashlib` shapes hashes; its digest may be taken more than once."""

    __slots__ = ("_state", "_value")

    def __init__(self, state: crt.XXHash) -> None:
        self._state = state
        self._value: bytes | None = None

    def update(self, data: memoryview, /) -> None:
        self._state.update(bytes(data))  # the library takes nothing else

    def digest(self) -> bytes:
        if self._value is None:
            self._value = bytes(self._state.finalize())
        return self._value


CRCS = frozenset({Algorithm.CRC32, Algorithm.CRC32C, Algorithm.CRC64NVME})
_CRC_OF: dict[int, Callable[[memoryview, int], int]] = {int(Algorithm.CRC32): isal_zlib.crc32}
_HASHES: Mapping[Algorithm, Callable[[], _Hash]] = {
    # The client picks the algorithm; SHA-1 and MD5 are S3's, and protect nothing of ours.
    Algorithm.SHA1: lambda: hashlib.sha1(usedforsecurity=False),
    Algorithm.SHA256: hashlib.sha256,
    Algorithm.SHA512: hashlib.sha512,
    Algorithm.MD5: lambda: hashlib.md5(usedforsecurity=False),
    Algorithm.XXHASH64: lambda: _XxHash(load_crt().XXHash.new_xxhash64()),
    Algorithm.XXHASH3: lambda: _XxHash(load_crt().XXHash.new_xxhash3_64()),
    Algorithm.XXHASH128: lambda: _XxHash(load_crt().XXHash.new_xxhash3_128()),
}


def load_crt() -> ModuleType:
    """Load AWS's library, which takes long: a command rarely needs it, a server does at once."""
    from awscrt import checksums  # noqa: PLC0415 - see above

    _CRC_OF[int(Algorithm.CRC32C)] = checksums.crc32c
    _CRC_OF[int(Algorithm.CRC64NVME)] = checksums.crc64nvme
    return checksums  # type: ignore[no-any-return]


class Checksum:
    """The running checksum of one body."""

    __slots__ = ("_crc", "_hash", "_value", "algorithm")

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._value = 0
        self._crc = _CRC_OF.get(algorithm._value_)
        self._hash: _Hash | None = None
        if self._crc is None:
            if algorithm in CRCS:
                load_crt()
                self._crc = _CRC_OF[algorithm._value_]
            else:
                self._hash = _HASHES[algorithm]()

    def update(self, view: memoryview) -> None:
        """Take the next bytes.  Releases the interpreter lock for long ones."""
        if self._crc is not None:
            self._value = self._crc(view, self._value)
        else:
            assert self._hash is not None
            self._hash.update(view)

    def digest(self) -> bytes:
        """Return the value so far, big-endian."""
        if self._hash is not None:
            return self._hash.digest()
        return self._value.to_bytes(_SIZES[self.algorithm._value_], "big")

    def text(self) -> str:
        """Return the value so far in base64, as S3 writes it."""
        return encode(self.digest())


def compute(algorithm: Algorithm, whole: bytes | memoryview) -> bytes:
    """Return the checksum of bytes in memory."""
    checksum = Checksum(algorithm)
    checksum.update(memoryview(whole))
    return checksum.digest()


def encode(value: bytes) -> str:
    """Return a raw value in base64."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def decode(algorithm: Algorithm, text: str) -> bytes:
    """Return the raw value of a base64 text of this algorithm.

    Raises:
        Malformed: it is none (reason ``InvalidRequest``).
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != algorithm.size:
        raise Malformed(f"Value for {algorithm.header} header is invalid.", reason="InvalidRequest")
    return value


def decode_md5(text: str) -> bytes:
    """Return the raw value of a Content-MD5 header.

    Raises:
        Malformed: it is none (reason ``InvalidDigest``).
    """
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise Malformed("The Content-MD5 you specified is not valid.", reason="InvalidDigest")
    return value


def parse_algorithm(name: str, *, kept: bool = True) -> Algorithm:
    """Return the algorithm of this name; ``kept``: only one that can be kept.

    Raises:
        Malformed: unknown (reason ``InvalidRequest``).
    """
    algorithm = (ALGORITHMS if kept else KNOWN).get(name.upper())
    if algorithm is None:
        raise Malformed(UNSUPPORTED, reason="InvalidRequest")
    return algorithm
