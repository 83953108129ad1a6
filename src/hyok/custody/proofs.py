"""Is this what the person said?  Whatever an officer signs with, verified from the row alone.

| method | what it shows |
|---|---|
| ed25519 | the officer's own key signed these bytes |
| webauthn | the officer's authenticator did, having verified its person |
| oidc | this installation saw a genuine token of the officer; its word, sealed by the HSM |
| development | a name was typed |

Source: docs/officers.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hyok.custody.proposal import canonical, not_genuine
from hyok.custody.signing import (
    DEVELOPMENT,
    DOMAIN,
    ED25519,
    KEY_BYTES,
    OIDC,
    SIGNATURE_BYTES,
    WEBAUTHN,
    sealed_purpose,
)
from hyok.errors import NotAuthenticated, Tampered

if TYPE_CHECKING:
    from hyok.custody.officers import Register
    from hyok.custody.secret_box import HsmSecretBox
    from hyok.identity.passkeys import Assertion, Authenticator

PROOF_BYTES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Said:
    """A statement and by whom and how it is said to have been made."""

    statement: bytes
    person: str
    method: str


async def verify(said: Said, proof: bytes, register: Register, box: HsmSecretBox) -> str:
    """Return the identity by which this person said exactly this; it may be taken away since.

    Raises:
        Tampered: they did not: the row was edited or copied from elsewhere (code HY-2507).
        Unavailable: the HSM does not answer.
    """
    if len(proof) > PROOF_BYTES_MAX:
        raise not_genuine("a decision")
    if said.method == ED25519:
        return _verify_key(said, proof, register)
    if said.method == WEBAUTHN:
        return _verify_authenticator(said, proof, register)
    if said.method == OIDC:
        return await _verify_sign_in(said, proof, register, box)
    if said.method == DEVELOPMENT:
        identity = _owned(f"{DEVELOPMENT}:{said.person}", said, register)
        await _opens(said.statement, proof, box)
        return identity
    raise not_genuine("a decision")


async def renewed(said: Said, proof: bytes, box: HsmSecretBox) -> bytes:
    """Return a proven proof with what the HSM sealed in it sealed under the key that writes now.

    What persons signed themselves stays as it is.

    Raises:
        Tampered: it is none for this statement (code HY-2401).
    """
    if said.method == DEVELOPMENT:
        return await box.renew(sealed_purpose(said.statement), proof)
    if said.method != OIDC:
        return proof
    fields = _fields(proof)
    sealed = bytes.fromhex(fields.pop("sealed"))
    again = await box.renew(sealed_purpose(said.statement + canonical(fields)), sealed)
    return canonical(fields | {"sealed": again.hex()})


def sealed_in(method: str, proof: bytes) -> bytes:
    """Return what the HSM sealed in a proof of this method; empty: nothing."""
    if method == DEVELOPMENT:
        return proof
    return bytes.fromhex(_fields(proof)["sealed"]) if method == OIDC else b""


def challenge_of(statement: bytes) -> bytes:
    """Return what an authenticator signs for a statement: its SHA-256, 32 bytes."""
    return sha256(DOMAIN + statement).digest()


def authenticator_proof(by: Authenticator, made: Assertion) -> bytes:
    """Return what is kept of an assertion: enough to verify it without any other row."""
    return canonical(
        {
            "rp_id": by.rp_id,
            "credential_id": by.credential_id.hex(),
            "public_key": by.public_key.hex(),
            "client_data": made.client_data.hex(),
            "authenticator_data": made.authenticator_data.hex(),
            "signature": made.signature.hex(),
        }
    )


def key_proof(identity: str, signature: bytes) -> bytes:
    """Return what is kept of an Ed25519 signature: the key and it."""
    return bytes.fromhex(identity.partition(":")[2]) + signature


def _verify_key(said: Said, proof: bytes, register: Register) -> str:
    public, signature = proof[:KEY_BYTES], proof[KEY_BYTES:]
    if len(signature) != SIGNATURE_BYTES:
        raise not_genuine("a decision")
    identity = _owned(f"{ED25519}:{public.hex()}", said, register)
    try:
        key = Ed25519PublicKey.from_public_bytes(public)
        key.verify(signature, DOMAIN + said.statement)
    except InvalidSignature as error:
        raise not_genuine("a decision") from error
    return identity


def _verify_authenticator(said: Said, proof: bytes, register: Register) -> str:
    # A tenth of a second of imports that a gateway without authenticators does not need.
    from hyok.identity.passkeys import Assertion, Authenticator, verify_assertion  # noqa: PLC0415

    fields = _fields(proof)
    try:
        raw = {name: bytes.fromhex(value) for name, value in fields.items() if name != "rp_id"}
        by = Authenticator(fields["rp_id"], raw["credential_id"], raw["public_key"])
        made = Assertion(raw["client_data"], raw["authenticator_data"], raw["signature"])
    except (KeyError, ValueError) as error:
        raise not_genuine("a decision") from error
    identity = _owned(by.identity, said, register)
    try:
        verify_assertion(by, made, challenge_of(said.statement))
    except NotAuthenticated as error:
        raise not_genuine("a decision") from error
    return identity


async def _verify_sign_in(said: Said, proof: bytes, register: Register, box: HsmSecretBox) -> str:
    fields = _fields(proof)
    try:
        sealed = bytes.fromhex(fields.pop("sealed"))
        identity = _owned(fields["identity"], said, register)
    except (KeyError, ValueError) as error:
        raise not_genuine("a decision") from error
    if not identity.startswith(f"{OIDC}:"):
        raise not_genuine("a decision")
    await _opens(said.statement + canonical(fields), sealed, box)
    return identity


async def _opens(statement: bytes, sealed: bytes, box: HsmSecretBox) -> None:
    try:
        await box.open(sealed_purpose(statement), sealed)
    except Tampered as error:
        raise not_genuine("a decision") from error


def _fields(proof: bytes) -> dict[str, str]:
    try:
        found = json.loads(proof)
    except (ValueError, RecursionError) as error:
        raise not_genuine("a decision") from error
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise not_genuine("a decision")
    return found


def _owned(identity: str, said: Said, register: Register) -> str:
    if register.whose(identity) != said.person:
        raise not_genuine("a decision")
    return identity
