"""What `SoftwareHsm` does with wrapped private keys.  FOR DEVELOPMENT AND TESTS ONLY.

Source: RFC 5649; RFC 8017.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from hyok.errors import Malformed
from hyok.hsm.door_pairs import BITS
from hyok.hsm.door_pool import bad_ciphertext
from hyok.hsm.private_pool import other_public_key

if TYPE_CHECKING:
    from hyok.vocabulary import DecryptHow, SignHow

# SHA-1 is what Google's protocol names, for what was made long ago.
HASHES = {"SHA1": hashes.SHA1(), "SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}  # noqa: S303


def wrap(key: bytes, private_der: bytes) -> bytes:
    """Return an RSA private key under a wrapping key.

    Raises:
        Malformed: it is none of a size that is taken.
    """
    try:
        found = load_der_private_key(private_der, None)
    except (ValueError, TypeError):
        raise Malformed("it is no private key") from None
    if not isinstance(found, rsa.RSAPrivateKey) or found.key_size not in BITS:
        raise Malformed(f"a private key is of RSA with {', '.join(map(str, BITS))} bits")
    der = found.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return aes_key_wrap_with_padding(key, der)


def sign(key: bytes, wrapped: bytes, spki: bytes, how: SignHow) -> bytes:
    """Return a signature by a wrapped key.

    Raises:
        Tampered: it does not open; Refused: its public half is another.
    """
    way = padding.PKCS1v15() if how.padding == "pkcs1" else _pss(how)
    try:
        return _private(key, wrapped, spki).sign(how.digest, way, Prehashed(HASHES[how.hash]))
    except ValueError as error:
        raise bad_ciphertext() from error


def decrypt(key: bytes, wrapped: bytes, spki: bytes, how: DecryptHow) -> bytes:
    """Return a plaintext, as `sign` does a signature.

    Raises:
        HyokError: as `sign` does.
    """
    of = HASHES[how.hash]
    way = padding.OAEP(padding.MGF1(of), of, how.label or None)
    try:
        found = _private(key, wrapped, spki)
        return found.decrypt(how.sealed, padding.PKCS1v15() if how.padding == "pkcs1" else way)
    except ValueError as error:
        raise bad_ciphertext() from error


def _pss(how: SignHow) -> padding.PSS:
    return padding.PSS(padding.MGF1(HASHES[how.hash]), how.salt_bytes)


def _private(key: bytes, wrapped: bytes, spki: bytes) -> rsa.RSAPrivateKey:
    try:
        found = load_der_private_key(aes_key_unwrap_with_padding(key, wrapped), None)
    except (InvalidUnwrap, ValueError) as error:
        raise bad_ciphertext() from error
    assert isinstance(found, rsa.RSAPrivateKey)
    public = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if not hmac.compare_digest(sha256(public).digest(), spki):
        raise other_public_key()
    return found
