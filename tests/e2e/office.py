"""Office in front of the door for Double Key Encryption: encrypts by itself, asks to decrypt."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.unit.identity import issuer

if TYPE_CHECKING:
    from pathlib import Path

TENANT = "11111111-2222-4333-8444-555555555555"
KEY = "geheim-2026"
WAY = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def settings(folder: Path, port: int) -> str:
    """Return the settings of the door, and write what the directory publishes."""
    (folder / "entra.json").write_bytes(issuer.key_set(issuer.public_jwk("RS256")))
    return (
        f'[doors.dke]\nenabled = true\nport = {port}\ntls_certificate = "{folder}/xks.pem"\n'
        f'tls_key = "{folder}/xks.key"\npublic_url = "https://localhost:{port}"\napp = "office"\n'
        f'[[doors.dke.tenants]]\nid = "{TENANT}"\njwks_file = "{folder}/entra.json"\n'
        f'[[doors.dke.keys]]\nname = "{KEY}"\nlabel = "Geheim"\n'
        'classification = "vertrouwelijk"\npeople = ["@gemeente.example"]\n'
    )


@dataclass
class Office:
    """One person at a desk; the directory gives them tokens."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def token(self, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "aud": self.url,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "tid": TENANT,
            "sub": "b5b5",
            "upn": "anna@gemeente.example",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        }
        key = issuer.private_key("RS256")
        return jwt.encode(claims | changes, key, algorithm="RS256", headers={"kid": "RS256-0"})

    def ask(self, url: str, body: object = None, token: str = "") -> tuple[int, Any, Any]:
        """Return status, document and headers."""
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, headers)
        trust = ssl.create_default_context(cafile=self.folder / "ca.pem")
        try:
            with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
                return answer.status, json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers

    def sealed(self, plain: bytes) -> tuple[str, dict[str, str]]:
        """Return where to have it opened, and what to send there."""
        status, document, _ = self.ask(f"{self.url}/{KEY}")
        assert status == 200, document
        key = document["key"]
        numbers = rsa.RSAPublicNumbers(key["e"], int.from_bytes(b64decode(key["n"]), "big"))
        value = b64encode(numbers.public_key().encrypt(plain, WAY)).decode()
        return f"{key['kid']}/decrypt", {"alg": "RSA-OAEP-256", "value": value}

    def open(self, where: str, sealed: dict[str, str], **claims: Any) -> tuple[int, bytes]:
        status, document, _ = self.ask(where, sealed, self.token(**claims))
        return status, b64decode(document.get("value", ""))
