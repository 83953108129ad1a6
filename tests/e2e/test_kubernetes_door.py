"""Kubernetes' KMS v2 over SoftHSM: a gRPC client asks over the socket as an API server does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from tests.e2e import api_server, four_eyes, operated
from tests.e2e.api_server import API_SERVER_SECONDS, SEED, ApiServer
from tests.faults.shim import Shim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("gcc"), reason="no compiler here"),
]
SEEN_SECONDS_MAX = 5.0
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Stage(ApiServer):
    """The door, its officers, and the API server that asks it."""

    made: operated.Operated
    shim: Shim
    officers: list[tuple[str, ...]]

    def until(self, wanted: Any, ask: Callable[[], Any], seconds: float = 20.0) -> float:
        """Return how long it took until an answer is this, or this status of gRPC."""
        began = time.monotonic()
        while True:
            try:
                seen = ask()
            except grpc.RpcError as error:
                seen = error.code()  # type: ignore[attr-defined]
            if seen == wanted:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, seen
            time.sleep(0.1)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="hyok-kms-"))
    path = folder / "kms" / "kms.sock"
    settings = api_server.settings(path, app="cluster", key="etcd")
    shim = Shim(folder)
    made = operated.copied(folder, shim=shim, limits=settings)
    officers = four_eyes.found(made.config)
    app = ["apps", "create", "cluster", "--tenant", "gemeente", "--grant", "use-keys"]
    made.cli([*app, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"])
    key = ["doors", "keys", "create", "etcd", "--tenant", "gemeente", "--app", "cluster"]
    four_eyes.together(made.config, [*key, "--classification", "vertrouwelijk"], who=officers)
    made.serve()
    known = Stage(path, made, shim, officers)
    known.until("ok", lambda: known.ask("Status").healthz)
    yield known
    made.close()
    assert not path.exists(), "the socket goes with the door"
    shutil.rmtree(folder, ignore_errors=True)


def test_an_old_seed_decrypts_after_officers_rotated_the_key(stage: Stage) -> None:
    assert stat.S_IMODE(stage.path.lstat().st_mode) == 0o660
    status = stage.ask("Status")
    assert (status.version, status.healthz) == ("v2", "ok")
    old = stage.encrypt()
    assert (old.key_id, len(old.ciphertext) <= 1024) == (status.key_id, True)
    assert stage.decrypt(old) == SEED
    rotate = ["doors", "keys", "rotate", "etcd", "--tenant", "gemeente"]
    four_eyes.together(stage.made.config, rotate, who=stage.officers)
    changed = lambda: stage.ask("Status").key_id != status.key_id  # noqa: E731
    assert stage.until(True, changed) < SEEN_SECONDS_MAX
    new = stage.encrypt()
    assert new.key_id == stage.ask("Status").key_id != old.key_id
    for sealed in (old, new):
        assert stage.decrypt(sealed) == SEED
    with pytest.raises(grpc.RpcError) as caught:
        stage.ask("Decrypt", ciphertext=old.ciphertext, key_id="hyok:gemeente/etcd/9:0", uid="x")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_one_person_stops_the_door_within_seconds(stage: Stage) -> None:
    sealed = stage.encrypt()
    stage.made.cli(["freeze", "door", "kubernetes", "--reason", "incident"])
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert stage.until(denied, lambda: stage.decrypt(sealed)) < SEEN_SECONDS_MAX
    stage.until(denied, stage.encrypt, 1.0)
    stage.made.cli(["thaw", "door", "kubernetes", "--reason", "voorbij"])
    stage.until(SEED, lambda: stage.decrypt(sealed))


def test_a_hanging_hsm_is_told_of_before_the_api_server_gives_up(stage: Stage) -> None:
    sealed = stage.encrypt()
    (hung,) = stage.made.agents()
    stage.shim.order("C_DecryptInit hang 0 once")
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        stage.decrypt(sealed)
    assert caught.value.code() is UNAVAILABLE  # type: ignore[attr-defined]
    assert time.monotonic() - began < API_SERVER_SECONDS
    stage.shim.order()
    deadline = time.monotonic() + 20
    while hung in stage.made.agents() or not stage.made.agents():  # it is replaced at its deadline
        assert time.monotonic() < deadline
        time.sleep(0.1)
    stage.until(SEED, lambda: stage.decrypt(sealed))
    stage.until("ok", lambda: stage.ask("Status").healthz)


def test_a_killed_worker_is_replaced_and_its_socket_used_again(stage: Stage) -> None:
    sealed = stage.encrypt()
    before = stage.path.lstat().st_ino, stage.path.lstat().st_mtime_ns
    (worker,) = operated.processes_of("serve", "door-worker", str(stage.made.config))
    os.kill(worker, signal.SIGKILL)
    stage.until(True, lambda: _identity(stage.path) not in {None, before})
    stage.until(SEED, lambda: stage.decrypt(sealed))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def test_every_use_is_on_the_log_and_the_doctor_is_content(stage: Stage) -> None:
    doctor = json.loads(stage.made.alone("doctor", "--json", ok=1) or "[]")
    checks = {one["check"]: one["result"] for one in doctor}
    for name in ("door kubernetes", "door kubernetes folder", "door kubernetes port"):
        assert checks[name] == "ok"
    log = next((stage.made.home / "audit").glob("*.jsonl"))
    records = [json.loads(line) for line in log.read_text().splitlines()]
    for action in ("key:encrypt", "key:decrypt"):
        uses = [one for one in records if one["action"] == action]
        assert {"pending", "done", "denied"} <= {one["outcome"] for one in uses}
        assert {one["actor"] for one in uses} == {"cluster"}
    assert any(one["outcome"] == "failed" for one in records if one["action"] == "key:decrypt")
