"""RSA-OAEP without the RSA, MGF1 with the same digest as the label.  Pure.

`encode` makes what a trial asks a module to open.  `decode` is for a development token that knows
OAEP with SHA-1 only: it looks at every byte whatever it finds, and says one thing of every fault.
Python promises no constant time; tests/unit/hsm/test_oaep.py says how near it comes.

Source: RFC 8017, sections 7.1 and B.2.1.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST_BYTES = 32


def encode(
    message: bytes, size: int, seed: bytes, digest: Callable[[bytes], Any] = sha256
) -> bytes:
    """Return the block of ``size`` bytes, the modulus' length; ``seed``: fresh, a digest long."""
    empty = digest(b"").digest()
    room = size - 2 * len(empty) - 2 - len(message)
    assert room >= 0, "longer than OAEP takes"
    assert len(seed) == len(empty)
    inner = empty + bytes(room) + b"\x01" + message
    masked = _xor(inner, _mask(seed, len(inner), digest))
    return b"\0" + _xor(seed, _mask(masked, len(empty), digest)) + masked


def decode(
    block: bytes, digest: Callable[[bytes], Any] = sha256, label: bytes = b""
) -> bytes | None:
    """Return the message of a block as long as the modulus; None: it is none of OAEP's.

    ``digest``: the hash, for label and mask alike.

    The time it takes depends on the length alone, as far as Python's integers allow.
    """
    wanted = digest(label).digest()
    size = len(wanted)
    if len(block) < 2 * size + 2:
        return None
    masked = block[1 + size :]
    seed = _xor(block[1 : 1 + size], _mask(masked, size, digest))
    inner = _xor(masked, _mask(seed, len(masked), digest))
    good = int(hmac.compare_digest(inner[:size], wanted)) & (block[0] == 0)
    begins, looking = 0, 1
    for place in range(size, len(inner)):
        byte = inner[place]
        zero, one = int(byte == 0), int(byte == 1)
        begins += looking * one * (place + 1)
        good &= (zero | one) | (1 - looking)
        looking &= zero
    good &= 1 - looking
    message = inner[begins:]
    return message if good else None


def _mask(seed: bytes, size: int, digest: Callable[[bytes], Any] = sha256) -> bytes:
    """Return MGF1."""
    blocks = range(-(-size // len(digest(b"").digest())))
    return b"".join(digest(seed + number.to_bytes(4, "big")).digest() for number in blocks)[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    size = len(one)
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(size, "big")
