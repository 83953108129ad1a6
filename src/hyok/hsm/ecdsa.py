"""ECDSA of P-256 in software: what a public key says of a signature.

Source: FIPS 186-5; SEC 1, section 2.3.4 (points); RFC 3279, section 2.2.3 (DER).
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

DIGEST_BYTES, SIGNATURE_BYTES = 32, 64


def der_of_point(point: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an uncompressed point; `ValueError`: it is none."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_signature(public_der: bytes, digest: bytes, signature: bytes) -> bool:
    """Say whether ``r ‖ s`` is this key's signature of a SHA-256 digest."""
    if len(signature) != SIGNATURE_BYTES or len(digest) != DIGEST_BYTES:
        return False
    numbers = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        key = load_der_public_key(public_der)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(encode_dss_signature(*numbers), digest, ec.ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError, AssertionError):
        return False
    return True


def check_digest(name: str) -> bytes:
    """Return what a door's key signs to show that it is the one of this name."""
    return sha256(b"hyok door check\0" + name.encode()).digest()


def check_value(public_der: bytes) -> bytes:
    """Return the check value of a key that signs."""
    return sha256(public_der).digest()[:8]
