"""Every door at once over one SoftHSM: an officer's one command stops what each lets a key do."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import hvac
import pytest
import requests
from tests.e2e import api_server, four_eyes, key_store, managed_hsm, office, operated
from tests.e2e import workspace as google
from tests.e2e.api_server import ApiServer
from tests.e2e.key_store import Aws
from tests.e2e.managed_hsm import Azure
from tests.e2e.office import Office
from tests.e2e.saas_app import SaasApp
from tests.e2e.workspace import Workspace
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("curl"), reason="no curl here"),
]
STOPPED_SECONDS_MAX = 5.0
READY_SECONDS_MAX = 60.0
APP, SHARED, WRAPS = "zaken", "gedeeld", "kek"
USERS = {
    SHARED: {"xks", "transit", "kubernetes", "kacls", "payloads"},
    office.KEY: {"dke"},
    WRAPS: {"ekm"},
}
"""Each key, and the doors that use it."""

DOORS = ("xks", "dke", "transit", "kubernetes", "ekm", "kacls", "payloads")
"""In the order of their management ports."""

DISABLED = {
    "xks": (400, "InvalidStateException"),
    "dke": (403, "You may not use this key, or its owner has suspended it."),
    "transit": (403, "the key's owner has suspended this use"),
    "kubernetes": ("PERMISSION_DENIED", "the key's owner has suspended this use"),
    "ekm": (403, "KeyDisabled"),
    "kacls": (403, "The key's owner has suspended it."),
    "payloads": (403, "suspended"),
}
"""What each protocol says of a key that its owner has disabled."""

SERVED = "served"
PLAIN = b"sleutel"
IN_BASE64 = b64encode(PLAIN).decode()


@dataclass
class Users:
    """Whoever stands before the doors; each method uses a key anew and opens what it sealed before.

    It returns `SERVED`, or what a door says instead.
    """

    made: operated.Operated
    aws: Aws
    office: Office
    vault: hvac.Client
    cluster: ApiServer
    azure: Azure
    browser: Workspace
    app: SaasApp

    def seal(self) -> None:
        """Have something sealed at each door."""
        told = self.aws.encrypt(PLAIN, SHARED)
        assert told[0] == 200, told
        self._at_aws = told[1]
        self._at_desk = self.office.sealed(PLAIN)
        told = self.vault.secrets.transit.encrypt_data(SHARED, IN_BASE64)
        self._in_vault = told["data"]["ciphertext"]
        self._in_cluster = self.cluster.encrypt()
        self._at_azure = self.azure.wrap("A256KW", bytes(32), WRAPS)
        told = self.browser.wrap()
        assert told.status_code == 200, told.text
        self._in_browser = told.json()["wrapped_key"]
        self._in_app = self.app.done("encrypt", {"key": SHARED, "plaintext": IN_BASE64})["token"]

    def ask(self, door: str, what: str) -> object:
        """Return `SERVED`, or what the door says; ``what``: `new` or `old`."""
        asked: Callable[[], object] = getattr(self, f"_{door}_{what}")
        return asked()

    def _xks_new(self) -> object:
        return _of_aws(self.aws.encrypt(PLAIN, SHARED))

    def _xks_old(self) -> object:
        return _of_aws(self.aws.decrypt(self._at_aws, SHARED))

    def _dke_new(self) -> object:
        status, document, _ = self.office.ask(f"{self.office.url}/{office.KEY}")
        return SERVED if status == 200 else (status, document["error"])

    def _dke_old(self) -> object:
        where, sealed = self._at_desk
        status, document, _ = self.office.ask(where, sealed, self.office.token())
        return SERVED if status == 200 else (status, document["error"])

    def _transit_new(self) -> object:
        return _of_vault(lambda: self.vault.secrets.transit.encrypt_data(SHARED, IN_BASE64))

    def _transit_old(self) -> object:
        return _of_vault(lambda: self.vault.secrets.transit.decrypt_data(SHARED, self._in_vault))

    def _kubernetes_new(self) -> object:
        return _of_grpc(self.cluster.encrypt)

    def _kubernetes_old(self) -> object:
        return _of_grpc(lambda: self.cluster.decrypt(self._in_cluster))

    def _ekm_new(self) -> object:
        return _of_azure(self.azure.use("wrapkey", "A256KW", bytes(32), WRAPS))

    def _ekm_old(self) -> object:
        return _of_azure(self.azure.use("unwrapkey", "A256KW", self._at_azure, WRAPS))

    def _kacls_new(self) -> object:
        return _of_google(self.browser.wrap())

    def _kacls_old(self) -> object:
        return _of_google(self.browser.unwrap(self._in_browser))

    def _payloads_new(self) -> object:
        return _of_app(self.app.ask("encrypt", {"key": SHARED, "plaintext": IN_BASE64}))

    def _payloads_old(self) -> object:
        return _of_app(self.app.ask("decrypt", {"token": self._in_app}))

    def until(self, door: str, wanted: object, seconds: float = STOPPED_SECONDS_MAX) -> float:
        """Return how long it took until the door answers every use so."""
        began = time.monotonic()
        while True:
            seen = {self.ask(door, what) for what in ("new", "old")}
            took = time.monotonic() - began
            if seen == {wanted}:
                return took
            assert took < seconds, (door, seen)
            time.sleep(0.1)

    def all_until(self, wanted: Mapping[str, object]) -> dict[str, float]:
        """Return how long each door took; all are asked at the same time."""
        with ThreadPoolExecutor(len(wanted)) as pool:
            took = pool.map(lambda one: self.until(*one), wanted.items())
            return dict(zip(wanted, took, strict=True))

    def check_stopped(self, doors: Collection[str]) -> None:
        """Expect these doors to refuse in time, each in its own words, and the others to serve."""
        took = self.all_until({door: DISABLED[door] for door in doors})
        print({door: round(seconds, 2) for door, seconds in took.items()})
        assert max(took.values()) < STOPPED_SECONDS_MAX, took
        for door in DOORS:
            wanted = DISABLED[door] if door in doors else SERVED
            assert {self.ask(door, what) for what in ("new", "old")} == {wanted}, door

    def check_serving(self) -> None:
        took = self.all_until(dict.fromkeys(DOORS, SERVED))
        assert max(took.values()) < STOPPED_SECONDS_MAX, took


def _of_aws(answer: tuple[int, Any]) -> object:
    status, document = answer
    return SERVED if status == 200 else (status, document.get("errorName"))


def _of_azure(answer: tuple[int, Any]) -> object:
    status, document = answer
    return SERVED if status == 200 else (status, document["code"])


def _of_app(answer: tuple[int, Any]) -> object:
    status, document = answer
    return SERVED if status == 200 else (status, document["code"])


def _of_google(answer: requests.Response) -> object:
    return SERVED if answer.ok else (answer.status_code, answer.json()["message"])


def _of_vault(ask: Callable[[], object]) -> object:
    try:
        ask()
    except hvac.exceptions.Forbidden as error:
        (said,) = error.errors
        return 403, said
    return SERVED


def _of_grpc(ask: Callable[[], object]) -> object:
    try:
        ask()
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code().name, error.details()
    return SERVED


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    folder = Path(tempfile.mkdtemp(prefix="hyok-all-"))
    pool = folder / "azure"
    pool.mkdir()
    key_store.certificates(folder)
    managed_hsm.certificates(pool)
    ports = {door: free_port() for door in DOORS}
    socket = folder / "kms" / "kms.sock"
    served = f'tls_certificate = "{folder}/xks.pem"\ntls_key = "{folder}/xks.key"\n'
    made = operated.copied(
        folder,
        limits=key_store.settings(folder, ports["xks"], app=APP)
        + office.settings(folder, ports["dke"])
        + f"[doors.transit]\nenabled = true\nport = {ports['transit']}\n{served}"
        + api_server.settings(socket, app=APP, key=SHARED)
        + managed_hsm.settings_of(pool, ports["ekm"], 10_000, managed_hsm.POOLS[:1])
        + google.settings(folder, ports["kacls"], served=folder / "xks", app=APP, key=SHARED)
        + f"[doors.payloads]\nenabled = true\nport = {ports['payloads']}\n{served}",
    )
    officers = four_eyes.found(made.config)
    rest = ["--tenant", "gemeente", "--grant", "use-keys", "--clearance", "vertrouwelijk"]
    rest += ["--purpose", "versleuteling"]
    token = ["doors", "transit-token", "create", APP, "--expires", "90d", "--json"]
    apps = (APP, "office", "azure-nl")
    *_, shown, _ = made.cli(*(["apps", "create", app, *rest] for app in apps), token)
    (row,) = json.loads(shown)
    key = ["doors", "keys", "create", "--tenant", "gemeente", "--classification", "vertrouwelijk"]
    four_eyes.together(
        made.config,
        [*key, SHARED, "--app", APP],
        [*key, office.KEY, "--app", "office", "--kind", "rsa-2048"],
        [*key, WRAPS, "--app", "azure-nl", "--usage", "wrap"],
        who=officers,
    )
    credential = key_store.told_to_aws(made, folder)
    ca, secret = str(folder / "ca.pem"), row["token"]
    known = Users(
        made,
        Aws(made, ports["xks"], folder, credential, officers),
        Office(ports["dke"], folder),
        hvac.Client(f"https://localhost:{ports['transit']}", token=secret, verify=ca),
        ApiServer(socket),
        Azure(made, ports["ekm"], pool),
        Workspace(google.url_of(ports["kacls"]), folder),
        SaasApp(f"https://localhost:{ports['payloads']}", folder, secret),
    )
    try:
        made.serve()
        for number, _ in enumerate(DOORS, 1):
            _wait_ready(made.management + number)
        known.seal()
        yield known
    finally:
        known.azure.hang_up()
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_ready(port: int) -> None:
    """Wait until a door is ready: each is a process of its own."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
        except OSError:
            assert time.monotonic() < deadline, port
            time.sleep(0.1)
        else:
            return


