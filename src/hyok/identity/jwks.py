"""An issuer's public keys, read from its JSON web key set.

A key that cannot verify what we accept is left out: one of another kind, for another use, too
small, without a name, or with its private half.

Source: RFC 7517 (JWK), RFC 7518 section 6 (parameters of keys), RFC 8037 (Ed25519).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from hyok.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS_MAX = 64
KEY_ID_CHARS_MAX = 255
RSA_BITS_MIN = 2048
RSA_BITS_MAX = 8192  # a larger one takes long enough to be an attack

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Mapping[str, str] = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One public key and the algorithms that it may verify."""

    key_id: str
    algorithms: frozenset[str]
    key: PublicKey


def parse_jwks(raw: bytes) -> tuple[VerifyingKey, ...]:
    """Return the keys of a set that can verify tokens, in its order.

    Raises:
        Malformed: no key set, or none of its keys can be used.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed("The issuer's key set is not JSON.") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise Malformed(f"The issuer's key set holds no list of at most {KEYS_MAX} keys.")
    keys = tuple(key for key in map(_key, entries) if key is not None)
    if not keys:
        raise Malformed("The issuer publishes no key that can be used.")
    return keys


def _key(entry: object) -> VerifyingKey | None:
    if not isinstance(entry, dict) or not _is_for_tokens(entry):
        return None
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= KEY_ID_CHARS_MAX:
        return None
    key = _public_key(entry)
    algorithms = _algorithms(key) if key is not None else frozenset()
    named = entry.get("alg")
    if named is not None:
        algorithms &= {named} if isinstance(named, str) else frozenset()
    if key is None or not algorithms:
        return None
    return VerifyingKey(key_id, algorithms, key)


def _is_for_tokens(entry: Mapping[str, object]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    # "d": whoever publishes a private key has nothing to vouch for any more.
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in entry
    )


def _public_key(entry: dict[str, object]) -> PublicKey | None:
    kind = entry.get("kty")
    try:
        if kind == "RSA":
            key: object = RSAAlgorithm.from_jwk(entry)
        elif kind == "EC":
            key = ECAlgorithm.from_jwk(entry)
        elif kind == "OKP":
            key = OKPAlgorithm.from_jwk(entry)
        else:
            return None
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None  # one damaged entry takes no other with it
    return key if isinstance(key, PublicKey) else None


def _algorithms(key: PublicKey) -> frozenset[str]:
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA if RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX else frozenset()
    if isinstance(key, ed25519.Ed25519PublicKey):
        return frozenset({"EdDSA"})
    return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
