"""Who signs for an officer: their own Ed25519 key, or a value that only our HSM can seal.

What was signed elsewhere comes in as `Presigned`; `hyok.custody.proofs` verifies all of it.

Source: RFC 8032 (Ed25519); docs/officers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from hyok.custody.proposal import canonical
from hyok.errors import Malformed

if TYPE_CHECKING:
    from hyok.custody.secret_box import HsmSecretBox

ED25519 = "ed25519"
DEVELOPMENT = "development"
OIDC = "oidc"
WEBAUTHN = "webauthn"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
IDENTITY_CHARS_MAX = 255
PASSPHRASE_BYTES_MIN = 12
DOMAIN = b"hyok officer\n"
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
        return public + self._key.sign(DOMAIN + statement)


class DevelopmentSigner:
    """Vouches for a development login with a sealed value; production counts none of these."""

    method = DEVELOPMENT

    def __init__(self, person: str, box: HsmSecretBox) -> None:
        self.identity = f"{DEVELOPMENT}:{person}"
        self._box = box

    async def sign(self, statement: bytes) -> bytes:
        """Return a value that opens for this statement alone."""
        return await self._box.seal(sealed_purpose(statement), b"")


class OidcSigner:
    """Vouches for a sign-in that was verified here: the gateway's word, with the token's digest.

    Args:
        identity: ``oidc:<issuer>#<subject>``, as `oidc_identity` makes it.
        claims_sha256: of the token's claims, hex; joins the decision to what the provider logged.
        box: seals under the installation's own key.
    """

    method = OIDC

    def __init__(self, identity: str, claims_sha256: str, box: HsmSecretBox) -> None:
        self.identity = identity
        self._claims_sha256 = claims_sha256
        self._box = box

    async def sign(self, statement: bytes) -> bytes:
        """Return a value that opens for this statement, identity and token alone."""
        said = {"identity": self.identity, "claims_sha256": self._claims_sha256}
        purpose = sealed_purpose(statement + canonical(said))
        sealed = await self._box.seal(purpose, b"")
        return canonical(said | {"sealed": sealed.hex()})


@dataclass(frozen=True, slots=True)
class Presigned:
    """What a person signed elsewhere, for a statement with this time and sequence."""

    identity: str
    method: str
    at_ms: int
    sequence: int
    proof: bytes

    async def sign(self, statement: bytes) -> bytes:
        """Return what was signed; whether it is for this statement, `verify` says."""
        del statement
        return self.proof


def oidc_identity(issuer: str, subject: str) -> str:
    """Return what stands in the register for somebody at an identity provider.

    Raises:
        Malformed: it is too long for a row (code HY-2509).
    """
    identity = f"{OIDC}:{issuer}#{subject}"
    if len(identity) > IDENTITY_CHARS_MAX:
        raise Malformed(
            f"issuer and subject together are longer than {IDENTITY_CHARS_MAX} characters",
            code="HY-2509",
            next_step="have the provider use shorter subject identifiers",
        )
    return identity


def check_issuer(identity: str) -> str:
    """Return ``oidc:<issuer>#<subject>`` if it is one.

    Raises:
        Malformed: it is none (code HY-2509).
    """
    issuer, _, subject = identity.removeprefix(f"{OIDC}:").partition("#")
    if not identity.startswith(f"{OIDC}:https://") or not subject or not identity.isprintable():
        raise Malformed(
            "a login at an identity provider is oidc:https://ISSUER#SUBJECT",
            code="HY-2509",
            next_step="GET /v1/me, or the officers' page, shows it to who signs in",
        )
    return oidc_identity(issuer, subject)


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


def sealed_purpose(statement: bytes) -> str:
    """Return what a value is sealed for that vouches for a statement."""
    return f"officer decision {sha256(statement).hexdigest()}"


def _no_key() -> Malformed:
    return Malformed(
        "The key file or its passphrase is not right.",
        code="HY-2509",
        effect="Nothing was signed.",
        next_step="name an Ed25519 key that `hyok officers key` made",
    )
