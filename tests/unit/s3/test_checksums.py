"""Checksums have their published values, and those of parts join to that of the whole."""

from __future__ import annotations

import base64
import hashlib
import zlib

import awscrt.checksums
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.s3.wire import MODEL

from hyok.errors import Malformed
from hyok.objects.facts import ALGORITHM_NAMES
from hyok.s3.checksums import (
    ALGORITHMS,
    COMPOSITE,
    FULL_OBJECT,
    KNOWN,
    TYPES,
    Algorithm,
    Checksum,
    Declared,
    check_multipart_type,
    check_object_size,
    combine,
    composite,
    composite_text,
    compute,
    decode,
    decode_md5,
    encode,
    parse_declared,
)

PARTS = (b"a" * 5_242_880, b"b" * 10)  # an upload of two parts with known values
CRCS = [Algorithm.CRC32, Algorithm.CRC32C, Algorithm.CRC64NVME]


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        (Algorithm.CRC32, "cbf43926"),
        (Algorithm.CRC32C, "e3069283"),
        (Algorithm.CRC64NVME, "ae8b14860a799888"),
        (Algorithm.SHA1, hashlib.sha1(b"123456789").hexdigest()),
        (Algorithm.SHA256, hashlib.sha256(b"123456789").hexdigest()),
        (Algorithm.SHA512, hashlib.sha512(b"123456789").hexdigest()),
        (Algorithm.MD5, hashlib.md5(b"123456789").hexdigest()),
        # of the python package xxhash 3.8, a binding to the reference implementation
        (Algorithm.XXHASH64, "8cb841db40e6ae83"),
        (Algorithm.XXHASH3, "72dcb18b67a17dff"),
        (Algorithm.XXHASH128, "33119477ede5dcd5e9716427681d5860"),
    ],
)
def test_check_values(algorithm: Algorithm, value: str) -> None:
    assert compute(algorithm, b"123456789").hex() == value
    assert algorithm.size == len(value) // 2
    checksum = Checksum(algorithm)
    for byte in b"123456789":
        checksum.update(memoryview(bytes([byte])))
    assert checksum.text() == base64.b64encode(bytes.fromhex(value)).decode()


def test_the_documented_parts_join() -> None:
    shas = [compute(Algorithm.SHA256, part) for part in PARTS]
    assert [encode(value) for value in shas] == [
        "oplo+tLngqqfIECjXwWtuX7Yl56x9XLIyOp4Y34nXzw=",
        "bS/jLcQknvfnNZxth0//u/M16DLkmiaBI24baGr3h5Q=",
    ]
    assert (
        composite_text(composite(Algorithm.SHA256, shas), 2)
        == "zTBnwsNWVkdz0PwZObp0pDCxhYpP8sndExucneRKiO0=-2"
    )
    crcs = [compute(Algorithm.CRC32, part) for part in PARTS]
    assert [encode(value) for value in crcs] == ["r/zBbw==", "Qi9M+A=="]
    assert composite_text(composite(Algorithm.CRC32, crcs), 2) == "meG8JQ==-2"
    lengths = [len(part) for part in PARTS]
    assert encode(combine(Algorithm.CRC32, list(zip(crcs, lengths, strict=True)))) == "1FimjA=="


@pytest.mark.parametrize("algorithm", CRCS)
@given(pieces=st.lists(st.binary(max_size=70), max_size=6))
def test_joined_crcs_are_those_of_the_whole(algorithm: Algorithm, pieces: list[bytes]) -> None:
    joined = combine(algorithm, [(compute(algorithm, p), len(p)) for p in pieces])
    assert joined == compute(algorithm, b"".join(pieces))


@given(a=st.integers(0, 2**64 - 1), b=st.integers(0, 2**64 - 1), length=st.integers(1, 5 << 30))
def test_joining_agrees_with_an_independent_library(a: int, b: int, length: int) -> None:
    wide = combine(Algorithm.CRC64NVME, [(a.to_bytes(8, "big"), 1), (b.to_bytes(8, "big"), length)])
    assert int.from_bytes(wide, "big") == awscrt.checksums.combine_crc64nvme(a, b, length)
    a, b = a >> 32, b >> 32
    narrow = combine(Algorithm.CRC32C, [(a.to_bytes(4, "big"), 1), (b.to_bytes(4, "big"), length)])
    assert int.from_bytes(narrow, "big") == awscrt.checksums.combine_crc32c(a, b, length)
    narrow = combine(Algorithm.CRC32, [(a.to_bytes(4, "big"), 1), (b.to_bytes(4, "big"), length)])
    assert int.from_bytes(narrow, "big") == awscrt.checksums.combine_crc32(a, b, length)


def test_crc32_is_zlibs() -> None:
    assert compute(Algorithm.CRC32, b"hyok" * 99) == zlib.crc32(b"hyok" * 99).to_bytes(4, "big")


def declared(headers: dict[str, str], *, trailers: bool = False) -> Declared:
    under = {
        name.removeprefix("x-amz-checksum-"): value
        for name, value in headers.items()
        if name.startswith("x-amz-checksum-")
    }
    return parse_declared(headers.get, under, trailers=trailers)


