"""Google's key service over TLS and SoftHSM: tokens signed and read by PyJWT, and another service.

The other service stands in for whoever the data comes from: it verifies what ours signs with the
keys that ours publishes, and signs for itself.
"""

from __future__ import annotations

import json
import shutil
import ssl
import tempfile
import threading
import time
import urllib.request
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import jwt
import pytest
import requests
import trustme
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from tests.e2e import four_eyes, operated, workspace
from tests.e2e.workspace import KEY, PAGE, Workspace, key_set, private_key, signed, spki_of
from tests.faults.shim import Shim
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
PRIVILEGED = "operation:privilegedunwrap"
ADMINISTRATOR = "beheer@gemeente.example"


@dataclass
class OldService:
    """Another key service: it gives a key out to whom it can verify."""

    folder: Path
    asked: list[dict[str, Any]] = field(default_factory=list)
    new_url: str = ""

    def __enter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.folder / "old-ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}/kacls"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        old = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(key_set("old") if self.path == "/kacls/certs" else "{}")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                old.asked.append(body)
                certs = requests.get(
                    f"{old.new_url}/certs", verify=str(old.folder / "ca.pem"), timeout=5
                ).json()
                kid = jwt.get_unverified_header(body["authentication"])["kid"]
                (entry,) = [one for one in certs["keys"] if one["kid"] == kid]
                claims = jwt.decode(
                    body["authentication"],
                    jwt.PyJWK(entry).key,
                    algorithms=["RS256"],
                    audience="kacls-migration",
                    issuer=old.new_url,
                )
                assert claims["kacls_url"] == old.url
                assert claims["resource_name"] == body["resource_name"]
                self._send(json.dumps({"key": KEY}))

            def _send(self, text: str) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                return

        return Handler


