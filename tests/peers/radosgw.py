"""A real Ceph object gateway on loopback: a monitor, one OSD in memory and radosgw, no containers.

Needs Debian's `ceph-mon`, `ceph-mgr`, `ceph-osd`, `ceph-common` and `radosgw`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
READY_SECONDS_MAX = 180.0
COMMAND_SECONDS_MAX = 60
MEMORY_BYTES = 4 << 30  # what the store may hold
ACCESS_KEY = "hyokrgwaccess"
SECRET = "hyok-rgw-secret-for-tests"

CONFIG = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = {monitors}
# radosgw asks for cephx and encryption of itself; on loopback neither is there.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc secure
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
run dir = {folder}/run
log file = {folder}/log/$name.log
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
osd objectstore = memstore
memstore device bytes = {memory}
osd class load list = *
osd class default list = *
[mon]
mon data = {folder}/mon
[mgr]
mgr data = {folder}/mgr
[osd]
osd data = {folder}/osd
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw crypt require ssl = false
# A day of a lifecycle rule takes so many seconds.
rgw lc debug interval = 4
"""


def missing() -> list[str]:
    """Return the programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass
class Radosgw:
    """A running cluster with its gateway; its daemons stay in the foreground, children of ours."""

    endpoint: str
    directory: Path
    processes: list[subprocess.Popen[bytes]]  # the gateway last
    access_key: str = ACCESS_KEY
    secret: str = SECRET
    _stopping: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def credentials_file(self) -> Path:
        path = self.directory / "credentials"
        path.write_text(
            f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n"
        )
        return path

    def create_user(self, user_id: str, name: str, access_key: str, secret: str) -> None:
        """Register an account with one key pair."""
        _ceph(
            self.directory,
            *["radosgw-admin", "user", "create", f"--uid={user_id}", f"--display-name={name}"],
            *[f"--access-key={access_key}", f"--secret-key={secret}"],
            *[f"--email={user_id}@example.nl", "--max-buckets=0"],
        )

    def keep_up(self) -> None:
        """Have the gateway started again whenever it ends; returns at once.

        One request of a public suite brings version 16 down (an UploadPartCopy whose source has a
        percent sign in its name), and every test after it would fail.
        """
        threading.Thread(target=self._keep_up, daemon=True).start()

    def _keep_up(self) -> None:
        while True:
            self.processes[-1].wait()
            with self._stopping:
                if self._stopped:
                    return
                self.processes[-1] = _gateway(self.directory)

    def stop(self) -> None:
        with self._stopping:
            self._stopped = True
        for process in reversed(self.processes):
            process.kill()  # it has nothing to lose
            process.wait()


def start(directory: Path, more: str = "") -> Radosgw:
    """Start a cluster of one and wait until its gateway, with ``more`` settings, answers."""
    assert not missing(), f"not installed: {', '.join(missing())}"
    for name in ("run", "log", "mon", "mgr", "osd", "rgw"):
        (directory / name).mkdir()
    monitor, old_monitor, port = (free_port() for _ in range(3))
    fsid = str(uuid.uuid4())
    monitors = f"[v2:127.0.0.1:{monitor},v1:127.0.0.1:{old_monitor}]"
    (directory / "ceph.conf").write_text(
        CONFIG.format(
            fsid=fsid, monitors=monitors, folder=directory, memory=MEMORY_BYTES, port=port
        )
        + more
    )
    store = Radosgw(f"http://127.0.0.1:{port}", directory, [])
    processes: list[subprocess.Popen[bytes]] = []
    store.processes = processes
    try:
        _start_cluster(directory, fsid, monitors, processes)
        processes.append(_gateway(directory))
        _wait(store)
        store.create_user("hyok", "hyok", ACCESS_KEY, SECRET)
    except BaseException:
        store.stop()
        raise
    return store


def _start_cluster(
    directory: Path, fsid: str, monitors: str, processes: list[subprocess.Popen[bytes]]
) -> None:
    plan = str(directory / "monmap")
    _ceph(directory, "monmaptool", "--create", "--addv", "a", monitors, "--fsid", fsid, plan)
    _ceph(directory, "ceph-mon", "--mkfs", "-i", "a", "--monmap", plan)
    processes.append(_daemon(directory, "ceph-mon", "-f", "-i", "a"))
    # A machine whose disk is fairly full is no reason to stop a store that is in memory.
    for step, ratio in (("full", "0.99"), ("backfillfull", "0.98"), ("nearfull", "0.97")):
        _ceph(directory, "ceph", "osd", f"set-{step}-ratio", ratio)
    device = str(uuid.uuid4())
    _ceph(directory, "ceph", "osd", "new", device)
    _ceph(directory, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", device)
    processes.append(_daemon(directory, "ceph-osd", "-f", "-i", "0"))
    processes.append(_daemon(directory, "ceph-mgr", "-f", "-i", "x"))


def _environment(directory: Path) -> Mapping[str, str]:
    return dict(os.environ, CEPH_CONF=str(directory / "ceph.conf"))


def _ceph(directory: Path, *command: str) -> None:
    done = subprocess.run(
        command,
        env=_environment(directory),
        timeout=COMMAND_SECONDS_MAX,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _daemon(directory: Path, *command: str) -> subprocess.Popen[bytes]:
    name = "-".join(command).replace("/", "-")
    with (directory / "log" / f"{name}.out").open("ab") as out:
        return subprocess.Popen(
            command, env=_environment(directory), stdout=out, stderr=subprocess.STDOUT
        )


def _gateway(directory: Path) -> subprocess.Popen[bytes]:
    return _daemon(directory, "radosgw", "-f", "-n", "client.rgw")


def _wait(store: Radosgw) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(store.endpoint, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline or store.processes[-1].poll() is not None:
                raise
            time.sleep(0.5)
        else:
            return
