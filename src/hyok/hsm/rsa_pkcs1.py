"""RSA signatures of PKCS #1 v1.5: what is signed, and what a public key says of them.  Pure.

Source: RFC 8017, sections 8.2 and 9.2 (note 1: the prefixes).
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hyok.errors import Malformed

PREFIXES = {
    "SHA1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "SHA256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "SHA512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


def digest_info(name: str, digest: bytes) -> bytes:
    """Return the DigestInfo, DER, of a digest that was made elsewhere.

    Raises:
        Malformed: it is not as long as a digest of this name.
    """
    prefix = PREFIXES[name]
    if len(digest) != prefix[-1]:
        raise Malformed(f"a digest of {name} has {prefix[-1]} bytes")
    return prefix + digest


def is_signature(public_der: bytes, digest: bytes, signature: bytes) -> bool:
    """Say whether this is the key's signature of a SHA-256 digest."""
    try:
        key = load_der_public_key(public_der)
        assert isinstance(key, rsa.RSAPublicKey)
        key.verify(signature, digest, padding.PKCS1v15(), Prehashed(SHA256()))
    except (InvalidSignature, ValueError, AssertionError):
        return False
    return True


def check_digest(name: str) -> bytes:
    """Return what a door's key signs to show that it is the one of this name."""
    return sha256(b"hyok door check\0" + name.encode()).digest()


def check_value(public_der: bytes) -> bytes:
    """Return the check value of a key that signs."""
    return sha256(public_der).digest()[:8]
