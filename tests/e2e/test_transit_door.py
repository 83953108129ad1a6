"""Vault Transit over TLS and SoftHSM: hvac, the client of Vault, asks as it asks a Vault.

An issuer over TLS plays the Kubernetes API server for logins.
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

import hvac
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.e2e import four_eyes, operated
from tests.faults.shim import Shim
from tests.peers.oidc_issuer import OidcIssuer
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler here"),
]
SEEN_SECONDS_MAX = 5.0
DEADLINE_SECONDS = 2.0
AUDIENCE, SUBJECT = "hyok", "system:serviceaccount:zaken:archief"


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


@dataclass
class Stage:
    """The door, its officers, and clients of it."""

    made: operated.Operated
    shim: Shim
    url: str
    folder: Path
    officers: list[tuple[str, ...]]
    issuer: OidcIssuer
    token: str
    token_id: str

    def client(self, token: str | None = None, **more: Any) -> Any:
        return hvac.Client(
            self.url,
            token=self.token if token is None else token,
            verify=str(self.folder / "ca.pem"),
            **more,
        )

    def until(self, refused: type[Exception] | None, ask: Callable[[], Any]) -> float:
        """Return how long it took until an answer is such an error; None: until it works."""
        began = time.monotonic()
        while True:
            try:
                ask()
                seen: type[Exception] | None = None
            except (hvac.exceptions.VaultError, requests.exceptions.ConnectionError) as error:
                seen = type(error)  # the door is a process of its own and may open a little later
            if seen is refused:
                return time.monotonic() - began
            assert time.monotonic() - began < 20, seen
            time.sleep(0.1)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="hyok-transit-"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    served = authority.issue_cert("localhost")
    served.private_key_pem.write_to_path(folder / "door.key")
    (folder / "door.pem").write_bytes(b"".join(b.bytes() for b in served.cert_chain_pems))
    port = free_port()
    with OidcIssuer(folder) as issuer:
        settings = (
            f"[doors.transit]\nenabled = true\nport = {port}\n"
            f'tls_certificate = "{folder}/door.pem"\ntls_key = "{folder}/door.key"\n'
            f"deadline_ms = {round(DEADLINE_SECONDS * 1000)}\n"
            f'[[web_identity.issuers]]\nissuer = "{issuer.url}"\n'
            f'ca_file = "{issuer.ca_file}"\n'
        )
        shim = Shim(folder)
        made = operated.copied(folder, shim=shim, limits=settings)
        officers = four_eyes.found(made.config)
        app = ["apps", "create", "kluis", "--tenant", "gemeente", "--grant", "use-keys"]
        made.cli([*app, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"])
        key = ["doors", "keys", "create", "--tenant", "gemeente", "--app", "kluis"]
        key += ["--classification", "vertrouwelijk"]
        four_eyes.together(
            made.config,
            [*key, "sops"],
            [*key, "zegel", "--usage", "hmac"],
            [*key, "teken", "--usage", "sign"],
            who=officers,
        )
        trust = ["apps", "trust", "add", "kluis", "--issuer", issuer.url]
        shown, _, _ = made.cli(
            ["doors", "transit-token", "create", "kluis", "--expires", "90d", "--json"],
            [*trust, "--subject", SUBJECT, "--audience", AUDIENCE],
        )
        (row,) = json.loads(shown)
        made.serve()
        url = f"https://localhost:{port}"
        known = Stage(made, shim, url, folder, officers, issuer, row["token"], row["id"])
        transit = known.client().secrets.transit
        known.until(None, lambda: transit.encrypt_data("sops", b64(b"x")))
        yield known
        made.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_hvac_encrypts_decrypts_rewraps_and_takes_data_keys(stage: Stage) -> None:
    client = stage.client()
    assert client.is_authenticated()
    assert client.sys.is_initialized()
    assert not client.sys.is_sealed()
    assert client.sys.read_health_status(method="GET")["sealed"] is False
    assert client.sys.read_health_status().status_code == 200  # HEAD
    transit = client.secrets.transit
    assert transit.list_keys()["data"]["keys"] == ["sops", "teken", "zegel"]
    shown = transit.read_key("sops")["data"]
    assert (shown["type"], shown["latest_version"]) == ("aes256-gcm96", 1)
    for plain in (b"", b"Hello World!", bytes(range(256)) * 16):
        sealed = transit.encrypt_data("sops", b64(plain), associated_data=b64(b"zaak"))["data"]
        assert sealed["ciphertext"].startswith("vault:v1:")
        beside = {"associated_data": b64(b"zaak")}
        opened = transit.decrypt_data("sops", sealed["ciphertext"], **beside)["data"]
        assert b64decode(opened["plaintext"]) == plain
        with pytest.raises(hvac.exceptions.InvalidRequest, match="message authentication failed"):
            transit.decrypt_data("sops", sealed["ciphertext"], associated_data=b64(b"ander"))
    batch = [{"plaintext": b64(b"1")}, {"plaintext": "%"}]
    with pytest.raises(hvac.exceptions.InvalidRequest):
        transit.encrypt_data("sops", batch_input=batch)
    context = b64(b"emmer/object")
    for bits in (128, 256, 512):
        made = transit.generate_data_key("sops", "plaintext", context=context, bits=bits)["data"]
        assert len(b64decode(made["plaintext"])) == bits // 8
        opened = transit.decrypt_data("sops", made["ciphertext"], context=context)["data"]
        assert opened["plaintext"] == made["plaintext"]
    assert "plaintext" not in transit.generate_data_key("sops", "wrapped")["data"]
    assert len(b64decode(transit.generate_random_bytes(48)["data"]["random_bytes"])) == 48
    old = transit.encrypt_data("sops", b64(b"oud"))["data"]["ciphertext"]
    four_eyes.together(
        stage.made.config,
        ["doors", "keys", "rotate", "sops", "--tenant", "gemeente"],
        who=stage.officers,
    )
    deadline = time.monotonic() + SEEN_SECONDS_MAX
    while transit.read_key("sops")["data"]["latest_version"] != 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    new = transit.rewrap_data("sops", old)["data"]["ciphertext"]
    assert new.startswith("vault:v2:")
    for text in (old, new):
        opened = transit.decrypt_data("sops", text)["data"]["plaintext"]
        assert b64decode(opened) == b"oud"


def test_hvac_has_macs_made_and_checked(stage: Stage) -> None:
    transit = stage.client().secrets.transit
    made = transit.generate_hmac("zegel", b64(b"bericht"), algorithm="sha2-256")["data"]["hmac"]
    prefix, version, value = made.split(":")
    assert (prefix, version, len(b64decode(value))) == ("vault", "v1", hashlib.sha256().digest_size)
    assert transit.verify_signed_data("zegel", b64(b"bericht"), hmac=made)["data"]["valid"] is True
    assert transit.verify_signed_data("zegel", b64(b"ander"), hmac=made)["data"]["valid"] is False


def test_hvac_has_texts_signed_and_another_library_verifies(stage: Stage) -> None:
    transit = stage.client().secrets.transit
    shown = transit.read_key("teken")["data"]["keys"]["1"]["public_key"]
    key = load_pem_public_key(shown.encode())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = transit.sign_data("teken", b64(b"bericht"), hash_algorithm="sha2-256")["data"]
    key.verify(b64decode(signed["signature"].split(":")[2]), b"bericht", ec.ECDSA(SHA256()))
    for text, valid in ((b"bericht", True), (b"ander", False)):
        told = transit.verify_signed_data("teken", b64(text), signature=signed["signature"])
        assert told["data"]["valid"] is valid


def test_what_leaves_the_hsm_is_nothing(stage: Stage) -> None:
    client = stage.client()
    transit = client.secrets.transit
    with pytest.raises(hvac.exceptions.Forbidden):
        transit.export_key("sops", key_type="encryption-key")
    with pytest.raises(hvac.exceptions.Forbidden):
        transit.backup_key("sops")
    with pytest.raises(hvac.exceptions.Forbidden, match="officers"):
        transit.create_key("nieuw")
    with pytest.raises(hvac.exceptions.Forbidden, match="officers"):
        transit.rotate_key("sops")
    assert transit.create_key("sops").status_code == 204  # as Vault: it is there
    with pytest.raises(hvac.exceptions.Forbidden):
        stage.client("hyv.onbekend").secrets.transit.read_key("sops")
    with pytest.raises(hvac.exceptions.Forbidden):
        stage.client(namespace="buurgemeente").secrets.transit.read_key("sops")
    assert stage.client(namespace="gemeente").secrets.transit.read_key("sops")


def test_a_workload_of_kubernetes_comes_in_with_its_own_token(stage: Stage) -> None:
    client = stage.client("")
    login = client.auth.kubernetes.login("kluis", stage.issuer.token(SUBJECT, AUDIENCE))
    assert login["auth"]["lease_duration"] > 0
    assert client.is_authenticated()
    sealed = client.secrets.transit.encrypt_data("sops", b64(b"x"))["data"]["ciphertext"]
    opened = stage.client().secrets.transit.decrypt_data("sops", sealed)["data"]["plaintext"]
    assert b64decode(opened) == b"x"
    for wrong in (("system:serviceaccount:anders:x", AUDIENCE), (SUBJECT, "x")):
        with pytest.raises(hvac.exceptions.Forbidden):
            stage.client("").auth.kubernetes.login("kluis", stage.issuer.token(*wrong))


def test_an_officer_stops_a_key_and_a_token_within_seconds(stage: Stage) -> None:
    transit = stage.client().secrets.transit

    def ask() -> Any:
        return transit.encrypt_data("sops", b64(b"x"))

    state = ["--tenant", "gemeente", "--reason", "incident"]
    denied = hvac.exceptions.Forbidden
    stage.made.cli(["doors", "keys", "suspend", "sops", *state])
    assert stage.until(denied, ask) < SEEN_SECONDS_MAX
    stage.made.cli(["doors", "keys", "resume", "sops", *state])
    stage.until(None, ask)
    stage.made.cli(["freeze", "door", "transit", "--reason", "incident"])
    assert stage.until(denied, ask) < SEEN_SECONDS_MAX
    stage.made.cli(["thaw", "door", "transit", "--reason", "voorbij"])
    stage.until(None, ask)


def test_a_hanging_hsm_is_answered_within_the_deadline_and_serves_again(stage: Stage) -> None:
    transit = stage.client().secrets.transit
    (hung,) = stage.made.agents()
    stage.shim.order("C_EncryptInit hang 0 once")
    began = time.monotonic()
    with pytest.raises(hvac.exceptions.VaultDown):
        transit.encrypt_data("sops", b64(b"x"))
    assert time.monotonic() - began < DEADLINE_SECONDS + 1
    stage.shim.order()
    deadline = time.monotonic() + 20
    while hung in stage.made.agents() or not stage.made.agents():  # it is replaced at its deadline
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stage.until(None, lambda: transit.encrypt_data("sops", b64(b"x")))


def test_every_use_is_on_the_log_and_a_revoked_token_is_refused(stage: Stage) -> None:
    doctor = json.loads(stage.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    assert checks["door transit"] == "ok"
    assert checks["door transit port"] == "ok"
    stage.made.cli(["doors", "transit-token", "revoke", stage.token_id])
    read = stage.client().secrets.transit.read_key
    assert stage.until(hvac.exceptions.Forbidden, lambda: read("sops")) < SEEN_SECONDS_MAX
    log = next((stage.made.home / "audit").glob("*.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for action in ("key:encrypt", "key:decrypt", "key:mac", "key:sign", "key:verify", "key:random"):
        uses = [one for one in records if one["action"] == action]
        assert {"pending", "done"} <= {one["outcome"] for one in uses}, action
        assert {one["actor"] for one in uses} == {"kluis"}
    logins = [one["outcome"] for one in records if one["action"] == "door:login"]
    assert logins == ["done", "denied", "denied"]
    assert stage.token.rpartition(".")[2] not in log.read_text()
    management = f"http://127.0.0.1:{stage.made.management + 1}"
    metrics = urllib.request.urlopen(f"{management}/metrics", timeout=10).read().decode()
    assert 'hyok_door_requests_total{door="transit",error="none",operation="encrypt"}' in metrics
    public = stage.folder / "audit.pub"
    public.write_text(stage.made.cli(["audit", "key"])[0])
    stage.made.close()
    verified = subprocess.run(
        [sys.executable, "-m", "hyok", "audit", "verify", str(log), "--key", str(public)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
