"""Azure Managed HSM's external keys over TLS 1.3 and SoftHSM: asked as Azure does."""

from __future__ import annotations

import json
import secrets
import shutil
import ssl
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from tests.e2e import managed_hsm
from tests.e2e.managed_hsm import AZURE_SECONDS, SEEN_SECONDS_MAX, b64, raw_of
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.managed_hsm import Azure

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler here"),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="hyok-ekm-"))


@pytest.fixture(scope="module")
def shim(folder: Path) -> Shim:
    return Shim(folder)


@pytest.fixture(scope="module")
def azure(folder: Path, shim: Shim) -> Iterator[Azure]:
    with managed_hsm.opened(shim, folder) as known:
        yield known


def test_the_acceptance_list(azure: Azure) -> None:
    status, info = azure.ask("info")
    assert (status, info["api_version"], info["ekm_product"]) == (200, "0.1-preview", "SoftHSM 2")
    ops = ["wrapKey", "unwrapKey"]
    wanted = {"key_type": "oct", "key_size": 256, "key_ops": ops}
    assert azure.ask("kek/metadata") == (200, wanted)
    for alg, sizes in (("A256KW", (16, 32)), ("A256KWP", (1, 20, 32))):
        for size in sizes:
            value = secrets.token_bytes(size)
            wrapped = azure.wrap(alg, value)
            assert azure.use("unwrapkey", alg, wrapped) == (200, {"value": b64(value)})
            broken = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
            status, said = azure.use("unwrapkey", alg, broken)
            assert (status, said["code"]) == (400, "InvalidRequest")
    status, shown = azure.ask("paar/metadata")
    assert (shown["key_type"], shown["key_size"], shown["e"]) == ("RSA", 2048, "AQAB")
    public = RSAPublicNumbers(65537, int.from_bytes(raw_of(shown["n"]), "big")).public_key()
    for alg, digest in (("RSA-OAEP-256", hashes.SHA256()), ("RSA-OAEP", hashes.SHA1())):
        value = secrets.token_bytes(32)
        sealed = public.encrypt(value, padding.OAEP(padding.MGF1(digest), digest, None))
        assert azure.use("unwrapkey", alg, sealed, "paar") == (200, {"value": b64(value)})
        wrapped = azure.wrap(alg, value, "paar")
        assert len(wrapped) == 256
        assert azure.use("unwrapkey", alg, wrapped, "paar") == (200, {"value": b64(value)})
        bad = sealed[:-1] + bytes([sealed[-1] ^ 1])
        assert azure.use("unwrapkey", alg, bad, "paar") == (400, said), "as any other bad value"
    refused = {
        (400, "UnsupportedAlgorithm"): azure.use("wrapkey", "RSA-OAEP", bytes(32)),
        (404, "KeyNotFound"): azure.use("wrapkey", "A256KW", bytes(32), "hun"),
    }
    for what, (status, document) in refused.items():
        assert (status, document["code"]) == what


def test_only_the_pool_itself_is_let_in(azure: Azure) -> None:
    for certificate in ("other", "stranger"):
        with closing(azure.connect(certificate)) as connection:
            status, document = azure.ask("info", connection=connection)
        assert (status, document["code"]) == (401, "Unauthorized")
    old = azure.context("pool")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    for context in (azure.context(""), azure.context("namesake"), old):
        with (
            closing(azure.connect(context=context)) as connection,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            azure.ask("info", connection=connection)


def test_answers_come_before_azure_gives_up(azure: Azure) -> None:
    took = []
    for number in range(100):
        began = time.monotonic()
        if number % 2:
            azure.wrap("A256KW", bytes(32))
        else:
            azure.wrap("RSA-OAEP-256", bytes(32), "paar")
        took.append(time.monotonic() - began)
    assert sorted(took)[98] < AZURE_SECONDS, sorted(took)[-5:]


def test_an_officer_stops_a_key_within_seconds(azure: Azure) -> None:
    state = ["--tenant", "gemeente", "--reason", "incident"]
    azure.made.cli(["doors", "keys", "suspend", "kek", *state])
    assert azure.until("KeyDisabled") < SEEN_SECONDS_MAX
    assert azure.ask("kek/metadata")[1]["code"] == "KeyDisabled"
    assert azure.wrap("RSA-OAEP", bytes(32), "paar"), "another key is not concerned"
    azure.made.cli(["doors", "keys", "resume", "kek", *state])
    azure.until("")
    azure.made.cli(["freeze", "door", "ekm", "--reason", "incident"])
    assert azure.until("KeyDisabled") < SEEN_SECONDS_MAX
    azure.made.cli(["thaw", "door", "ekm", "--reason", "voorbij"])
    azure.until("")


def test_a_hanging_hsm_is_answered_in_time_and_serves_again(azure: Azure, shim: Shim) -> None:
    (hung,) = azure.made.agents()
    shim.order("C_EncryptInit hang 0 once")
    codes, slowest = set(), 0.0
    deadline = time.monotonic() + 10
    while not codes & {"RequestTimeout", "ServiceUnavailable"} and time.monotonic() < deadline:
        began = time.monotonic()
        status, document = azure.use("wrapkey", "A256KW", bytes(32))
        slowest = max(slowest, time.monotonic() - began)
        codes.add(document.get("code", ""))
        assert status in {200, 408, 503}
    assert codes & {"RequestTimeout", "ServiceUnavailable"}
    assert slowest < AZURE_SECONDS + 0.25  # a busy machine
    shim.order()
    deadline = time.monotonic() + 20
    while hung in azure.made.agents() or not azure.made.agents():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    azure.until("", seconds=20)


def test_every_use_is_on_the_log(azure: Azure) -> None:
    log = next((azure.made.home / "audit").glob("*.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for action in ("key:wrap", "key:unwrap"):
        uses = [one for one in records if one["action"] == action]
        assert {one["actor"] for one in uses} == {"azure-nl"}
        assert {"pending", "done", "failed"} <= {one["outcome"] for one in uses}
        assert all("correlation:c-1" in one["reasons"] for one in uses)
    doctor = json.loads(azure.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    assert (checks["door ekm"], checks["door ekm certificate"]) == ("ok", "ok"), doctor
    management = f"http://127.0.0.1:{azure.made.management + 1}"
    metrics = urllib.request.urlopen(f"{management}/metrics", timeout=10).read().decode()
    assert 'hyok_door_requests_total{door="ekm",error="none",operation="wrapkey"}' in metrics
