"""What a KEK answers for a token, per profile: the part that needs no HSM.

An HSM does one operation (HMAC, decrypt or unwrap); what goes in and what is derived from its
answer stands here, once, for the module's process and for the software keys of development.

Source: docs/format.md, section 10; RFC 5649 (AES-KWP); RFC 8017 (RSA-OAEP).
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from hyok.envelope.keys import KEY_BYTES, hkdf, kek_context, length_prefixed
from hyok.envelope.layout import TAG_BYTES
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECK_VALUE_BYTES = 8
HMAC_TOKEN_BYTES = 32
KWP_TOKEN_BYTES = 40
ORIGIN_BYTES = 32
RSA_BITS_MIN = 3072


class Profile(IntEnum):
    """How a KEK turns a token into a secret."""

    HMAC_SHA256 = 1
    AES_GCM = 2
    AES_KWP = 3
    RSA_OAEP_SHA256 = 4


PROFILES: Mapping[int, Profile] = {int(profile): profile for profile in Profile}
"""By number; every use of a key asks for one, and an enumeration's own call takes five times as
long."""


def check_token(profile: Profile, token: bytes) -> None:
    """Return quietly if ``token`` can be one of this profile.

    Raises:
        Malformed: its length or form is wrong; no HSM should be asked.
    """
    if not _fits(profile, token):
        raise Malformed(f"the token is none of profile {profile.name.lower()}")


def _fits(profile: Profile, token: bytes) -> bool:
    match profile:
        case Profile.HMAC_SHA256:
            return len(token) == HMAC_TOKEN_BYTES
        case Profile.AES_GCM:
            # The IV's length stands first; 1 to 255 bytes is what GCM and the length byte allow.
            return len(token) > 1 and 0 < token[0] == len(token) - 1 - KEY_BYTES - TAG_BYTES
        case Profile.AES_KWP:
            return len(token) == KWP_TOKEN_BYTES
        case Profile.RSA_OAEP_SHA256:  # pragma: no branch - mypy proves the match complete
            return len(token) >= RSA_BITS_MIN // 8


def hmac_input(token: bytes, kek_id: str, scope: str) -> bytes:
    """Return what a KEK of profile 1 is asked to sign.

    Raises:
        Malformed: the token is not 32 bytes, so the parts of the input could be shifted.
    """
    check_token(Profile.HMAC_SHA256, token)
    return b"HYOK1 kek hmac" + token + kek_context(kek_id, scope)


def hmac_check_input(kek_id: str) -> bytes:
    """Return what a KEK of profile 1 signs for its check value."""
    return b"HYOK1 kek check" + length_prefixed(kek_id)


def same_key_input(nonce: bytes) -> bytes:
    """Return what two KEKs of profile 1 sign to show whether they are one key.

    No input of another purpose begins so (format.md §10), and the nonce is fresh.
    """
    return b"HYOK1 kek same" + nonce


def check_value_hmac(kek: bytes, kek_id: str) -> bytes:
    """Return the check value of a KEK of profile 1."""
    return hmac.digest(kek, hmac_check_input(kek_id), "sha256")[:CHECK_VALUE_BYTES]


def check_value_secret(secret: bytes) -> bytes:
    """Return the check value of the other profiles: of the secret of one stored token."""
    return sha256(b"HYOK1 kek check" + secret).digest()[:CHECK_VALUE_BYTES]


def gcm_associated_data(kek_id: str, scope: str) -> bytes:
    """Return the associated data of a token of profile 2."""
    return b"HYOK1 kek gcm" + kek_context(kek_id, scope)


def split_gcm_token(token: bytes) -> tuple[bytes, bytes]:
    """Return ``(iv, ciphertext and tag)`` of a token of profile 2.

    Raises:
        Malformed: the token's form is wrong.
    """
    check_token(Profile.AES_GCM, token)
    iv_bytes = token[0]
    return token[1 : 1 + iv_bytes], token[1 + iv_bytes :]


def join_gcm_token(iv: bytes, sealed_seed: bytes) -> bytes:
    """Return the token of profile 2 of an IV and of ciphertext and tag."""
    return bytes([len(iv)]) + iv + sealed_seed


def derive_seed(seed: bytes, kek_id: str, scope: str, origin: bytes = b"") -> bytes:
    """Return the secret of a seed that an HSM opened (profiles 2 to 4).

    ``origin`` is for profile 4 alone, where anyone who knows the public key can make a token.

    Raises:
        Tampered: the seed is not 32 bytes, so the token is none that we made.
    """
    if len(seed) != KEY_BYTES:
        raise Tampered("the KEK's token holds no seed")
    return hkdf(seed, origin, b"HYOK1 kek seed" + kek_context(kek_id, scope))


def seal_gcm_token(kek: bytes, kek_id: str, scope: str, seed: bytes, iv: bytes) -> bytes:
    """Return the token of profile 2 of ``seed``, with a key in software."""
    return join_gcm_token(iv, AESGCM(kek).encrypt(iv, seed, gcm_associated_data(kek_id, scope)))


def seal_kwp_token(kek: bytes, seed: bytes) -> bytes:
    """Return the token of profile 3 of ``seed``, with a key in software."""
    return aes_key_wrap_with_padding(kek, seed)


def seal_oaep_token(public_key: RSAPublicKey, seed: bytes) -> bytes:
    """Return a token of profile 4 of ``seed``.

    The one function here that draws randomness: OAEP's, inside the library.

    Raises:
        Malformed: the key is shorter than 3072 bits.
    """
    if public_key.key_size < RSA_BITS_MIN:
        raise Malformed(f"an RSA KEK has at least {RSA_BITS_MIN} bits")
    return public_key.encrypt(seed, oaep_padding())


def oaep_padding() -> padding.OAEP:
    """Return the padding of profile 4: SHA-256, MGF1 with SHA-256, an empty label."""
    return padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


def software_secret(
    profile: Profile,
    kek: bytes | RSAPrivateKey,
    kek_id: str,
    scope: str,
    token: bytes,
    origin: bytes = b"",
) -> bytes:
    """Return the secret of ``token`` under a KEK in software: for development and recovery.

    Raises:
        Malformed: the token's form, the key's type or the origin is wrong for the profile.
        Tampered: the token does not open under this KEK and scope.
    """
    profile = Profile(profile)
    check_token(profile, token)
    if isinstance(kek, RSAPrivateKey):
        if profile is not Profile.RSA_OAEP_SHA256 or len(origin) != ORIGIN_BYTES:
            raise Malformed("an RSA KEK serves profile 4, with an origin of 32 bytes")
        return derive_seed(_open_oaep(kek, token), kek_id, scope, origin)
    match profile:
        case Profile.HMAC_SHA256:
            return hmac.digest(kek, hmac_input(token, kek_id, scope), "sha256")
        case Profile.AES_GCM:
            return derive_seed(_open_gcm(kek, kek_id, scope, token), kek_id, scope)
        case Profile.AES_KWP:
            return derive_seed(_open_kwp(kek, token), kek_id, scope)
        case Profile.RSA_OAEP_SHA256:  # pragma: no branch - mypy proves the match complete
            raise Malformed("profile 4 needs an RSA key")


def _open_gcm(kek: bytes, kek_id: str, scope: str, token: bytes) -> bytes:
    iv, sealed_seed = split_gcm_token(token)
    try:
        return AESGCM(kek).decrypt(iv, sealed_seed, gcm_associated_data(kek_id, scope))
    except (InvalidTag, ValueError) as error:  # ValueError: an IV that the library will not take
        raise Tampered("the KEK's token does not open") from error


def _open_kwp(kek: bytes, token: bytes) -> bytes:
    try:
        return aes_key_unwrap_with_padding(kek, token)
    except InvalidUnwrap as error:
        raise Tampered("the KEK's token does not open") from error


def _open_oaep(kek: RSAPrivateKey, token: bytes) -> bytes:
    try:
        return kek.decrypt(token, oaep_padding())
    except ValueError as error:
        raise Tampered("the KEK's token does not open") from error
