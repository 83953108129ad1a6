"""Signatures under decisions: an officer's own Ed25519 key, or a value that only our HSM can seal.

Source: RFC 8032 (Ed25519); docs/officers.md.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hyok.custody.proposal import not_genuine
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from hyok.custody.officers import Register
    from hyok.custody.proposal import Decision
    from hyok.custody.secret_box import HsmSecretBox

ED25519 = "ed25519"
DEVELOPMENT = "development"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
PASSPHRASE_BYTES_MIN = 12
_DOMAIN = b"hyok officer\n"
"""In front of what is signed, so that a signature for another purpose is none here."""


class Signer(Protocol):
    """Signs what one person says."""

    @property
    def identity(self) -> str:
        """What the person signs in with: ``kind:value``."""
        ...

    @property
    def method(self) -> str: ...

    async def sign(self, statement: bytes) -> bytes: ...


class KeySigner:
    """Signs with an officer's own key."""

    method = ED25519

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.identity = f"{ED25519}:{raw.hex()}"

    async def sign(self, statement: bytes) -> bytes:
        """Return key and signature."""
        public = bytes.fromhex(self.identity.partition(":")[2])
        return public + self._key.sign(_DOMAIN + statement)


class DevelopmentSigner:
    """Vouches for a development login with a sealed value; production counts none of these."""

    method = DEVELOPMENT

    def __init__(self, person: str, box: HsmSecretBox) -> None:
        self.identity = f"{DEVELOPMENT}:{person}"
        self._box = box

    async def sign(self, statement: bytes) -> bytes:
        """Return a value that opens for this statement alone."""
        return await self._box.seal(_purpose(statement), b"")


async def verify(decision: Decision, proof: bytes, register: Register, box: HsmSecretBox) -> None:
    """Return quietly if the person of ``decision`` said exactly this.

    Raises:
        Tampered: the row was edited or copied from elsewhere (code HY-2507).
        Unavailable: the HSM does not answer.
    """
    if decision.method == ED25519:
        public, signature = proof[:KEY_BYTES], proof[KEY_BYTES:]
        if len(signature) != SIGNATURE_BYTES:
            raise not_genuine("a decision")
        _check_owner(f"{ED25519}:{public.hex()}", decision, register)
        try:
            key = Ed25519PublicKey.from_public_bytes(public)
            key.verify(signature, _DOMAIN + decision.statement())
        except InvalidSignature as error:
            raise not_genuine("a decision") from error
    elif decision.method == DEVELOPMENT:
        _check_owner(f"{DEVELOPMENT}:{decision.person}", decision, register)
        try:
            await box.open(_purpose(decision.statement()), proof)
        except Tampered as error:
            raise not_genuine("a decision") from error
    else:
        raise not_genuine("a decision")


def make_key(passphrase: bytes) -> tuple[bytes, str]:
    """Return a new key as PEM, sealed with ``passphrase``, and its public half in hex.

    Raises:
        Malformed: the passphrase is too short (code HY-2509).
    """
    if len(passphrase) < PASSPHRASE_BYTES_MIN:
        raise Malformed(
            f"a passphrase has at least {PASSPHRASE_BYTES_MIN} characters",
            code="HY-2509",
            effect="No key was made.",
        )
    key = Ed25519PrivateKey.generate()
    how = BestAvailableEncryption(passphrase)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    return pem, KeySigner(key).identity.partition(":")[2]


def read_key(pem: bytes, passphrase: bytes) -> KeySigner:
    """Return what signs with the key of a PEM file.

    Raises:
        Malformed: it is no Ed25519 key, or the passphrase is wrong (code HY-2509).
    """
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key() from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key()
    return KeySigner(key)


def check_public(text: str) -> str:
    """Return the identity of a public key in hex.

    Raises:
        Malformed: it is none (code HY-2509).
    """
    try:
        raw = bytes.fromhex(text)
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError as error:
        raise Malformed(
            "a public key is 64 hex digits",
            code="HY-2509",
            next_step="hyok officers key FILE prints it",
        ) from error
    return f"{ED25519}:{raw.hex()}"


def _check_owner(identity: str, decision: Decision, register: Register) -> None:
    if register.identities.get(identity) != decision.person:
        raise not_genuine("a decision")


def _purpose(statement: bytes) -> str:
    return f"officer decision {sha256(statement).hexdigest()}"


def _no_key() -> Malformed:
    return Malformed(
        "The key file or its passphrase is not right.",
        code="HY-2509",
        effect="Nothing was signed.",
        next_step="name an Ed25519 key that `hyok officers key` made",
    )
