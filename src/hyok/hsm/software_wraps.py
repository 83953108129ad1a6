"""What a key that wraps does in software: byte for byte what a token answers.

Source: RFC 3394; RFC 5649.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from hyok.errors import Malformed


def wrapped_by(key: bytes, value: bytes, *, padded: bool) -> bytes:
    """Return a value wrapped.

    Raises:
        Malformed: nothing of this length is wrapped so.
    """
    if padded and value:
        return aes_key_wrap_with_padding(key, value)
    if padded or len(value) % 8 or len(value) < 16:
        raise Malformed("a value of this length is not wrapped")
    return aes_key_wrap(key, value)


def unwrapped_by(key: bytes, wrapped: bytes, *, padded: bool) -> bytes | None:
    """Return the value; None: these bytes were not wrapped so under this key."""
    if len(wrapped) % 8 or len(wrapped) < 16:
        return None
    try:
        return (aes_key_unwrap_with_padding if padded else aes_key_unwrap)(key, wrapped)
    except InvalidUnwrap:
        return None


def wrap_check(key: bytes, name: str) -> bytes:
    """Return the check value of a key of this name, as a token computes it."""
    text = sha256(b"hyok door check\0" + name.encode()).digest()
    return sha256(aes_key_wrap(key, text)).digest()[:8]
