"""Contexts, and what is derived from a data key, with which text.

Every derivation of the format stands here and has its own label, so that no two purposes can ever
share a key.

Source: docs/format.md, sections 2 and 3; RFC 5869 (HKDF).
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256
from typing import NoReturn

from typing_extensions import override

KEY_BYTES = 32
SALT_BYTES = 16  # of trailer and metadata
WRAP_SALT_BYTES = 32

_BLOCK_BYTES = 64  # of SHA-256
_ONLY_BLOCK = b"\1"  # HKDF's second step ends after it for 32 bytes
_INNER = bytes(number ^ 0x36 for number in range(256))
_OUTER = bytes(number ^ 0x5C for number in range(256))


def length_prefixed(*texts: str) -> bytes:
    """Return each text in UTF-8 behind its length, so that no two lists look the same."""
    joined = b""
    for text in texts:
        raw = text.encode()
        joined += len(raw).to_bytes(4, "big") + raw
    return joined


def object_context(tenant: str, bucket_id: str, object_key: str) -> bytes:
    """Return the hash that binds an envelope to one object of one bucket of one tenant."""
    names = length_prefixed(tenant, bucket_id, object_key)
    return sha256(b"HYOK1 object context" + names).digest()


@lru_cache(maxsize=4096)  # of names that are in the clear; in mode direct each use asks for it
def kek_context(kek_id: str, scope: str) -> bytes:
    """Return the hash that binds a token to one KEK and one scope."""
    return sha256(b"HYOK1 kek context" + length_prefixed(kek_id, scope)).digest()


def hmac_sha256(key: bytes | bytearray, message: bytes | bytearray) -> bytes:
    """Return HMAC-SHA256 (RFC 2104): by two hashes, which take a third of what a context does."""
    if len(key) > _BLOCK_BYTES:
        return hmac.digest(key, message, "sha256")
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(block.translate(_INNER) + message).digest()
    return sha256(block.translate(_OUTER) + inner).digest()


def hkdf(ikm: bytes | bytearray, salt: bytes, info: bytes, n: int = KEY_BYTES) -> bytes:
    """Return ``n`` bytes of HKDF-SHA256; an empty salt means 32 zero bytes."""
    extracted = hmac_sha256(salt, ikm)
    made = block = hmac_sha256(extracted, info + _ONLY_BLOCK)
    for number in range(2, -(-n // KEY_BYTES) + 1):
        block = hmac_sha256(extracted, block + info + bytes((number,)))
        made += block
    return made if n == KEY_BYTES else made[:n]


def check_secret(secret: bytes) -> bytes:
    """Return ``secret``, which is 32 bytes: an empty one would wrap under a key that all know."""
    if len(secret) != KEY_BYTES:
        raise ValueError("a secret is 32 bytes")
    return secret


def wrap_key(secret: bytes, wrap_salt: bytes, context: bytes) -> bytes:
    """Return the key that wraps a data key for one object context."""
    return hkdf(check_secret(secret), wrap_salt, b"HYOK1 wrap key" + context)


def part_associated_data(suite_id: int, part_number: int) -> bytes:
    """Return the associated data under which a public streaming AEAD opens a part."""
    return b"HYOK1 part" + suite_id.to_bytes(1, "big") + part_number.to_bytes(2, "big")


def part_key(
    content_key: bytes | bytearray, part_salt: bytes, suite_id: int, part_number: int
) -> bytes:
    """Return the key of one part, used for that part alone."""
    return hkdf(content_key, part_salt, part_associated_data(suite_id, part_number))


class DataKey:
    """The 32 random bytes of one object, and the keys made from them.

    It is never printed, pickled or copied, compares in constant time, and derives each key at its
    first use.  `close` overwrites what Python lets us overwrite; afterwards every use is refused.
    """

    __slots__ = ("_commit", "_content", "_extracted", "_secret")

    __hash__ = None  # type: ignore[assignment]  # a key is no dictionary key

    def __init__(self, secret: bytes | bytearray | memoryview) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError("a data key is 32 bytes")
        self._secret: bytearray | None = bytearray(secret)
        self._extracted: bytearray | None = None
        self._content: bytearray | None = None
        self._commit: bytearray | None = None

    def _open(self) -> bytearray:
        if self._secret is None:
            raise ValueError("the data key was closed")
        return self._secret

    def reveal(self) -> bytes:
        """Return the key bytes.  Only to wrap them."""
        return bytes(self._open())

    @property
    def content_key(self) -> bytearray:
        """The key from which every part's key comes."""
        if self._content is None:
            self._content = self._unsalted(b"HYOK1 content key")
        return self._content

    @property
    def commit_key(self) -> bytearray:
        """The key of the envelope's mac, which commits to this data key."""
        if self._commit is None:
            self._commit = self._unsalted(b"HYOK1 commit key")
        return self._commit

    def _unsalted(self, info: bytes) -> bytearray:
        """Return a key derived without a salt: the first step of HKDF is the same for all."""
        if self._extracted is None:
            self._extracted = bytearray(hmac_sha256(b"", self._open()))
        return bytearray(hmac_sha256(self._extracted, info + _ONLY_BLOCK))

    def trailer_key(self, salt: bytes) -> bytes:
        """Return the key of one trailer."""
        return hkdf(self._open(), _salt(salt), b"HYOK1 trailer key")

    def meta_key(self, salt: bytes) -> bytes:
        """Return the key of one metadata block."""
        return hkdf(self._open(), _salt(salt), b"HYOK1 meta key")

    def tags_key(self, salt: bytes) -> bytes:
        """Return the key of one set of tags that changed after the object was written."""
        return hkdf(self._open(), _salt(salt), b"HYOK1 tags key")

    @property
    def closed(self) -> bool:
        """Whether the key is gone."""
        return self._secret is None

    def close(self) -> None:
        """Overwrite and forget every key held.  May be called twice."""
        for held in (self._secret, self._extracted, self._content, self._commit):
            if held is not None:
                held[:] = bytes(len(held))
        self._secret = self._extracted = self._content = self._commit = None

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataKey):
            return NotImplemented
        return hmac.compare_digest(self._open(), other._open())

    @override
    def __repr__(self) -> str:
        return "DataKey(…)"

    def __copy__(self) -> NoReturn:
        raise TypeError("a data key is not copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("a data key is not copied")

    @override
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a data key is not pickled")


def _salt(salt: bytes) -> bytes:
    # An empty salt is legal HKDF and would turn a fresh key into a fixed one.
    if len(salt) != SALT_BYTES:
        raise ValueError("the salt is 16 bytes")
    return salt
