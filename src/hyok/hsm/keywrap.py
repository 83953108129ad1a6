"""AES key wrap over one block of AES at a time: RFC 3394, and RFC 5649 with padding.  Pure.

For a token whose own key wrap is not the RFCs' (SoftHSM 2.6 pads before it counts).  The key stays
in the token, which is asked for each block; what has to be true of the result is looked at as a
whole, whatever was found first.

Source: RFC 3394, section 2.2; RFC 5649, sections 3 and 4.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Block = Callable[[bytes], bytes]
    """Encrypts, or decrypts, one block of 16 bytes."""

SEMI = 8
_FIRST = b"\xa6" * SEMI
_FIRST_PADDED = b"\xa6\x59\x59\xa6"
_ROUNDS = 6


def wrap(encrypt: Block, value: bytes) -> bytes:
    """Return a value of 16, 24, 32 … bytes wrapped."""
    assert len(value) % SEMI == 0, "no whole number of half blocks"
    assert len(value) >= 2 * SEMI, "shorter than RFC 3394 takes"
    return _mix(encrypt, _FIRST, value)


def unwrap(decrypt: Block, wrapped: bytes) -> bytes | None:
    """Return the value; None: these bytes were not wrapped under this key."""
    if len(wrapped) % SEMI or len(wrapped) < 3 * SEMI:
        return None
    first, value = _unmix(decrypt, wrapped)
    return value if hmac.compare_digest(first, _FIRST) else None


def wrap_padded(encrypt: Block, value: bytes) -> bytes:
    """Return a value of any length wrapped."""
    assert value, "nothing to wrap"
    first = _FIRST_PADDED + len(value).to_bytes(4, "big")
    padded = value + bytes(-len(value) % SEMI)
    return encrypt(first + padded) if len(padded) == SEMI else _mix(encrypt, first, padded)


def unwrap_padded(decrypt: Block, wrapped: bytes) -> bytes | None:
    """Return the value; None: these bytes were not wrapped with padding under this key."""
    if len(wrapped) % SEMI or len(wrapped) < 2 * SEMI:
        return None
    if len(wrapped) == 2 * SEMI:
        block = decrypt(wrapped)
        first, padded = block[:SEMI], block[SEMI:]
    else:
        first, padded = _unmix(decrypt, wrapped)
    size = int.from_bytes(first[4:], "big")
    good = int(hmac.compare_digest(first[:4], _FIRST_PADDED))
    good &= int(len(padded) - SEMI < size) & int(size <= len(padded))
    spare = 0
    for place in range(len(padded) - SEMI, len(padded)):
        spare |= padded[place] * int(place >= size)
    return padded[:size] if good & int(spare == 0) else None


def _mix(encrypt: Block, first: bytes, value: bytes) -> bytes:
    parts = [value[at : at + SEMI] for at in range(0, len(value), SEMI)]
    step = 0
    for _ in range(_ROUNDS):
        for place, part in enumerate(parts):
            step += 1
            block = encrypt(first + part)
            first = _counted(block[:SEMI], step)
            parts[place] = block[SEMI:]
    return first + b"".join(parts)


def _unmix(decrypt: Block, wrapped: bytes) -> tuple[bytes, bytes]:
    first = wrapped[:SEMI]
    parts = [wrapped[at : at + SEMI] for at in range(SEMI, len(wrapped), SEMI)]
    step = _ROUNDS * len(parts)
    for _ in range(_ROUNDS):
        for place in reversed(range(len(parts))):
            block = decrypt(_counted(first, step) + parts[place])
            first, parts[place] = block[:SEMI], block[SEMI:]
            step -= 1
    return first, b"".join(parts)


def _counted(first: bytes, step: int) -> bytes:
    return (int.from_bytes(first, "big") ^ step).to_bytes(SEMI, "big")
