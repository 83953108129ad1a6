"""Checksums of the plaintext: running values, what a client declared, and joining those of parts.

Source: Amazon S3 User Guide, "Checking object integrity"; specs/s3-gateway.md section 5.  The
numbers of the algorithms are those of format.md section 6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from awscrt import checksums as crt
from isal import isal_zlib

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PREFIX = "x-amz-checksum-"
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"


class Algorithm(IntEnum):
    """The algorithms, by their number in the format."""

    CRC32 = 1
    CRC32C = 2
    CRC64NVME = 3
    SHA1 = 4
    SHA256 = 5
    SHA512 = 6

    @property
    def header(self) -> str:
        """The header and trailer that carries the value."""
        return PREFIX + self.name.lower()

    @property
    def element(self) -> str:
        """The XML element that carries the value."""
        return "Checksum" + self.name

    @property
    def size(self) -> int:
        """Bytes of a value."""
        return _SIZES[self]


_SIZES = {
    Algorithm.CRC32: 4,
    Algorithm.CRC32C: 4,
    Algorithm.CRC64NVME: 8,
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
    Algorithm.SHA512: 64,
}
ALGORITHMS: Mapping[str, Algorithm] = {algorithm.name: algorithm for algorithm in Algorithm}
BY_HEADER: Mapping[str, Algorithm] = {algorithm.header: algorithm for algorithm in Algorithm}

# Headers under the prefix that carry no value of an algorithm.
_NOT_VALUES = frozenset({"algorithm", "type", "mode"})

UNSUPPORTED = (
    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
    "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256, SHA512]"
)

_CRCS: Mapping[Algorithm, Callable[[memoryview, int], int]] = {
    Algorithm.CRC32: isal_zlib.crc32,
    Algorithm.CRC32C: crt.crc32c,
    Algorithm.CRC64NVME: crt.crc64nvme,
}
_HASHES = {Algorithm.SHA1: "sha1", Algorithm.SHA256: "sha256", Algorithm.SHA512: "sha512"}


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def digest(self) -> bytes: ...


class Checksum:
    """The running checksum of one body."""

    __slots__ = ("_crc", "_hash", "_value", "algorithm")

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._value = 0
        self._crc = _CRCS.get(algorithm)
        self._hash: _Hash | None = None
        if self._crc is None:
            # The client picks the algorithm; SHA-1 is one of S3's, and protects nothing of ours.
            self._hash = hashlib.new(_HASHES[algorithm], usedforsecurity=False)

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
        return self._value.to_bytes(_SIZES[self.algorithm], "big")

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
    return base64.b64encode(value).decode("ascii")


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


def parse_algorithm(name: str) -> Algorithm:
    """Return the algorithm of this name.

    Raises:
        Malformed: unknown (reason ``InvalidRequest``).
    """
    algorithm = ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise Malformed(UNSUPPORTED, reason="InvalidRequest")
    return algorithm


@dataclass(frozen=True, slots=True)
class Declared:
    """What the client says of its body: a checksum (now, or in the trailer) and an MD5."""

    algorithm: Algorithm | None = None
    value: bytes | None = None  # None with an algorithm: it comes in the trailer
    md5: bytes | None = None

    @property
    def in_trailer(self) -> bool:
        """Does the value come after the body?"""
        return self.algorithm is not None and self.value is None


def parse_declared(
    header: Callable[[str], str | None], under_prefix: Mapping[str, str], *, trailers: bool
) -> Declared:
    """Read the checksum headers of a request with a body.

    Args:
        header: looks a header up by lower-case name.
        under_prefix: the headers under ``x-amz-checksum-`` by the rest of their name.
        trailers: does the payload mode have a trailer?

    Raises:
        Malformed: two checksums, an unknown algorithm, an announced one that is missing, or a
            value that is none.
    """
    values = {name: text for name, text in under_prefix.items() if name not in _NOT_VALUES}
    in_trailer = header("x-amz-trailer") if trailers else None
    if len(values) + bool(in_trailer) > 1:
        raise Malformed(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            reason="InvalidRequest",
        )
    algorithm: Algorithm | None = None
    value: bytes | None = None
    if values:
        name, text = next(iter(values.items()))
        algorithm = parse_algorithm(name)
        value = decode(algorithm, text)
    elif in_trailer:
        algorithm = _trailer_algorithm(in_trailer)
    _check_announced(header("x-amz-sdk-checksum-algorithm"), algorithm)
    md5 = header("content-md5")
    return Declared(algorithm, value, None if md5 is None else decode_md5(md5))


def _trailer_algorithm(announced: str) -> Algorithm:
    name = announced.strip().lower()
    algorithm = BY_HEADER.get(name)
    if algorithm is not None:
        return algorithm
    if name.startswith(PREFIX):
        raise Malformed(UNSUPPORTED, reason="InvalidRequest")
    raise Malformed(
        "The value specified in the x-amz-trailer header is not supported", reason="InvalidRequest"
    )


def _check_announced(announced: str | None, given: Algorithm | None) -> None:
    if announced is None:
        return
    algorithm = parse_algorithm(announced)
    if given is None:
        raise Malformed(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found.",
            reason="InvalidRequest",
        )
    if given is not algorithm:
        raise Malformed(
            "Value for x-amz-sdk-checksum-algorithm header is invalid.", reason="InvalidRequest"
        )


def bad_digest(name: str) -> Malformed:
    """Return the error of a checksum that did not match."""
    return Malformed(
        f"The {name} you specified did not match the calculated checksum.", reason="BadDigest"
    )


# --- the checksum of an object from those of its parts -------------------------------------------


def check_multipart_type(algorithm: Algorithm, asked: str | None) -> str:
    """Return the type of a multipart object's checksum: asked for, or the default.

    Raises:
        Malformed: this algorithm has no such type (reason ``InvalidRequest``).
    """
    kind = (asked or (FULL_OBJECT if algorithm is Algorithm.CRC64NVME else COMPOSITE)).upper()
    if kind not in (FULL_OBJECT, COMPOSITE):
        raise Malformed("Value for x-amz-checksum-type header is invalid.", reason="InvalidRequest")
    fits = algorithm in _CRCS if kind == FULL_OBJECT else algorithm is not Algorithm.CRC64NVME
    if not fits:
        raise Malformed(
            f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} "
            "checksum algorithm.",
            reason="InvalidRequest",
        )
    return kind


def composite(algorithm: Algorithm, values: Iterable[bytes]) -> bytes:
    """Return the checksum over the raw checksums of the parts."""
    return compute(algorithm, b"".join(values))


def composite_text(value: bytes, part_count: int) -> str:
    """Return a composite value as S3 writes it: base64, a dash and the number of parts."""
    return f"{encode(value)}-{part_count}"


def combine(algorithm: Algorithm, parts: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the CRC of the whole object from ``(value, length in bytes)`` of its parts.

    Only CRCs can be joined: with P the polynomial, crc(A || B) = crc(A) * x^(8 |B|) mod P + crc(B).
    """
    assert algorithm in _CRCS, "only CRCs can be joined"
    whole = 0
    for value, length in parts:
        shifted = _multiply(algorithm, _shift(algorithm, length), whole) if whole else 0
        whole = shifted ^ int.from_bytes(value, "big")
    return whole.to_bytes(_SIZES[algorithm], "big")


# Reflected polynomials: the highest bit is the coefficient of x^0.
_POLYNOMIALS = {
    Algorithm.CRC32: 0xEDB88320,
    Algorithm.CRC32C: 0x82F63B78,
    Algorithm.CRC64NVME: 0x9A6C9329AC4BC9B5,
}


def _multiply(algorithm: Algorithm, a: int, b: int) -> int:
    """Return a * b modulo the polynomial, over GF(2), all reflected."""
    polynomial = _POLYNOMIALS[algorithm]
    bit = 1 << (8 * _SIZES[algorithm] - 1)
    product = 0
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        bit >>= 1
        b = (b >> 1) ^ (polynomial if b & 1 else 0)
    return product


@lru_cache(maxsize=256)  # parts of one upload mostly have one length
def _shift(algorithm: Algorithm, length: int) -> int:
    """Return x^(8 * length) modulo the polynomial."""
    one = 1 << (8 * _SIZES[algorithm] - 1)
    result, power, bits = one, one >> 8, length  # one >> 8 is x^8, a byte's shift
    while bits:
        if bits & 1:
            result = _multiply(algorithm, power, result)
        power = _multiply(algorithm, power, power)
        bits >>= 1
    return result
