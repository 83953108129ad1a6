"""What a KEK of profile 4 does without the HSM: its public key seals.

Source: docs/format.md, section 10.
"""

from __future__ import annotations

import secrets
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
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


def seal_bytes_to(der: bytes, plain: bytes, *, sha1: bool = False) -> bytes:
    """Return RSA-OAEP with SHA-256 (or SHA-1) of a few bytes, under any RSA public key.

    Raises:
        Malformed: it is no RSA public key, or so many bytes do not fit.
    """
    digest = hashes.SHA1() if sha1 else hashes.SHA256()  # noqa: S303 - a protocol's; OAEP is sound
    try:
        return _key(der).encrypt(plain, padding.OAEP(padding.MGF1(digest), digest, None))
    except ValueError as error:
        raise Malformed("more than this RSA key encrypts at once") from error


def public_numbers(der: bytes) -> tuple[bytes, bytes]:
    """Return modulus and exponent, big-endian, as short as they are.

    Raises:
        Malformed: it is no RSA public key.
    """
    numbers = _key(der).public_numbers()
    return _shortest(numbers.n), _shortest(numbers.e)


def _shortest(number: int) -> bytes:
    return number.to_bytes(-(-number.bit_length() // 8), "big")


@lru_cache(maxsize=256)
def _key(der: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(der)
    except ValueError as error:
        raise Malformed("the KEK's public key is not readable") from error
    if not isinstance(key, RSAPublicKey):
        raise Malformed("the KEK's public key is no RSA key")
    return key