@dataclass
class Stage(Workspace):
    """The door, its officers, and everybody who calls it."""

    made: operated.Operated
    shim: Shim
    officers: list[tuple[str, ...]]
    old: OldService

    def until(self, status: int, ask: Callable[[], requests.Response]) -> float:
        """Return how long it took until an answer has this status."""
        began = time.monotonic()
        while True:
            try:
                seen = ask().status_code
            except requests.exceptions.ConnectionError:
                seen = 0  # the door is a process of its own and may open a little later
            if seen == status:
                return time.monotonic() - began
            assert time.monotonic() - began < 20, seen
            time.sleep(0.1)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="hyok-kacls-"))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    served = authority.issue_cert("localhost")
    served.private_key_pem.write_to_path(folder / "door.key")
    (folder / "door.pem").write_bytes(b"".join(b.bytes() for b in served.cert_chain_pems))
    port = free_port()
    url = workspace.url_of(port)
    with OldService(folder, new_url=url) as old:
        settings = workspace.settings(
            folder,
            port,
            served=folder / "door",
            app="google",
            key="cse",
            more='signing_key = "teken"\nprivate_key = "privaat"\n'
            f'administrators = ["{ADMINISTRATOR}"]\n'
            f"deadline_ms = {round(DEADLINE_SECONDS * 1000)}\n",
        )
        settings += (
            f'[[doors.kacls.services]]\nurl = "{old.url}"\nrewrap_from = true\n'
            f'may_unwrap = true\nprivate_address = true\nca_file = "{folder}/old-ca.pem"\n'
        )
        shim = Shim(folder)
        made = operated.copied(folder, shim=shim, limits=settings)
        officers = four_eyes.found(made.config)
        app = ["apps", "create", "google", "--tenant", "gemeente", "--grant", "use-keys"]
        made.cli([*app, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"])
        key = ["doors", "keys", "create", "--tenant", "gemeente", "--app", "google"]
        key += ["--classification", "vertrouwelijk"]
        four_eyes.together(
            made.config,
            [*key, "cse"],
            [*key, "teken", "--kind", "rsa-2048", "--usage", "sign"],
            [*key, "privaat", "--usage", "private"],
            who=officers,
        )
        made.serve()
        known = Stage(url, folder, made, shim, officers, old)
        known.until(200, known.wrap)
        yield known
        made.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_browser_wraps_and_unwraps(stage: Stage) -> None:
    preflight = stage.ask("wrap", "OPTIONS")
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == PAGE
    status = stage.ask("status", "GET").json()
    assert status["server_type"] == "KACLS"
    assert {"rewrap", "delegate", "certs"} <= set(status["operations_supported"])
    wrapped = stage.wrap()
    assert wrapped.headers["access-control-allow-origin"] == PAGE
    assert stage.unwrap(wrapped.json()["wrapped_key"]).json() == {"key": KEY}
    other = stage.unwrap(
        wrapped.json()["wrapped_key"],
        authorization=stage.may(role="reader", resource_name="doc-43"),
    )
    assert (other.status_code, other.json()["code"]) == (403, 403)
    assert stage.wrap(authorization=stage.may(role="reader")).status_code == 403
    assert stage.wrap(authentication=stage.who(aud="else")).status_code == 401
    assert stage.ask("nothing").status_code == 404


def test_a_delegate_opens_by_a_token_of_ours(stage: Stage) -> None:
    wrapped = stage.wrap().json()["wrapped_key"]
    may = stage.may(role="reader", delegated_to="zaal@gemeente.example")
    told = stage.ask("delegate", authorization=may, authentication=stage.who()).json()
    token = told["delegated_authentication"]
    (entry,) = stage.ask("certs", "GET").json()["keys"]
    claims = jwt.decode(
        token,
        jwt.PyJWK(entry).key,
        algorithms=["RS256"],
        audience="cse-authentication",
        issuer=stage.url,
    )
    assert claims["delegated_to"] == "zaal@gemeente.example"
    assert stage.unwrap(wrapped, authorization=may, authentication=token).json() == {"key": KEY}


def test_a_key_comes_from_another_service(stage: Stage) -> None:
    body = {
        "authorization": stage.may("migration", email="", role="migrator"),
        "original_kacls_url": stage.old.url,
        "wrapped_key": b64encode(b"of the old service").decode(),
        "reason": "verhuizing",
    }
    answer = stage.ask("rewrap", **body)
    assert answer.status_code == 200, answer.text
    assert stage.unwrap(answer.json()["wrapped_key"]).json() == {"key": KEY}
    digest = stage.ask(
        "digest",
        authorization=stage.may("migration", email="", role="verifier"),
        wrapped_key=answer.json()["wrapped_key"],
    )
    assert digest.json() == {"resource_key_hash": answer.json()["resource_key_hash"]}
    (asked,) = stage.old.asked
    assert b64decode(asked["wrapped_key"]) == b"of the old service"
    assert stage.ask("rewrap", **(body | {"original_kacls_url": stage.url})).status_code == 403


def test_officers_stand_behind_every_privileged_call(stage: Stage) -> None:
    wrapped = stage.wrap().json()["wrapped_key"]

    def by_hand() -> requests.Response:
        who = stage.who(email=ADMINISTRATOR)
        return stage.ask(
            "privilegedunwrap", authentication=who, resource_name="doc-42", wrapped_key=wrapped
        )

    def by_service() -> requests.Response:
        token = signed(
            "old",
            iss=stage.old.url,
            aud="kacls-migration",
            kacls_url=stage.url,
            resource_name="doc-42",
        )
        return stage.ask(
            "privilegedunwrap", authentication=token, resource_name="doc-42", wrapped_key=wrapped
        )

    assert (by_hand().status_code, by_service().status_code) == (403, 403)
    request = ["break-glass", "request-door", "kacls", "--tenant", "gemeente", "--minutes", "30"]
    request += ["--door-key", "cse", "--app", "google", "--operation", "privilegedunwrap"]
    request += ["--person", ADMINISTRATOR, "--person", stage.old.url, "--ticket", "INC-7"]
    request += ["--operation", "wrapprivatekey", "--resource", spki_of(private_key("jan"))]
    four_eyes.together(stage.made.config, [*request, "--resource", "doc-42"], who=stage.officers)
    assert stage.until(200, by_hand) < SEEN_SECONDS_MAX
    assert by_hand().json() == {"key": KEY}
    assert by_service().json() == {"key": KEY}
    _check_mail(stage)
    (granted,) = json.loads(stage.made.cli(["break-glass", "list", "--json"])[0])
    assert granted["bucket"] == "door kacls"
    stage.made.cli(["break-glass", "end", granted["grant"], *stage.officers[0]])
    assert stage.until(403, by_hand) < SEEN_SECONDS_MAX


def in_time(ask: Callable[[], requests.Response]) -> requests.Response:
    """Return an answer; a machine busy with others may take longer than the door, which says so."""
    for _ in range(10):
        answer = ask()
        if answer.status_code != 503:
            return answer
        assert answer.headers["retry-after"]
    raise AssertionError(answer.text)


def _check_mail(stage: Stage) -> None:
    """Return quietly if a private key signs in the HSM what another library verifies."""
    key = private_key("jan")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    who = stage.who(email=ADMINISTRATOR)
    asked = {"authentication": who, "private_key": pem, "perimeter_id": ""}
    wrapped = in_time(lambda: stage.ask("wrapprivatekey", **asked))
    digest = sha256(b"bericht").digest()
    body = {
        "authentication": stage.who(),
        "authorization": stage.may(
            "gmail", role="signer", spki_hash=spki_of(key), spki_hash_algorithm="SHA-256"
        ),
        "algorithm": "SHA256withRSA",
        "digest": b64encode(digest).decode(),
        "wrapped_private_key": wrapped.json()["wrapped_private_key"],
        "reason": "",
    }
    told = in_time(lambda: stage.ask("privatekeysign", **body)).json()
    signature = b64decode(told["signature"])
    key.public_key().verify(signature, b"bericht", padding.PKCS1v15(), hashes.SHA256())
    named = {"spki_hash": spki_of(private_key("piet")), "spki_hash_algorithm": "SHA-256"}
    other = stage.may("gmail", role="signer", **named)
    refused = in_time(lambda: stage.ask("privatekeysign", **(body | {"authorization": other})))
    assert refused.status_code == 403


def test_an_officer_stops_the_key_and_the_door_within_seconds(stage: Stage) -> None:
    state = ["--tenant", "gemeente", "--reason", "incident"]
    stage.made.cli(["doors", "keys", "suspend", "cse", *state])
    assert stage.until(403, stage.wrap) < SEEN_SECONDS_MAX
    stage.made.cli(["doors", "keys", "resume", "cse", *state])
    stage.until(200, stage.wrap)
    stage.made.cli(["freeze", "door", "kacls", "--reason", "incident"])
    assert stage.until(403, stage.wrap) < SEEN_SECONDS_MAX
    stage.made.cli(["thaw", "door", "kacls", "--reason", "voorbij"])
    stage.until(200, stage.wrap)


def test_a_hanging_hsm_is_answered_within_the_deadline_and_serves_again(stage: Stage) -> None:
    (hung,) = stage.made.agents()
    stage.shim.order("C_EncryptInit hang 0 once")
    began = time.monotonic()
    answer = stage.wrap()
    assert (answer.status_code, answer.json()["code"]) == (503, 503)
    assert time.monotonic() - began < DEADLINE_SECONDS + 1
    stage.shim.order()
    deadline = time.monotonic() + 20
    while hung in stage.made.agents() or not stage.made.agents():  # it is replaced at its deadline
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stage.until(200, stage.wrap)


def test_every_use_and_every_refusal_is_on_the_log(stage: Stage) -> None:
    doctor = json.loads(stage.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    assert checks["door kacls"] == "ok", doctor
    assert checks["door kacls port"] == "ok"
    log = next((stage.made.home / "audit").glob("*.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for action in ("key:encrypt", "key:decrypt", "key:sign"):
        uses = [one for one in records if one["action"] == action]
        assert {"pending", "done"} <= {one["outcome"] for one in uses}, action
        assert {one["actor"] for one in uses} == {"google"}
    privileged = [one for one in records if PRIVILEGED in one.get("reasons", ())]
    refused = [one["error"] for one in privileged if one["outcome"] == "denied"]
    assert refused[:2] == ["Refused:HY-2685"] * 2
    begun = [one for one in privileged if one["phase"] == "intend"]
    assert begun
    assert all(any(word.startswith("proposal:") for word in one["reasons"]) for one in begun)
    assert "jan@" not in log.read_text().lower()
    management = f"http://127.0.0.1:{stage.made.management + 1}"
    metrics = urllib.request.urlopen(f"{management}/metrics", timeout=10).read().decode()
    assert 'hyok_door_requests_total{door="kacls",error="none",operation="wrap"}' in metrics