def test_a_checksum_may_come_in_a_header_or_a_trailer_or_not_at_all() -> None:
    assert declared({}) == Declared()
    assert declared(
        {"x-amz-checksum-crc32": "r/zBbw==", "x-amz-sdk-checksum-algorithm": "CRC32"}
    ) == Declared(Algorithm.CRC32, bytes.fromhex("affcc16f"))
    in_trailer = declared(
        {"x-amz-trailer": "x-amz-checksum-crc64nvme", "x-amz-sdk-checksum-algorithm": "CRC64NVME"},
        trailers=True,
    )
    assert in_trailer == Declared(Algorithm.CRC64NVME)
    assert in_trailer.in_trailer
    assert declared({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "FULL_OBJECT"}) == (
        Declared()
    )
    assert declared({"content-md5": encode(b"0" * 16)}).md5 == b"0" * 16


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-amz-checksum-crc32": "r/zBbw==", "x-amz-checksum-sha1": "x"}, "InvalidRequest"),
        (
            {"x-amz-checksum-crc32": "r/zBbw==", "x-amz-trailer": "x-amz-checksum-crc32"},
            "InvalidRequest",
        ),
        ({"x-amz-checksum-xxhash64": "r/zBbw=="}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "r/zBbww="}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "nonsense!"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "ROT13"}, "InvalidRequest"),
        (
            {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-crc32": "r/zBbw=="},
            "InvalidRequest",
        ),
        ({"x-amz-trailer": "x-amz-checksum-rot13"}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-meta-a"}, "InvalidRequest"),
        ({"content-md5": "AAAA"}, "InvalidDigest"),
        ({"content-md5": "nonsense!"}, "InvalidDigest"),
    ],
)
def test_wrong_declarations_are_refused(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(Malformed) as refusal:
        declared(headers, trailers=True)
    assert refusal.value.reason == reason


def test_base64_is_strict() -> None:
    assert decode(Algorithm.CRC32, "AAAAAA==") == bytes(4)
    for text in ("AAAAAA", "AAAAAA==\n", "AAAAAAAA", ""):
        with pytest.raises(Malformed):
            decode(Algorithm.CRC32, text)
    with pytest.raises(Malformed):
        decode_md5("")


# --- every algorithm of the SDKs -----------------------------------------------------------------


def test_every_algorithm_that_the_sdks_know_can_be_verified() -> None:
    assert (
        set(MODEL.shape_for("ChecksumAlgorithm").enum)
        == set(KNOWN)
        == {known.name for known in TYPES}
    )
    members = MODEL.operation_model("PutObject").input_shape.members
    for algorithm in Algorithm:
        assert members[algorithm.element].serialization["name"] == algorithm.header


def test_only_what_the_format_numbers_can_be_kept() -> None:
    assert {name: int(known) for name, known in ALGORITHMS.items()} == {
        name: number for number, name in ALGORITHM_NAMES.items()
    }


@pytest.mark.parametrize("algorithm", [a for a in Algorithm if not a.kept])
def test_what_cannot_be_kept_is_refused_unless_the_caller_only_verifies(
    algorithm: Algorithm,
) -> None:
    value = compute(algorithm, b"x")
    ways: list[tuple[dict[str, str], dict[str, str]]] = [
        ({algorithm.name.lower(): encode(value)}, {}),
        ({}, {"x-amz-trailer": algorithm.header}),
        (
            {algorithm.name.lower(): encode(value)},
            {"x-amz-sdk-checksum-algorithm": algorithm.name},
        ),
    ]
    for under, headers in ways:
        with pytest.raises(Malformed, match="unsupported") as refusal:
            parse_declared(headers.get, under, trailers=True)
        assert refusal.value.reason == "InvalidRequest"
        declared = parse_declared(headers.get, under, trailers=True, kept=False)
        assert declared == Declared(algorithm, value if under else None)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("kind", [None, COMPOSITE, FULL_OBJECT, "composite", "OTHER"])
def test_types_of_a_multipart_checksum(algorithm: Algorithm, kind: str | None) -> None:
    crc = algorithm.name.startswith("CRC")
    only_whole = algorithm is Algorithm.CRC64NVME
    expected = {
        None: FULL_OBJECT if only_whole else COMPOSITE,
        COMPOSITE: None if only_whole else COMPOSITE,
        "composite": None if only_whole else COMPOSITE,
        FULL_OBJECT: FULL_OBJECT if crc else None,
        "OTHER": None,
    }[kind]
    if expected is None:
        with pytest.raises(Malformed) as refusal:
            check_multipart_type(algorithm, kind)
        assert refusal.value.reason == "InvalidRequest"
    else:
        assert check_multipart_type(algorithm, kind) == expected


def test_the_size_of_a_multipart_object_may_be_said() -> None:
    check_object_size(None, 5)
    check_object_size("5", 5)
    check_object_size("0", 0)
    for text in ("6", "4", "", "-5", "x", "5.0", "\u0665", "9" * 17):
        with pytest.raises(Malformed) as refusal:
            check_object_size(text, 5)
        assert refusal.value.reason == "InvalidRequest"
