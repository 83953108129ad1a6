"""An installation with AWS's external key store, and KMS on its other side: curl signs and asks."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from tests.e2e import four_eyes, office, operated
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.e2e.office import Office
    from tests.faults.shim import Shim

REGION, NAME = "eu-central-1", "cks.kms.eu-central-1.amazonaws.com"
KMS_SECONDS = 0.25
SEEN_SECONDS_MAX = 5.0
KEYS = {"kms": (), "seals": ("encrypt",), "opens": ("decrypt",)}
"""Keys by name, each with what it is for alone."""

METADATA = {
    "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    "kmsOperation": "Encrypt",
    "awsPrincipalArn": "arn:aws:iam::123456789012:user/anna",
    "kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd",
}


@dataclass
class Aws:
    """KMS on the other side: its access key, and the certificate that it shows."""

    made: operated.Operated
    port: int
    folder: Path
    credential: Mapping[str, str]
    officers: list[tuple[str, ...]]
    took: float = 0.0
    scheme: str = "https"
    office: Office | None = None

    def ask(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        certificate: str = "kms",
        secret: str = "",
        method: str = "POST",
        prefix: str = "/gemeente",
        timed: bool = False,
    ) -> tuple[int, Any]:
        """Return status and document, as curl gets them; status 0: no answer at all."""
        key = f"{self.credential['AccessKeyId']}:{secret or self.credential['RawSecretAccessKey']}"
        shown = ["--cert", str(self.folder / f"{certificate}.pem")] if certificate else []
        done = subprocess.run(
            [
                *("curl", "-sS", "--cacert", str(self.folder / "ca.pem"), *shown),
                *("--aws-sigv4", f"aws:amz:{REGION}:kms-xks-proxy", "--user", key),
                *("-X", method, "-H", "Content-Type: application/json"),
                *("-d", json.dumps(body), "-w", "\n%{http_code} %{time_total}"),
                f"{self.scheme}://localhost:{self.port}{prefix}/kms/xks/v1/{path}",
            ],
            capture_output=True,
            check=False,
        )
        answer, _, last = done.stdout.rpartition(b"\n")
        status, seconds = last.decode().split()
        self.took = float(seconds)
        if timed:
            assert self.took < KMS_SECONDS + 1.0  # curl starts and shakes hands on a busy machine
        assert b"\n" not in answer
        return int(status), json.loads(answer) if answer else {}

    def encrypt(self, plain: bytes, key: str = "kms", **more: Any) -> tuple[int, Any]:
        body = {"requestMetadata": METADATA, "encryptionAlgorithm": "AES_GCM"}
        body |= {"plaintext": b64encode(plain).decode(), **more}
        return self.ask(f"keys/{key}/encrypt", body)

    def decrypt(self, sealed: Mapping[str, str], key: str = "kms", **more: Any) -> tuple[int, Any]:
        body = {"requestMetadata": METADATA, "encryptionAlgorithm": "AES_GCM"}
        names = ("ciphertext", "initializationVector", "authenticationTag", "ciphertextMetadata")
        body |= {name: sealed[name] for name in names}
        return self.ask(f"keys/{key}/decrypt", body | more)

    def until(self, error: str, *, seconds: float = SEEN_SECONDS_MAX, key: str = "kms") -> float:
        """Return how long it took until an encryption is answered so; empty: until it works."""
        began = time.monotonic()
        while True:
            status, document = self.encrypt(b"x", key)
            if status and document.get("errorName", "") == error:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, (status, document)
            time.sleep(0.1)


def certificates(folder: Path) -> None:
    """Write what the door and its callers show: KMS, a namesake of another CA, a stranger."""
    ours, amazon, other = trustme.CA(), trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ca.pem")
    amazon.cert_pem.write_to_path(folder / "amazon.pem")
    served = ours.issue_cert("localhost")
    served.private_key_pem.write_to_path(folder / "xks.key")
    (folder / "xks.pem").write_bytes(b"".join(b.bytes() for b in served.cert_chain_pems))
    shown = {
        "kms": amazon.issue_cert(NAME, common_name=NAME),
        "stranger": amazon.issue_cert("elders.example.nl", common_name="elders.example.nl"),
        "namesake": other.issue_cert(NAME, common_name=NAME),
    }
    for name, certificate in shown.items():
        certificate.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")


def settings(folder: Path, port: int, *, app: str, mutual: bool = True) -> str:
    """Return the settings of the door, with what `certificates` wrote."""
    clients = f'client_ca = "{folder}/amazon.pem"\nclient_names = ["{NAME}"]\n'
    return (
        f'[doors.xks]\nenabled = true\nport = {port}\ntls_certificate = "{folder}/xks.pem"\n'
        f'tls_key = "{folder}/xks.key"\n{clients if mutual else ""}'
        f'[[doors.xks.stores]]\nprefix = "/gemeente"\napp = "{app}"\n'
        f'regions = ["{REGION}"]\nrequests_per_second_max = 100000\n'
    )


def told_to_aws(made: operated.Operated, folder: Path) -> Mapping[str, str]:
    """Return the access key in the file that is uploaded at AWS."""
    made.cli(["doors", "xks-file", "/gemeente", "--output", str(folder / "console.json")])
    told = json.loads((folder / "console.json").read_text())
    assert told["XksProxyUriPath"] == "/gemeente/kms/xks/v1"
    credential: Mapping[str, str] = told["XksProxyAuthenticationCredential"]
    return credential


@contextmanager
def opened(
    shim: Shim | None = None,
    folder: Path | None = None,
    keys: Mapping[str, tuple[str, ...]] = KEYS,
    *,
    mutual: bool = True,
    desk: bool = False,
) -> Iterator[Aws]:
    """Serve the door over SoftHSM until the block ends; without ``mutual`` to whoever signs.

    ``desk``: Office's door beside it.
    """
    folder = folder or Path(tempfile.mkdtemp(prefix="hyok-xks-"))
    certificates(folder)
    port = free_port()
    written = settings(folder, port, app="aws-kms", mutual=mutual)
    known_office = office.Office(free_port(), folder)
    if desk:
        written += office.settings(folder, known_office.port)
    made = operated.copied(folder, shim=shim, limits=written)
    officers = four_eyes.found(made.config)
    app = ["apps", "create", "aws-kms", "--tenant", "gemeente", "--grant", "use-keys"]
    more = ["--clearance", "vertrouwelijk", "--purpose", "versleuteling"]
    made.cli([*app, *more], [*app[:2], "office", *app[3:], *more])
    key = ["doors", "keys", "create", "--tenant", "gemeente", "--app", "aws-kms"]
    key += ["--classification", "vertrouwelijk"]
    wanted = [[*key, name, *_usage(words)] for name, words in keys.items()]
    if desk:
        wanted.append([*key, office.KEY, "--app", "office", "--kind", "rsa-2048"])
    four_eyes.together(made.config, *wanted, who=officers)
    credential = told_to_aws(made, folder)
    try:
        made.serve()
        known = Aws(made, port, folder, credential, officers)
        known.office = known_office
        known.until("", seconds=30)
        yield known
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _usage(words: tuple[str, ...]) -> list[str]:
    return [part for word in words for part in ("--usage", word)]
