"""Google's client-side encryption: two tokens in each call; answers to an unwrap are compared."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.request
from base64 import b64encode
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jwt
from benchmarks.doors.door import (
    PLAIN,
    REQUESTS,
    Door,
    Request,
    Row,
    app_command,
    key_command,
    post,
    tls_lines,
)
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.doors.door import Stage

APP, KEY = "google", "cse"
IDP = "https://idp.gemeente.example"
LIFE_SECONDS = 7200
RAW = {"wrap": "seal", "unwrap": "open"}


class Kacls(Door):
    name = "kacls"
    in_clear = True

    @cached_property
    def _signer(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @override
    def settings(self, folder: Path, port: int) -> str:
        public = RSAAlgorithm.to_jwk(self._signer.public_key(), as_dict=True)
        keys = folder / "google.json"
        keys.write_text(json.dumps({"keys": [{**public, "kid": "bench", "use": "sig"}]}))
        return (
            f"[doors.kacls]\nenabled = true\nport = {port}\n{tls_lines(folder)}"
            f'public_url = "https://localhost:{port}/v1"\napp = "{APP}"\nkey = "{KEY}"\n'
            "requests_per_second_max = 100000\nrequests_per_user_max = 100000\n"
            '[[doors.kacls.authorizations]]\napplication = "drive"\nissuer = "drive"\n'
            f'jwks_file = "{keys}"\n'
            f'[[doors.kacls.providers]]\nissuer = "{IDP}"\naudiences = ["cse"]\n'
            f'jwks_file = "{keys}"\n'
        )

    @override
    def commands(self, folder: Path) -> list[list[str]]:
        return [app_command(APP)]

    @override
    def key_commands(self) -> list[list[str]]:
        return [key_command(KEY, APP, "vertrouwelijk")]

    def _token(self, **claims: object) -> str:
        now = int(time.time())
        every = {"iat": now, "exp": now + LIFE_SECONDS, **claims}
        return jwt.encode(every, self._signer, algorithm="RS256", headers={"kid": "bench"})

    def _body(self, stage: Stage, number: int = 0, **more: str) -> bytes:
        url = f"https://localhost:{stage.ports['kacls']}/v1"
        may = {"iss": "drive", "aud": "cse-authorization", "role": "writer", "kacls_url": url}
        person = f"jan{number}@gemeente.example"
        body = {
            "authorization": self._token(email=person, resource_name="doc-42", **may),
            "authentication": self._token(iss=IDP, aud="cse", email=person),
            "reason": "",
        }
        return json.dumps(body | more).encode()

    def _ask(self, stage: Stage, way: str, operation: str, **more: str) -> Any:
        scheme = "https" if way == "tls" else "http"
        url = f"{scheme}://localhost:{stage.ports['kacls']}/v1/{operation}"
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(url, self._body(stage, **more), headers)
        trust = ssl.create_default_context(cafile=stage.folder / "ca.pem")
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return json.load(answer)

    @override
    def is_open(self, stage: Stage) -> bool:
        for way in ("clear", "tls"):  # a port in clear would wait for more of a TLS hello
            try:
                self._ask(stage, way, "wrap", key=b64encode(PLAIN).decode())
            except (OSError, http.client.HTTPException):
                continue
            return True
        return False

    @override
    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        way, counts = ("tls", connections) if tls else ("clear", [max(connections)])
        return [
            Row(self.name, operation, raw, count, way=way)
            for operation, raw in RAW.items()
            for count in counts
        ]

    @override
    def requests(self, stage: Stage, row: Row) -> list[Request]:
        told = {"key": b64encode(PLAIN).decode()}
        wrapped = self._ask(stage, row.way, "wrap", **told)["wrapped_key"]
        assert self._ask(stage, row.way, "unwrap", wrapped_key=wrapped) == told
        more, answer = told, b""
        if row.operation == "unwrap":
            more = {"wrapped_key": wrapped}
            answer = json.dumps(told, separators=(",", ":")).encode()
        host, target = f"localhost:{stage.ports['kacls']}", f"/v1/{row.operation}"
        bodies = (self._body(stage, number, **more) for number in range(REQUESTS))
        return [Request(post(host, target, {}, body), answer) for body in bodies]
