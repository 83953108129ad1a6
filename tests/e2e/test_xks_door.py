"""AWS's external key store over TLS and SoftHSM: curl signs and asks as KMS does.

The cases are those of AWS's published test client, written from the protocol's specification.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.e2e import four_eyes, operated, running
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("gcc")), reason="no curl or no compiler here"
    ),
]
REGION, NAME = "eu-central-1", "cks.kms.eu-central-1.amazonaws.com"
SEEN_SECONDS_MAX = 5.0
KMS_SECONDS = 0.25
METADATA = {
    "kmsRequestId": "4112f4d6-db54-4af4-ae30-c55a22a8dfae",
    "kmsOperation": "Encrypt",
    "awsPrincipalArn": "arn:aws:iam::123456789012:user/anna",
    "kmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1234abcd",
}
AAD = b"project=nile,department=marketing"


@dataclass
class Aws:
    """KMS on the other side: its access key, and the certificate that it shows."""

    made: operated.Operated
    shim: Shim
    url: str
    folder: Path
    credential: Mapping[str, str]
    officers: list[tuple[str, ...]]
    took: float = 0.0

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
                f"{self.url}{prefix}/kms/xks/v1/{path}",
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

    def until(self, error: str, *, seconds: float = SEEN_SECONDS_MAX) -> float:
        """Return how long it took until an encryption is answered so; empty: until it works."""
        began = time.monotonic()
        while True:
            status, document = self.encrypt(b"x")
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


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    folder = Path(tempfile.mkdtemp(prefix="hyok-xks-"))
    certificates(folder)
    port = running.free_port()
    settings = (
        f'[doors.xks]\nenabled = true\nport = {port}\ntls_certificate = "{folder}/xks.pem"\n'
        f'tls_key = "{folder}/xks.key"\nclient_ca = "{folder}/amazon.pem"\n'
        f'client_names = ["{NAME}"]\n[[doors.xks.stores]]\nprefix = "/gemeente"\n'
        f'app = "aws-kms"\nregions = ["{REGION}"]\n'
    )
    shim = Shim(folder)
    made = operated.copied(folder, shim=shim, limits=settings)
    officers = four_eyes.found(made.config)
    app = ["apps", "create", "aws-kms", "--tenant", "gemeente", "--grant", "use-keys"]
    made.cli([*app, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"])
    key = ["doors", "keys", "create", "--tenant", "gemeente", "--app", "aws-kms"]
    key += ["--classification", "vertrouwelijk"]
    four_eyes.together(
        made.config,
        [*key, "kms"],
        [*key, "seals", "--usage", "encrypt"],
        [*key, "opens", "--usage", "decrypt"],
        who=officers,
    )
    made.cli(["doors", "xks-file", "/gemeente", "--output", str(folder / "console.json")])
    told = json.loads((folder / "console.json").read_text())
    assert told["XksProxyUriPath"] == "/gemeente/kms/xks/v1"
    made.serve()
    url = f"https://localhost:{port}"
    known = Aws(made, shim, url, folder, told["XksProxyAuthenticationCredential"], officers)
    known.until("", seconds=30)
    yield known
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def name_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["errorName"]


def test_the_cases_of_the_test_client(aws: Aws) -> None:
    health = {"kmsRequestId": "1", "kmsOperation": "KmsHealthCheck"}
    status, document = aws.ask("health", {"requestMetadata": health})
    assert status == 200
    assert [one["healthStatus"] for one in document["ekmFleetDetails"]] == ["ACTIVE"]
    invalid, unknown = (400, "ValidationException"), (401, "AuthenticationFailedException")
    assert name_of(aws.ask("health", {})) == invalid
    assert name_of(aws.ask("health", {"requestMetadata": {}})) == invalid
    assert name_of(aws.ask("health", {"requestMetadata": health}, secret="x" * 44)) == unknown
    elsewhere = aws.ask("health", {"requestMetadata": health}, prefix="/anders")
    assert name_of(elsewhere) == (404, "InvalidUriPathException")
    assert aws.ask("health", {}, method="GET")[0] == 405

    described = aws.ask("keys/kms/metadata", {"requestMetadata": METADATA})
    wanted = {"keySpec": "AES_256", "keyUsage": ["ENCRYPT", "DECRYPT"], "keyStatus": "ENABLED"}
    assert described == (200, wanted)
    absent = aws.ask("keys/anders/metadata", {"requestMetadata": METADATA})
    assert name_of(absent) == (404, "KeyNotFoundException")

    plain, big = b"Hello World!", bytes(range(256)) * 16
    for body, aad in ((plain, b""), (plain, AAD), (big, bytes(8192))):
        more = {"additionalAuthenticatedData": b64encode(aad).decode()} if aad else {}
        status, sealed = aws.encrypt(body, **more, ciphertextDataIntegrityValueAlgorithm="SHA_256")
        assert status == 200, sealed
        fields = ("ciphertextMetadata", "initializationVector", "ciphertext", "authenticationTag")
        digest = hashlib.sha256(aad + b"".join(b64decode(sealed[name]) for name in fields)).digest()
        assert sealed["ciphertextDataIntegrityValue"] == b64encode(digest).decode()
        assert aws.decrypt(sealed, **more) == (200, {"plaintext": b64encode(body).decode()})
        broken = (400, "InvalidCiphertextException")
        other = {"additionalAuthenticatedData": b64encode(b"anders").decode()}
        assert name_of(aws.decrypt(sealed, **other)) == broken
        changed = {"ciphertextMetadata": b64encode(b"v9").decode()}
        assert name_of(aws.decrypt(sealed | changed, **more)) == broken
    assert name_of(aws.encrypt(b"")) == invalid

    wrong = (400, "InvalidKeyUsageException")
    assert aws.encrypt(plain, "seals")[0] == 200
    digest_wanted = {"ciphertextDataIntegrityValueAlgorithm": "SHA_256"}
    assert name_of(aws.encrypt(plain, "seals", **digest_wanted)) == wrong
    assert name_of(aws.decrypt(sealed, "seals")) == wrong
    assert name_of(aws.encrypt(plain, "opens")) == wrong


def test_only_kms_itself_is_let_in(aws: Aws) -> None:
    asked = {"requestMetadata": METADATA}
    assert aws.ask("keys/kms/metadata", asked)[0] == 200
    for certificate in ("", "stranger", "namesake"):
        assert aws.ask("keys/kms/metadata", asked, certificate=certificate)[0] == 0


def test_an_officer_stops_a_key_within_seconds_and_a_freeze_does_so_too(aws: Aws) -> None:
    state = ["--tenant", "gemeente", "--reason", "incident"]
    stopped = "InvalidStateException"
    aws.made.cli(["doors", "keys", "suspend", "kms", *state])
    assert aws.until(stopped) < SEEN_SECONDS_MAX
    aws.made.cli(["doors", "keys", "resume", "kms", *state])
    aws.until("")
    aws.made.cli(["freeze", "key", "gemeente/kms", "--reason", "incident"])
    assert aws.until(stopped) < SEEN_SECONDS_MAX
    aws.made.cli(["thaw", "key", "gemeente/kms", "--reason", "voorbij"])
    aws.until("")


def test_a_hanging_hsm_is_answered_before_kms_gives_up_and_serves_again(aws: Aws) -> None:
    (hung,) = aws.made.agents()
    aws.shim.order("C_EncryptInit hang 0 once")
    answers = []
    deadline = time.monotonic() + 10
    while "DependencyTimeoutException" not in answers and time.monotonic() < deadline:
        answers.append(aws.encrypt(b"x")[1].get("errorName", ""))
        slowest = aws.took
    assert answers[-1] == "DependencyTimeoutException"
    assert slowest < KMS_SECONDS + 0.75  # curl's own start and handshake are in it
    aws.shim.order()
    deadline = time.monotonic() + 20
    while hung in aws.made.agents() or not aws.made.agents():  # it is replaced at its deadline
        assert time.monotonic() < deadline
        time.sleep(0.1)
    aws.until("", seconds=20)


def test_every_use_is_on_the_log_and_the_log_is_whole(aws: Aws) -> None:
    log = next((aws.made.home / "audit").glob("*.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    uses = [one for one in records if one["action"] == "key:encrypt"]
    assert {one["request_id"] for one in uses} == {METADATA["kmsRequestId"]}
    assert {one["actor"] for one in uses} == {"aws-kms"}
    assert {"pending", "done", "denied", "failed"} <= {one["outcome"] for one in uses}
    assert "user/anna" not in log.read_text()
    made = [one for one in records if one["action"] == "door-key:create"]
    assert {one["outcome"] for one in made} >= {"done"}
    doctor = json.loads(aws.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    assert checks["door xks"] == "ok"
    management = f"http://127.0.0.1:{aws.made.management + 1}"
    metrics = urllib.request.urlopen(f"{management}/metrics", timeout=10).read().decode()
    assert 'hyok_door_requests_total{door="xks",error="none",operation="encrypt"}' in metrics
    public = aws.folder / "audit.pub"
    public.write_text(aws.made.cli(["audit", "key"])[0])
    aws.made.close()
    verified = subprocess.run(
        [sys.executable, "-m", "hyok", "audit", "verify", str(log), "--key", str(public)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
