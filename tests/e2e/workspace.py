"""Google Workspace in front of the key service: browsers, and who signs what they show."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "https://client-side-encryption.google.com"
IDP = "https://idp.gemeente.example"
KEY = b64encode(bytes(range(32))).decode()


@cache
def private_key(who: str) -> rsa.RSAPrivateKey:
    del who
    return rsa.generate_private_key(65537, 2048)


def spki_of(key: rsa.RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(public).digest()).decode()


def key_set(who: str) -> str:
    public = RSAAlgorithm.to_jwk(private_key(who).public_key(), as_dict=True)
    return json.dumps({"keys": [{**public, "kid": who, "use": "sig", "alg": "RS256"}]})


def signed(who: str, **claims: object) -> str:
    now = int(time.time())
    every = {"iat": now, "exp": now + 300, **claims}
    return jwt.encode(every, private_key(who), algorithm="RS256", headers={"kid": who})


def url_of(port: int) -> str:
    return f"https://localhost:{port}/v1"


def settings(folder: Path, port: int, *, served: Path, app: str, key: str, more: str = "") -> str:
    """Return the settings of the door, and write what Google and the provider publish.

    ``served``: where its certificate is, without the ending; ``more``: lines of the table itself.
    """
    for who in ("google", "idp"):
        (folder / f"{who}.json").write_text(key_set(who))
    google = "".join(
        f'[[doors.kacls.authorizations]]\napplication = "{one}"\nissuer = "{one}"\n'
        f'jwks_file = "{folder}/google.json"\n'
        for one in ("drive", "gmail", "migration")
    )
    return (
        f'[doors.kacls]\nenabled = true\nport = {port}\npublic_url = "{url_of(port)}"\n'
        f'tls_certificate = "{served}.pem"\ntls_key = "{served}.key"\n'
        f'app = "{app}"\nkey = "{key}"\n{more}{google}'
        f'[[doors.kacls.providers]]\nissuer = "{IDP}"\naudiences = ["cse"]\n'
        f'jwks_file = "{folder}/idp.json"\n'
    )


@dataclass
class Workspace:
    """Whoever calls the key service, and what Google and the provider sign for them."""

    url: str
    folder: Path

    def ask(self, method: str, verb: str = "POST", **body: Any) -> requests.Response:
        return requests.request(
            verb,
            f"{self.url}/{method}",
            json=body or None,
            headers={"origin": PAGE},
            verify=str(self.folder / "ca.pem"),
            timeout=10,
        )

    def may(self, application: str = "drive", **changes: object) -> str:
        claims: dict[str, object] = {
            "iss": application,
            "aud": "cse-authorization",
            "email": "Jan@gemeente.example",
            "role": "writer",
            "resource_name": "doc-42",
            "kacls_url": self.url,
        }
        return signed("google", **(claims | changes))

    def who(self, **changes: object) -> str:
        claims: dict[str, object] = {"iss": IDP, "aud": "cse", "email": "jan@gemeente.example"}
        return signed("idp", **(claims | changes))

    def wrap(self, **more: Any) -> requests.Response:
        body = {"authorization": self.may(), "authentication": self.who(), "key": KEY}
        return self.ask("wrap", **(body | {"reason": "proef"} | more))

    def unwrap(self, wrapped: str, **more: Any) -> requests.Response:
        body = {"authorization": self.may(role="reader"), "authentication": self.who()}
        return self.ask("unwrap", wrapped_key=wrapped, **(body | more))
