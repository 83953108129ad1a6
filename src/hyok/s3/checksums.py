"""Checksums of the plaintext: what a client declared, and joining those of parts.

Source: Amazon S3 User Guide, "Checking object integrity".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from hyok.errors import Malformed
from hyok.s3.algorithms import (
    ALGORITHMS,
    CRCS,
    KNOWN,
    PREFIX,
    UNSUPPORTED,
    Algorithm,
    Checksum,
    compute,
    decode,
    decode_md5,
    encode,
    parse_algorithm,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "ALGORITHMS",
    "KNOWN",
    "PREFIX",
    "UNSUPPORTED",
    "Algorithm",
    "Checksum",
    "Declared",
    "bad_digest",
    "check_multipart_type",
    "check_object_size",
    "combine",
    "composite",
    "composite_text",
    "compute",
    "decode",
    "decode_md5",
    "encode",
    "parse_algorithm",
    "parse_declared",
]

FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"

# Headers under the prefix that carry no value of an algorithm.
_NOT_VALUES = frozenset({"algorithm", "type", "mode"})


class Declared(NamedTuple):
    """What the client says of its body: a checksum (now, or in the trailer) and an MD5."""

    algorithm: Algorithm | None = None
    value: bytes | None = None  # None with an algorithm: it comes in the trailer
    md5: bytes | None = None

    @property
    def in_trailer(self) -> bool:
        """Does the value come after the body?"""
        return self.algorithm is not None and self.value is None


def parse_declared(
    header: Callable[[str], str | None],
    under_prefix: Mapping[str, str],
    *,
    trailers: bool,
    kept: bool = True,
) -> Declared:
    """Read the checksum headers of a request with a body.

    Args:
        header: looks a header up by lower-case name.
        under_prefix: the headers under ``x-amz-checksum-`` by the rest of their name.
        trailers: does the payload mode have a trailer?
        kept: take only algorithms whose value can be kept.  A caller that says False verifies the
            others too, keeps its own checksum beside the object, and gives theirs back with none
            but the answer to this request.

    Raises:
        Malformed: two checksums, an unknown algorithm, an announced one that is missing, or a
            value that is none.
    """
    values = (
        {name: text for name, text in under_prefix.items() if name not in _NOT_VALUES}
        if under_prefix
        else {}
    )
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
        algorithm = parse_algorithm(name, kept=kept)
        value = decode(algorithm, text)
    elif in_trailer:
        algorithm = _trailer_algorithm(in_trailer, kept=kept)
    _check_announced(header("x-amz-sdk-checksum-algorithm"), algorithm, kept=kept)
    md5 = header("content-md5")
    return Declared(algorithm, value, None if md5 is None else decode_md5(md5))


def _trailer_algorithm(announced: str, *, kept: bool) -> Algorithm:
    name = announced.strip().lower()
    if name.startswith(PREFIX):
        return parse_algorithm(name.removeprefix(PREFIX), kept=kept)
    raise Malformed(
        "The value specified in the x-amz-trailer header is not supported", reason="InvalidRequest"
    )


def _check_announced(announced: str | None, given: Algorithm | None, *, kept: bool) -> None:
    if announced is None:
        return
    algorithm = parse_algorithm(announced, kept=kept)
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


TYPES: Mapping[Algorithm, tuple[str, ...]] = {
    Algorithm.CRC32: (COMPOSITE, FULL_OBJECT),
    Algorithm.CRC32C: (COMPOSITE, FULL_OBJECT),
    Algorithm.CRC64NVME: (FULL_OBJECT,),
    Algorithm.SHA1: (COMPOSITE,),
    Algorithm.SHA256: (COMPOSITE,),
    Algorithm.SHA512: (COMPOSITE,),
    Algorithm.MD5: (COMPOSITE,),
    Algorithm.XXHASH64: (COMPOSITE,),
    Algorithm.XXHASH3: (COMPOSITE,),
    Algorithm.XXHASH128: (COMPOSITE,),
}
"""What a multipart object's checksum may be made of; the first is the default."""


def check_multipart_type(algorithm: Algorithm, asked: str | None) -> str:
    """Return the type of a multipart object's checksum: asked for, or the default.

    Raises:
        Malformed: this algorithm has no such type (reason ``InvalidRequest``).
    """
    kind = (asked or TYPES[algorithm][0]).upper()
    if kind not in (FULL_OBJECT, COMPOSITE):
        raise Malformed("Value for x-amz-checksum-type header is invalid.", reason="InvalidRequest")
    if kind not in TYPES[algorithm]:
        raise Malformed(
            f"The {kind} checksum type cannot be used with the {algorithm.name.lower()} "
            "checksum algorithm.",
            reason="InvalidRequest",
        )
    return kind


def check_object_size(asked: str | None, plain_size: int) -> None:
    """Return quietly if ``x-amz-mp-object-size`` is the plaintext length of all parts in bytes.

    Raises:
        Malformed: it is another length, or none (``InvalidRequest``).
    """
    if asked is None:
        return
    if not (asked.isascii() and asked.isdigit()) or len(asked) > 16:
        raise Malformed(
            "Value for x-amz-mp-object-size header is invalid.", reason="InvalidRequest"
        )
    if int(asked) != plain_size:
        raise Malformed(
            f"The provided 'x-amz-mp-object-size' header value {asked} does not match what was "
            f"computed: {plain_size}",
            reason="InvalidRequest",
        )


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
    assert algorithm in CRCS, "only CRCs can be joined"
    whole = 0
    for value, length in parts:
        shifted = _multiply(algorithm, _shift(algorithm, length), whole) if whole else 0
        whole = shifted ^ int.from_bytes(value, "big")
    return whole.to_bytes(algorithm.size, "big")


# Reflected polynomials: the highest bit is the coefficient of x^0.
_POLYNOMIALS = {
    Algorithm.CRC32: 0xEDB88320,
    Algorithm.CRC32C: 0x82F63B78,
    Algorithm.CRC64NVME: 0x9A6C9329AC4BC9B5,
}


def _multiply(algorithm: Algorithm, a: int, b: int) -> int:
    """Return a * b modulo the polynomial, over GF(2), all reflected."""
    polynomial = _POLYNOMIALS[algorithm]
    bit = 1 << (8 * algorithm.size - 1)
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
    one = 1 << (8 * algorithm.size - 1)
    result, power, bits = one, one >> 8, length  # one >> 8 is x^8, a byte's shift
    while bits:
        if bits & 1:
            result = _multiply(algorithm, power, result)
        power = _multiply(algorithm, power, power)
        bits >>= 1
    return result
