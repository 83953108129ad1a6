"""An authenticator in software, as a browser shows it: makes a key for a site, signs challenges."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor

from hyok.identity.passkeys import encode

UP, UV, BE, AT = 0x01, 0x04, 0x08, 0x40


@dataclass
class SoftAuthenticator:
    """One key for one site.  ``flags``: what it says of the person at every use."""

    rp_id: str = "localhost"
    origin: str = "https://localhost:8444"
    flags: int = UP | UV
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def cose(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return cbor.encode(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )

    def client_data(self, kind: str, challenge: bytes, **more: object) -> bytes:
        said = {"type": kind, "challenge": encode(challenge), "origin": self.origin, **more}
        return json.dumps({"crossOrigin": False, **said}).encode()

    def _data(self, more: bytes = b"", flags: int = 0) -> bytes:
        head = sha256(self.rp_id.encode()).digest() + bytes([self.flags | flags])
        return head + self.count.to_bytes(4, "big") + more

    def make(self, challenge: bytes) -> dict[str, str]:
        """Answer navigator.credentials.create."""
        data = bytes(16) + len(self.credential_id).to_bytes(2, "big")
        attested = self._data(data + self.credential_id + self.cose, AT)
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": attested})
        return {
            "clientData": encode(self.client_data("webauthn.create", challenge)),
            "attestation": encode(attestation),
        }

    def sign(self, challenge: bytes, **more: object) -> dict[str, str]:
        """Answer navigator.credentials.get."""
        self.count += 1
        client_data, data = self.client_data("webauthn.get", challenge, **more), self._data()
        signed = data + sha256(client_data).digest()
        return {
            "credentialId": encode(self.credential_id),
            "clientData": encode(client_data),
            "authenticatorData": encode(data),
            "signature": encode(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
        }
