"""Keys and tokens of an issuer, signed as a Kubernetes API server signs them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://kubernetes.default.svc"
AUDIENCE = "https://hyok.example"
SUBJECT = "system:serviceaccount:zaken:archief"
NOW_S = 1_800_000_000


def private_key(kind: str, number: int = 0) -> Any:
    """Return a private key; the same for the same arguments, since making one is slow."""
    return _private_key(kind, number)


@lru_cache
def _private_key(kind: str, number: int) -> Any:
    del number  # it tells keys apart
    if kind == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if kind == "small":
        return rsa.generate_private_key(65537, 1024)
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "ES384" else ec.SECP256R1())


def public_jwk(kind: str, number: int = 0, **more: object) -> dict[str, Any]:
    """Return the public half as an entry of a key set."""
    public = private_key(kind, number).public_key()
    writer = {"RS256": RSAAlgorithm, "small": RSAAlgorithm, "EdDSA": OKPAlgorithm}
    entry = writer.get(kind, ECAlgorithm).to_jwk(public, as_dict=True)
    return {**entry, "kid": f"{kind}-{number}", "use": "sig", **more}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def claims(**changes: object) -> dict[str, Any]:
    """Return the claims of a projected service account token; None leaves one out."""
    namespace, _, name = SUBJECT.removeprefix("system:serviceaccount:").partition(":")
    every = {
        "aud": [AUDIENCE],
        "exp": NOW_S + 3600,
        "iat": NOW_S,
        "nbf": NOW_S,
        "iss": ISSUER,
        "jti": "8f3e7b52-6a38-4f0e-9c54-3f0a30cf5a0e",
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": "5b9e4c0c-1111-4b21-8e0c-0d2d1a1f3a55"},
        },
        "sub": SUBJECT,
        **changes,
    }
    return {name: value for name, value in every.items() if value is not None}


def token(kind: str = "RS256", number: int = 0, *, kid: str = "", **changes: object) -> str:
    headers = {"kid": kid or f"{kind}-{number}", "typ": None}
    return jwt.encode(claims(**changes), private_key(kind, number), algorithm=kind, headers=headers)


def raw_token(payload: bytes, kind: str = "RS256", headers: dict[str, Any] | None = None) -> str:
    """Return a genuine signature over whatever payload."""
    return jwt.api_jws.PyJWS().encode(
        payload, private_key(kind), algorithm=kind, headers=headers or {"kid": f"{kind}-0"}
    )


def encoded(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Published:
    """A key set that can be changed or taken away, and counts how often it is fetched."""

    raw: bytes = field(default_factory=lambda: key_set(public_jwk("RS256")))
    fail: Exception | None = None
    fetches: int = 0

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.fail is not None:
            raise self.fail
        return self.raw
