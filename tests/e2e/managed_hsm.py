"""An installation with Azure's external key manager, and a Managed HSM pool on its other side."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import tempfile
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from tests.e2e import four_eyes, operated
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.faults.shim import Shim

NAME, OTHER = "pool-nl.managedhsmclient.azure.net", "pool-be.managedhsmclient.azure.net"
AZURE_SECONDS = 0.25
SEEN_SECONDS_MAX = 5.0
CONTEXT = {"request_id": "r-1", "correlation_id": "c-1", "pool_name": "pool-nl"}


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Azure:
    """A pool of Managed HSM, which keeps its connection."""

    made: operated.Operated
    port: int
    folder: Path
    open: http.client.HTTPSConnection | None = None

    def context(self, certificate: str) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if certificate:
            made.load_cert_chain(self.folder / f"{certificate}.pem")
        return made

    def connect(
        self, certificate: str = "pool", context: ssl.SSLContext | None = None
    ) -> http.client.HTTPSConnection:
        context = context or self.context(certificate)
        return http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)

    def hang_up(self) -> None:
        if self.open is not None:
            self.open.close()
        self.open = None

    def ask(
        self, path: str, body: Any = None, connection: http.client.HTTPSConnection | None = None
    ) -> tuple[int, Any]:
        raw = json.dumps(body or {"request_context": CONTEXT})
        using = connection or self.open or self.connect()
        if connection is None:
            self.open = using
        target = f"/nl/{path}?api-version=0.1-preview"
        using.request("POST", target, raw, {"content-type": "application/json"})
        answer = using.getresponse()
        assert answer.getheader("content-type") == "application/json"
        document = json.loads(answer.read())
        if answer.status != 200:
            assert set(document) == {"code", "message"}
        return answer.status, document

    def use(self, operation: str, alg: str, value: bytes, key: str = "kek") -> tuple[int, Any]:
        body = {"request_context": CONTEXT, "alg": alg, "value": b64(value)}
        return self.ask(f"{key}/{operation}", body)

    def wrap(self, alg: str, value: bytes, key: str = "kek") -> bytes:
        status, document = self.use("wrapkey", alg, value, key)
        assert status == 200, document
        return raw_of(document["value"])

    def until(self, code: str, seconds: float = SEEN_SECONDS_MAX) -> float:
        """Return how long it took until a wrap is answered so; empty: until it works."""
        began = time.monotonic()
        while True:
            document = self.use("wrapkey", "A256KW", bytes(32))[1]
            if document.get("code", "") == code:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, document
            time.sleep(0.1)


def certificates(folder: Path) -> None:
    """Write what the door and its callers show."""
    ours = trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    served = ours.issue_cert("localhost")
    served.private_key_pem.write_to_path(folder / "ekm.key")
    (folder / "ekm.pem").write_bytes(b"".join(b.bytes() for b in served.cert_chain_pems))
    pools(folder)


def pools(folder: Path) -> None:
    """Write what callers show: two pools, and a namesake of another CA."""
    azure, other = trustme.CA(), trustme.CA()
    azure.cert_pem.write_to_path(folder / "azure.pem")
    shown = {
        "pool": azure.issue_cert(NAME, common_name=NAME),
        "other": azure.issue_cert(OTHER, common_name=OTHER),
        "stranger": azure.issue_cert(NAME, common_name="elders.example"),
        "namesake": other.issue_cert(NAME, common_name=NAME),
    }
    for name, certificate in shown.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")


POOLS = (("nl", NAME), ("be", OTHER))
"""Pools: what their paths and apps are called by, and the name that each shows."""


def settings_of(
    folder: Path, port: int, per_second: int = 10_000, known: Sequence[tuple[str, str]] = POOLS
) -> str:
    pools = "".join(
        f'[[doors.ekm.pools]]\nprefix = "/{place}"\napp = "azure-{place}"\n'
        f'client_names = ["{name}"]\nrequests_per_second_max = {per_second}\n'
        for place, name in known
    )
    return (
        f'[doors.ekm]\nenabled = true\nport = {port}\ntls_certificate = "{folder}/ekm.pem"\n'
        f'tls_key = "{folder}/ekm.key"\nclient_ca = "{folder}/azure.pem"\n{pools}'
    )


KEYS = (("azure-nl", "kek"), ("azure-nl", "paar", "--kind", "rsa-2048"), ("azure-be", "hun"))
"""Keys that wrap: whose each is, its name, and what more is said when it is made."""


@contextmanager
def opened(
    shim: Shim | None = None,
    folder: Path | None = None,
    keys: Sequence[Sequence[str]] = KEYS,
) -> Iterator[Azure]:
    """Serve the door over SoftHSM until the block ends."""
    folder = folder or Path(tempfile.mkdtemp(prefix="hyok-ekm-"))
    certificates(folder)
    port = free_port()
    made = operated.copied(folder, shim=shim, limits=settings_of(folder, port))
    officers = four_eyes.found(made.config)
    app = ["--tenant", "gemeente", "--grant", "use-keys", "--clearance", "vertrouwelijk"]
    more = [*app, "--purpose", "versleuteling"]
    made.cli(*(["apps", "create", f"azure-{place}", *more] for place in ("nl", "be")))
    create = ["doors", "keys", "create", "--tenant", "gemeente", "--usage", "wrap"]
    create += ["--classification", "vertrouwelijk", "--app"]
    four_eyes.together(made.config, *([*create, *key] for key in keys), who=officers)
    known = Azure(made, port, folder)
    try:
        made.serve()
        deadline = time.monotonic() + 30
        while True:
            try:
                assert known.ask("info")[0] == 200
                break
            except OSError:
                known.hang_up()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        known.until("", seconds=30)
        yield known
    finally:
        known.hang_up()
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
