"""AWS's external key store and Office's over TLS and SoftHSM: asked as KMS and Office do.

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.e2e import four_eyes, key_store
from tests.e2e.key_store import KMS_SECONDS, METADATA, SEEN_SECONDS_MAX
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.key_store import Aws

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("gcc")), reason="no curl or no compiler here"
    ),
]
AAD = b"project=nile,department=marketing"


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="hyok-xks-"))


@pytest.fixture(scope="module")
def shim(folder: Path) -> Shim:
    return Shim(folder)


@pytest.fixture(scope="module")
def aws(folder: Path, shim: Shim) -> Iterator[Aws]:
    with key_store.opened(shim, folder, desk=True) as known:
        yield known


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


def test_office_encrypts_by_itself_and_opens_here(aws: Aws) -> None:
    office = aws.office
    assert office is not None
    where, sealed = office.sealed(b"sleutel van een document")
    assert office.open(where, sealed) == (200, b"sleutel van een document")
    status, _, headers = office.ask(where, sealed)
    assert status == 401
    assert f'resource="{office.url}"' in headers["www-authenticate"]
    refused = {
        401: ({"aud": "https://anders.example"}, {"exp": 1}, {"tid": "x"}),
        403: ({"upn": "anna@elders.example"},),
    }
    for wanted, changes in refused.items():
        for change in changes:
            assert office.open(where, sealed, **change) == (wanted, b""), change
    broken = sealed | {"value": "AAAA" + sealed["value"][4:]}
    assert office.open(where, broken)[0] == 400

    aws.made.cli(["freeze", "door", "dke", "--reason", "incident"])
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while office.open(where, sealed)[0] != 403:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert aws.encrypt(b"x")[0] == 200, "the other door is not concerned"
    aws.made.cli(["thaw", "door", "dke", "--reason", "voorbij"])
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while office.open(where, sealed)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_officers_end_a_key_and_no_door_uses_it(aws: Aws) -> None:
    asked = {"requestMetadata": METADATA}
    assert aws.ask("keys/seals/metadata", asked)[1]["keyStatus"] == "ENABLED"
    whole = ["seals", "--tenant", "gemeente", "--reason", "opgeheven"]
    aws.made.cli(["doors", "keys", "suspend", *whole])
    destroy = ["doors", "keys", "destroy", *whole]
    (done,) = four_eyes.together(aws.made.config, destroy, who=aws.officers)
    assert "destroyed in a" in done
    aws.until("InvalidStateException", key="seals")
    assert aws.ask("keys/seals/metadata", asked)[1]["keyStatus"] == "DISABLED"
    assert aws.encrypt(b"x")[0] == 200
    (inventory,) = aws.made.cli(["evidence", "crypto"])[:1]
    states = {
        one["name"]: one["cryptoProperties"]["relatedCryptoMaterialProperties"]["state"]
        for one in json.loads(inventory)["components"]
        if one["name"].startswith("hyok-door/")
    }
    assert states["hyok-door/gemeente/seals/1"] == "destroyed"
    assert states["hyok-door/gemeente/kms/1"] == "active"


def test_a_hanging_hsm_is_answered_before_kms_gives_up_and_serves_again(
    aws: Aws, shim: Shim
) -> None:
    (hung,) = aws.made.agents()
    shim.order("C_EncryptInit hang 0 once")
    answers = []
    deadline = time.monotonic() + 10
    while "DependencyTimeoutException" not in answers and time.monotonic() < deadline:
        answers.append(aws.encrypt(b"x")[1].get("errorName", ""))
        slowest = aws.took
    assert answers[-1] == "DependencyTimeoutException"
    assert slowest < KMS_SECONDS + 0.75  # curl's own start and handshake are in it
    shim.order()
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
    opened = [one for one in records if one["action"] == "key:decrypt" and "office" in one["actor"]]
    assert {"pending", "done", "denied", "failed"} <= {one["outcome"] for one in opened}
    assert "anna@" not in log.read_text()
    made = [one for one in records if one["action"] == "door-key:create"]
    assert {one["outcome"] for one in made} >= {"done"}
    doctor = json.loads(aws.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    assert (checks["door xks"], checks["door dke"]) == ("ok", "ok")
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
