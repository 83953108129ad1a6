"""Google's names of what a private key does, and what they come to.  Pure.

Source: Google "Client-side encryption API", private-key methods; RFC 8017.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING

from hyok.doors.kacls.rules import no
from hyok.errors import Malformed
from hyok.vocabulary import DecryptHow, SignHow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyok.doors.kacls.wire import Asked

SIZES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}
SIGNS: Mapping[str, tuple[str, str]] = {
    f"{of}withRSA{suffix}": (padding, of)
    for of in SIZES
    for suffix, padding in (("", "pkcs1"), ("/PSS", "pss"))
}
DECRYPTS: Mapping[str, tuple[str, str]] = {
    "RSA/ECB/PKCS1Padding": ("pkcs1", "SHA1"),
    "RSA/ECB/OAEPwithSHA-1andMGF1Padding": ("oaep", "SHA1"),
    "RSA/ECB/OAEPwithSHA-256andMGF1Padding": ("oaep", "SHA256"),
    "RSA/ECB/OAEPwithSHA-512andMGF1Padding": ("oaep", "SHA512"),
}
SPKI_ALGORITHM = "SHA-256"


def sign_how(asked: Asked) -> SignHow:
    """Return what shall be signed.

    Raises:
        Malformed: no such algorithm, or a digest of another length (code HY-2691).
    """
    found = SIGNS.get(asked.algorithm)
    if found is None:
        raise _wrong("the algorithm is none of those that sign")
    padding, of = found
    if len(asked.digest) != SIZES[of]:
        raise _wrong(f"a digest of {asked.algorithm} has {SIZES[of]} bytes")
    salt = asked.salt_bytes if asked.salt_bytes is not None else SIZES[of]
    return SignHow(padding, of, asked.digest, salt if padding == "pss" else 0)


def decrypt_how(asked: Asked) -> DecryptHow:
    """Return what shall be opened.

    Raises:
        Malformed: no such algorithm, or a label where there is none (code HY-2691).
    """
    found = DECRYPTS.get(asked.algorithm)
    if found is None:
        raise _wrong("the algorithm is none of those that decrypt")
    padding, of = found
    if asked.label and padding != "oaep":
        raise _wrong(f"{asked.algorithm} has no label")
    return DecryptHow(padding, asked.sealed, of, asked.label)


def spki_of(text: str, algorithm: str) -> bytes:
    """Return the digest of the public key that a private key must have.

    Raises:
        Refused: none is named, or not as SHA-256 (code HY-2681).
    """
    try:
        found = b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        found = b""
    if algorithm != SPKI_ALGORITHM or len(found) != SIZES["SHA256"]:
        raise no("no public key is named by a digest of SHA-256")
    return found


def _wrong(why: str) -> Malformed:
    return Malformed(f"{why[0].upper()}{why[1:]}.", code="HY-2691")