def test_each_door_uses_its_key_and_is_watched(users: Users) -> None:
    users.check_serving()
    assert users.made.readyz()[0] == 200
    for number, door in enumerate(DOORS, 1):
        where = f"http://127.0.0.1:{users.made.management + number}"
        ready = json.load(urllib.request.urlopen(f"{where}/readyz", timeout=10))
        assert set(ready) >= {"hsm", "doors", "database"}
        metrics = urllib.request.urlopen(f"{where}/metrics", timeout=10).read().decode()
        asked = [line for line in metrics.splitlines() if line.startswith("hyok_door_requests_")]
        assert asked
        assert all(f'door="{door}"' in line for line in asked), door
    doctor = json.loads(users.made.alone("doctor", "--json", ok=1))
    checks = {one["check"]: one["result"] for one in doctor}
    for door in DOORS:
        assert checks[f"door {door}"] == "ok", doctor


def test_one_suspended_key_stops_all_its_doors_within_five_seconds(users: Users) -> None:
    state = ["--tenant", "gemeente", "--reason", "incident"]
    stopped: set[str] = set()
    for key, doors in USERS.items():
        users.made.cli(["doors", "keys", "suspend", key, *state])
        stopped |= doors
        users.check_stopped(stopped)
    assert stopped == set(DOORS)
    users.made.cli(*(["doors", "keys", "resume", key, *state] for key in USERS))
    users.check_serving()


def test_a_frozen_key_stops_all_its_doors_within_five_seconds(users: Users) -> None:
    users.made.cli(["freeze", "key", f"gemeente/{SHARED}", "--reason", "incident"])
    users.check_stopped(USERS[SHARED])
    users.made.cli(["thaw", "key", f"gemeente/{SHARED}", "--reason", "voorbij"])
    users.check_serving()


def test_a_frozen_tenant_stops_every_door_at_once(users: Users) -> None:
    users.made.cli(["freeze", "tenant", "gemeente", "--reason", "incident"])
    users.check_stopped(DOORS)
    users.made.cli(["thaw", "tenant", "gemeente", "--reason", "voorbij"])
    users.check_serving()
