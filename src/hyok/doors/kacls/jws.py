"""What this service signs itself: tokens for delegates and for other key services.  Pure.

The HSM signs the digest; here is what stands around it, and the key set by which others verify.

Source: RFC 7515 (JWS), RFC 7517 (JWK), RFC 7518, section 3.3 (RS256).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hyok.identity.jwks import VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALGORITHM = "RS256"


def signing_input(key_id: str, claims: Mapping[str, object]) -> bytes:
    """Return what is signed: header and claims."""
    header = {"alg": ALGORITHM, "typ": "JWT", "kid": key_id}
    return b".".join(_b64(_json(part)) for part in (header, claims))


def digest_of(text: bytes) -> bytes:
    """Return what goes to the HSM."""
    return sha256(text).digest()


def joined(text: bytes, signature: bytes) -> str:
    """Return the whole token."""
    return (text + b"." + _b64(signature)).decode("ascii")


def key_set(keys: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the key set of public keys: ids, and DER SubjectPublicKeyInfo."""
    rows = []
    for key_id, der in keys:
        numbers = _key(der).public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        rows.append(
            {
                "kty": "RSA",
                "use": "sig",
                "alg": ALGORITHM,
                "kid": key_id,
                "n": _b64(numbers.n.to_bytes(size, "big")).decode("ascii"),
                "e": _b64(numbers.e.to_bytes(3, "big")).decode("ascii"),
            }
        )
    return _json({"keys": rows})


def verifying(keys: Sequence[tuple[str, bytes]]) -> tuple[VerifyingKey, ...]:
    """Return the same keys for verifying."""
    return tuple(VerifyingKey(key_id, frozenset({ALGORITHM}), _key(der)) for key_id, der in keys)


def _key(der: bytes) -> RSAPublicKey:
    found = load_der_public_key(der)
    assert isinstance(found, RSAPublicKey)
    return found


def _json(part: object) -> bytes:
    return json.dumps(part, separators=(",", ":")).encode()


def _b64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")
