"""OAEP outside an HSM, for the development token: right by another implementation, and even."""

from __future__ import annotations

import secrets
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hyok.hsm import oaep

if TYPE_CHECKING:
    from collections.abc import Callable

PAIR = rsa.generate_private_key(65537, 2048)
SIZE = 256
WAY = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def raw(block: bytes) -> bytes:
    numbers = PAIR.public_key().public_numbers()
    return pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(SIZE, "big")


def unraw(sealed: bytes) -> bytes:
    numbers = PAIR.private_numbers()
    n = numbers.public_numbers.n
    return pow(int.from_bytes(sealed, "big"), numbers.d, n).to_bytes(SIZE, "big")


def block_of(message: bytes) -> bytes:
    return oaep.encode(message, SIZE, secrets.token_bytes(32))


@pytest.mark.parametrize("size", [0, 1, 44, 190])
def test_another_implementation_opens_what_is_encoded_and_the_other_way(size: int) -> None:
    message = secrets.token_bytes(size)
    assert PAIR.decrypt(raw(block_of(message)), WAY) == message
    assert oaep.decode(unraw(PAIR.public_key().encrypt(message, WAY))) == message


@pytest.mark.parametrize("message", [b"", b"\x01", b"\0\x01\0", b"\x01\x01", bytes(44)])
def test_a_message_that_looks_like_padding_comes_back_whole(message: bytes) -> None:
    assert oaep.decode(block_of(message)) == message


def with_inner(change: Callable[[bytearray], None]) -> bytes:
    """Return a block whose unmasked inside was changed."""
    seed = secrets.token_bytes(32)
    block = oaep.encode(b"geheim", SIZE, seed)
    inner = bytearray(oaep._xor(block[33:], oaep._mask(seed, SIZE - 33)))
    change(inner)
    masked = oaep._xor(bytes(inner), oaep._mask(seed, SIZE - 33))
    return b"\0" + oaep._xor(seed, oaep._mask(masked, 32)) + masked


def spoil(place: int, value: int) -> Callable[[bytearray], None]:
    def change(inner: bytearray) -> None:
        inner[place] = value

    return change


def no_mark(inner: bytearray) -> None:
    inner[32:] = bytes(len(inner) - 32)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"\x01" + block_of(b"geheim")[1:], id="first byte"),
        pytest.param(b"\x01" + block_of(b"")[1:], id="first byte before nothing"),
        pytest.param(with_inner(spoil(0, 0)), id="label"),
        pytest.param(with_inner(spoil(31, 0)), id="label's end"),
        pytest.param(with_inner(spoil(32, 2)), id="padding's begin"),
        pytest.param(with_inner(spoil(100, 2)), id="padding"),
        pytest.param(with_inner(no_mark), id="no mark"),
        pytest.param(bytes(SIZE), id="zeros"),
        pytest.param(b"\0" + secrets.token_bytes(SIZE - 1), id="noise"),
    ],
)
def test_what_is_no_padding_is_one_answer(block: bytes) -> None:
    assert oaep.decode(block) is None


@pytest.mark.slow
def test_good_bad_padding_and_a_bad_label_take_alike() -> None:
    """The medians of many interleaved runs differ by less than one in eight."""
    blocks = {
        "good": block_of(bytes(44)),
        "padding early": with_inner(spoil(32, 2)),
        "label": with_inner(spoil(0, 0)),
        "first byte": b"\x01" + block_of(bytes(44))[1:],
        "no mark": with_inner(no_mark),
    }
    shares = []
    for _ in range(4):  # a neighbour on the machine may spoil one
        took: dict[str, list[int]] = {what: [] for what in blocks}
        for _ in range(250):
            for what, block in blocks.items():
                began = time.perf_counter_ns()
                oaep.decode(block)
                took[what].append(time.perf_counter_ns() - began)
        medians = [statistics.median(each) for each in took.values()]
        shares.append(max(medians) / min(medians))
    assert min(shares) < 1.125, shares
