"""Key wrap from single blocks: right by the RFCs' vectors and by another implementation."""

from __future__ import annotations

import secrets
import statistics
import time

import pytest
from cryptography.hazmat.primitives import keywrap as other
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from hyok.hsm import keywrap

KEY = secrets.token_bytes(32)


def encrypt(block: bytes, key: bytes = KEY) -> bytes:
    assert len(block) == 16
    made = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return made.update(block) + made.finalize()


def decrypt(block: bytes, key: bytes = KEY) -> bytes:
    assert len(block) == 16
    made = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    return made.update(block) + made.finalize()


@pytest.mark.parametrize(
    ("key", "value", "wrapped", "padded"),
    [
        (  # RFC 3394, section 4.6
            bytes(range(32)).hex(),
            "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
            "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
            False,
        ),
        (  # RFC 5649, section 6: a key of 192 bits, 20 bytes and 7
            "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
            True,
        ),
        (
            "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8",
            "466f7250617369",
            "afbeb0f07dfbf5419200f2ccb50bb24f",
            True,
        ),
    ],
)
def test_the_vectors_of_the_rfcs(key: str, value: str, wrapped: str, *, padded: bool) -> None:
    raw = bytes.fromhex(key)
    wrap = keywrap.wrap_padded if padded else keywrap.wrap
    unwrap = keywrap.unwrap_padded if padded else keywrap.unwrap
    assert wrap(lambda block: encrypt(block, raw), bytes.fromhex(value)).hex() == wrapped
    found = unwrap(lambda block: decrypt(block, raw), bytes.fromhex(wrapped))
    assert found is not None
    assert found.hex() == value


@pytest.mark.parametrize("size", [*range(1, 34), 40, 64, 100])
def test_another_implementation_agrees_and_every_byte_counts(size: int) -> None:
    value = secrets.token_bytes(size)
    wrapped = keywrap.wrap_padded(encrypt, value)
    assert wrapped == other.aes_key_wrap_with_padding(KEY, value)
    assert keywrap.unwrap_padded(decrypt, wrapped) == value
    for at in range(len(wrapped)):
        spoilt = wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :]
        assert keywrap.unwrap_padded(decrypt, spoilt) is None
    if size % 8 == 0 and size >= 16:
        wrapped = keywrap.wrap(encrypt, value)
        assert wrapped == other.aes_key_wrap(KEY, value)
        assert keywrap.unwrap(decrypt, wrapped) == value
        assert keywrap.unwrap_padded(decrypt, wrapped) is None


def forged(size: int, padded: bytes) -> bytes:
    """Return what a thief of the key could make: a length and a padding that do not fit."""
    first = b"\xa6\x59\x59\xa6" + size.to_bytes(4, "big")
    if len(padded) == 8:
        return encrypt(first + padded)
    return keywrap._mix(encrypt, first, padded)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    ("left", "end"),
    [
        (-8, b"\0"),  # a block less
        (1, b"\0"),  # a byte more than there is
        (2**32 - 100, b"\0"),
        (-1, b"\x01"),  # a padding that is not zeros
        (-7, b"\0\0\0\0\0\x01\0"),
    ],
)
def test_a_length_or_padding_that_does_not_fit(blocks: int, left: int, end: bytes) -> None:
    whole = (b"\x07" * 8 * blocks)[: -len(end)] + end
    size = (len(whole) + left) % 2**32
    assert keywrap.unwrap_padded(decrypt, forged(size, whole)) is None
    good = len(whole) - len(end)
    zeros = whole[:good] + bytes(len(end))
    assert keywrap.unwrap_padded(decrypt, forged(good, zeros)) == zeros[:good]


@pytest.mark.parametrize("size", [0, 1, 8, 15, 17, 23, 25])
def test_no_block_is_asked_for_where_the_length_cannot_be(size: int) -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError

    assert keywrap.unwrap(never, bytes(size)) is None
    assert keywrap.unwrap_padded(never, bytes(size)) is None
    assert keywrap.unwrap(never, bytes(16)) is None


@pytest.mark.slow
def test_no_fault_of_length_or_padding_takes_longer_than_another() -> None:
    """What is looked at after the last block alone: one block, whose answer is at hand."""
    magic = b"\xa6\x59\x59\xa6"
    answers = {
        "magic": b"\xa6\xa6\xa6\xa6" + (8).to_bytes(4, "big") + bytes(8),
        "length": magic + (9).to_bytes(4, "big") + bytes(8),
        "no length": magic + bytes(12),
        "padding first": magic + (1).to_bytes(4, "big") + b"\x07\x01" + bytes(6),
        "padding last": magic + (1).to_bytes(4, "big") + b"\x07" + bytes(6) + b"\x01",
    }
    shares = []
    for _ in range(5):  # a neighbour on the machine may spoil one
        took: dict[str, list[int]] = {what: [] for what in answers}
        for _ in range(400):
            for what, answer in answers.items():
                began = time.perf_counter_ns()
                found = keywrap.unwrap_padded(lambda _, answer=answer: answer, bytes(16))  # type: ignore[misc]
                took[what].append(time.perf_counter_ns() - began)
                assert found is None
        medians = [statistics.median(each) for each in took.values()]
        shares.append(max(medians) / min(medians))
    assert min(shares) < 1.125, shares
