"""What a KEK of profile 4 does without the HSM: its public key seals.

Source: docs/format.md, section 10.
"""

from __future__ import annotations

import secrets
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from hyok.envelope.profiles import ORIGIN_BYTES, seal_oaep_token
from hyok.errors import Malformed


def public_key_der(modulus: bytes, exponent: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of two big-endian numbers read from the HSM.

    Raises:
        Malformed: they are no RSA public key.
    """
    numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    try:
        key = numbers.public_key()
    except ValueError as error:
        raise Malformed("the HSM's public key is no RSA key") from error
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def make_origin(der: bytes) -> tuple[bytes, bytes]:
    """Return a new ``(origin, its RSA ciphertext)``; only the second is kept."""
    origin = secrets.token_bytes(ORIGIN_BYTES)
    return origin, seal_to(der, origin)


def seal_to(der: bytes, seed: bytes) -> bytes:
    """Return the token of profile 4 that holds ``seed``.

    Raises:
        Malformed: no RSA public key of 3072 bits or more.
    """
    return seal_oaep_token(_key(der), seed)


@lru_cache(maxsize=256)
def _key(der: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(der)
    except ValueError as error:
        raise Malformed("the KEK's public key is not readable") from error
    if not isinstance(key, RSAPublicKey):
        raise Malformed("the KEK's public key is no RSA key")
    return key
