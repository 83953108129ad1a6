"""npm's oidc-provider as the identity provider of officers: a real one, over TLS, on loopback."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Self
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin

import trustme
from tests.peers.environments import node_modules
from tests.peers.ports import free_port

PACKAGES = Path(__file__).parent / "oidc"
CLIENT = "hyok-officers"
CLI_CLIENT = "hyok-cli"
START_SECONDS_MAX = 60


@dataclass
class OidcProvider:
    """Use it as a context manager.

    Args:
        folder: for its certificate and program.
        redirect_uri: where it sends browsers back to; programs, to any port of loopback.
        seconds: how long an ID token lasts.
    """

    folder: Path
    redirect_uri: str
    seconds: int = 300

    def __enter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        leaf = authority.issue_cert("127.0.0.1", "localhost")
        cert, key = self.folder / "provider.pem", self.folder / "provider.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        port = free_port()
        self.issuer = f"https://127.0.0.1:{port}"
        given = {
            "issuer": self.issuer,
            "port": port,
            "cert": str(cert),
            "key": str(key),
            "clientId": CLIENT,
            "webRedirect": self.redirect_uri,
            "seconds": self.seconds,
        }
        program = self.folder / "provider.mjs"
        shutil.copy(PACKAGES / "provider.mjs", program)
        (self.folder / "node_modules").symlink_to(node_modules("oidc-provider", PACKAGES))
        self._log = (self.folder / "provider.out").open("wb")
        self._process = subprocess.Popen(
            ["node", str(program), json.dumps(given)],
            cwd=self.folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_SECONDS_MAX
        while b"listening" not in (self.folder / "provider.out").read_bytes():
            said = (self.folder / "provider.out").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    @property
    def ca_file(self) -> Path:
        return self.folder / "provider-ca.pem"

    def sign_in(self, address: str, login: str, until: str) -> str:
        """Do what a person does in a browser; return the address that they are sent back to.

        ``until``: how that address begins; it is not asked.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPCookieProcessor(CookieJar()),
            _NoRedirect(),
        )
        body: bytes | None = None
        for _ in range(20):
            if address.startswith(until):
                return address
            try:
                with opener.open(address, body, timeout=20) as answer:
                    text = answer.read().decode()
                    status, to = answer.status, answer.headers.get("location", "")
            except HTTPError as error:
                text, status, to = error.read().decode(), error.code, error.headers.get("location")
            if status in (302, 303):
                address, body = urljoin(address, to), None
                continue
            form = re.search(r'<form[^>]*action="([^"]+)"', text)
            assert form is not None, text[:2000]
            prompt = re.search(r'name="prompt" value="([a-z]+)"', text)
            assert prompt is not None, text[:2000]
            fields = {"prompt": prompt[1]}
            if prompt[1] == "login":
                fields |= {"login": login, "password": "x"}
            address, body = urljoin(address, unescape(form[1])), urlencode(fields).encode()
        raise AssertionError(f"the provider does not send back: {address}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None
