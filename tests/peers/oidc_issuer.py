"""An OIDC issuer as a Kubernetes API server is one: discovery and keys over TLS, signed tokens.

It answers as it is told: with its keys, late, too much, elsewhere, or not at all.
"""

from __future__ import annotations

import gzip
import json
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"


@lru_cache
def first_key() -> rsa.RSAPrivateKey:
    """Return the key that every issuer begins with: making one is slow."""
    return rsa.generate_private_key(65537, 2048)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        return  # a client that breaks off, or trusts another CA, is part of the test


@dataclass
class OidcIssuer:
    """Use it as a context manager; ``folder`` gets the CA's certificate."""

    folder: Path
    bearer: str = ""  # what callers must show, when not empty
    asked: list[str] = field(default_factory=list)  # paths, in order
    seen: list[dict[str, str]] = field(default_factory=list)  # headers, in order
    misbehave: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)  # kid -> private key

    def __enter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.kid = "first"
        self.keys[self.kid] = first_key()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ca_file(self) -> Path:
        return self.folder / "issuer-ca.pem"

    def rotate(self, kind: str = "RS256", *, keep: bool = False) -> str:
        """Sign with a new key from now on; return its id."""
        if not keep:
            self.keys.clear()
        made: Any = (
            rsa.generate_private_key(65537, 2048)
            if kind == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        self.kid = uuid.uuid4().hex
        self.keys[self.kid] = made
        return self.kid

    def token(
        self,
        subject: str = "system:serviceaccount:zaken:archief",
        audience: str = "https://hyok.example",
        *,
        lifetime_s: float = 3600,
        key: Any = None,
        kid: str = "",
        **changes: object,
    ) -> str:
        """Return a projected service account token, as `kubectl create token` would."""
        namespace, name = subject.rsplit(":", 2)[-2:]
        now = int(time.time())
        claims = {
            "aud": [audience],
            "exp": now + lifetime_s,
            "iat": now,
            "iss": self.url,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": str(uuid.uuid4())},
            },
            "nbf": now,
            "sub": subject,
            **changes,
        }
        signing = key or self.keys[self.kid]
        algorithm = "RS256" if isinstance(signing, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(claims, signing, algorithm, {"kid": kid or self.kid, "typ": None})

    def key_set(self) -> bytes:
        entries = []
        for kid, key in self.keys.items():
            is_rsa = isinstance(key, rsa.RSAPrivateKey)
            writer = RSAAlgorithm if is_rsa else ECAlgorithm
            entry = writer.to_jwk(key.public_key(), as_dict=True)
            entries.append(
                {**entry, "kid": kid, "use": "sig", "alg": "RS256" if is_rsa else "ES256"}
            )
        return json.dumps({"keys": entries}).encode()

    def _answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        wrong = self.misbehave
        if "seconds" in wrong:
            time.sleep(wrong["seconds"])
        if "status" in wrong:
            return wrong["status"], {}, b"no"
        if "redirect" in wrong:
            return 302, {"location": wrong["redirect"]}, b""
        if "body" in wrong:
            return 200, {}, wrong["body"]
        if wrong.get("gzip"):
            return 200, {"content-encoding": "gzip"}, gzip.compress(b" " * (64 << 20))
        if path == DISCOVERY:
            document = {
                "issuer": wrong.get("issuer", self.url),
                "jwks_uri": wrong.get("jwks_uri", self.url + KEYS),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
            return 200, {}, json.dumps(document).encode() + b" " * wrong.get("pad", 0)
        return (200, {}, self.key_set()) if path == KEYS else (404, {}, b"")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def setup(self) -> None:
                self.request.settimeout(10)
                self.request.do_handshake()
                super().setup()

            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.seen.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, body = issuer._answer(self.path)
                if issuer.bearer and self.headers["authorization"] != f"Bearer {issuer.bearer}":
                    status, headers, body = 403, {}, b"{}"
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        return Handler
