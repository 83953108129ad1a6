"""A whole installation in real processes, made by `hyok dev` in a folder of its own."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from tests.e2e import forked
from tests.peers.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

READY_SECONDS_MAX = 180.0
"""On a machine with eight other jobs for each core Python alone takes long to start."""


def client_of(home: Path, endpoint: str, key: Mapping[str, str] | None = None, **more: Any) -> Any:
    """Return a boto3 client of a gateway that serves the data of ``home``; it never retries.

    ``key``: an access key as `hyok apps create` tells it; else that of the demonstration.
    """
    demo = key or json.loads((home / "demo.json").read_text())
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=demo["access_key"],
        aws_secret_access_key=demo["secret"],
        region_name="us-east-1",
        verify=str(home / "ca.pem"),
        config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30, **more),
    )


@dataclass
class Running:
    """The processes of one `hyok dev`."""

    home: Path
    process: subprocess.Popen[bytes]
    endpoint: str
    management: str

    def client(self, **more: Any) -> Any:
        return client_of(self.home, self.endpoint, **more)

    def pids(self, part: str) -> list[int]:
        """Return our children whose command line holds ``part``."""
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if part in command and str(self.home) in command and int(folder.name) != os.getpid():
                found.append(int(folder.name))
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def start(home: Path, *more: str) -> Running:
    """Start an installation, or start it again, and wait until it is ready."""
    port, management = free_port(), free_port()
    log = home.parent / f"{home.name}.out"
    before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *[sys.executable, "-m", "hyok", "dev", "--home", str(home)],
                *["--port", str(port), "--management-port", str(management)],
                *["--officer-port", "0", *more],
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    made = Running(home, process, f"https://127.0.0.1:{port}", f"http://127.0.0.1:{management}")
    deadline = time.monotonic() + READY_SECONDS_MAX
    while b"Then:" not in log.read_bytes()[before:]:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise RuntimeError(log.read_text()[-3000:])
        time.sleep(0.05)
    return made


@cache
def _first() -> Path:
    """Make an installation as a newcomer does; what `prepare` copies."""
    folder = tempfile.TemporaryDirectory(prefix="hyok-first-")
    atexit.register(folder.cleanup)
    home = Path(folder.name) / "home"
    assert start(home, "--reset").stop() == 0
    return home


def prepare(home: Path) -> None:
    """Put an installation that `hyok dev` made, and that was stopped, into the folder ``home``.

    The copies of one run share their token's keys; a test about two installations makes its own.
    """
    first = _first()
    shutil.copytree(first, home, ignore=shutil.ignore_patterns("run"), dirs_exist_ok=True)
    for name in ("hyok.toml", "softhsm/softhsm2.conf"):  # nothing else knows where it is
        file = home / name
        file.write_text(file.read_text().replace(str(first), str(home)))


def fresh(home: Path, *more: str) -> Running:
    """Start an installation that nobody used before."""
    prepare(home)
    return start(home, *more)


@dataclass
class Gateway:
    """One `hyok serve gateway` on the data of a stopped `hyok dev`, with more stores behind it."""

    home: Path
    process: subprocess.Popen[bytes]
    endpoint: str
    run_directory: Path

    def client(self, **more: Any) -> Any:
        return client_of(self.home, self.endpoint, **more)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        shutil.rmtree(self.run_directory, ignore_errors=True)
        return code


def s3_store(
    name: str, endpoint: str, credentials: Path, ca_file: Path | None = None, more: str = ""
) -> str:
    """Return the block of the settings that says where a store is."""
    ca = f'ca_file = "{ca_file}"\n' if ca_file is not None else ""
    return (
        f'[[stores]]\nkind = "s3"\nname = "{name}"\nendpoint = "{endpoint}"\n{ca}{more}'
        f'credentials_file = "{credentials}"\njurisdiction = "NL"\ncontrol = "NL"\n'
    )


def configure(home: Path, name: str, stores: str, *, https: bool) -> Path:
    """Write settings of a gateway beside others on the same data: own ports, sockets and logs."""
    run_directory = tempfile.mkdtemp(prefix=f"hyok-{name}-")  # a socket's path must be short
    text = (home / "hyok.toml").read_text()
    if not https:
        text = re.sub(r"(?m)^tls_.*\n", "", text)
    own = {
        r"(\[gateway\]\n)port = .*": rf"\1port = {free_port()}",
        r"(\[management\]\n)port = .*": rf"\1port = {free_port()}",
        r"run_directory = .*": f'run_directory = "{run_directory}"',
        r"(\[audit\]\n)file = .*": rf'\1file = "{home / "audit" / name}.jsonl"',
        r"(\[log\]\n)file = .*": rf'\1file = "{home / "log" / name}.jsonl"',
    }
    for wanted, by in own.items():
        text, count = re.subn(wanted, by, text)
        assert count == 1, wanted
    config = home / f"{name}.toml"
    config.write_text(f"{text}{stores}")
    return config


def make_bucket(config: Path, name: str, classification: str, store: str) -> None:
    """Make a bucket as an operator does."""
    command = ["buckets", "create", name, "--tenant", "gemeente", "--store", store]
    command += ["--classification", classification, "--config", str(config)]
    forked.hyok(*command).check_returncode()


def serve(config: Path, until: str = "readyz") -> Gateway:
    """Start `hyok serve gateway` with settings of `configure`; wait until it is ready, or lives."""
    text = config.read_text()
    tables = tomllib.loads(text)
    port, management = tables["gateway"]["port"], tables["management"]["port"]
    found = re.search(r'run_directory = "(.*)"', text)
    assert found is not None
    with (config.parent / "log" / f"{config.stem}.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "hyok", "serve", "gateway", "--config", str(config)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{management}/{until}", timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"the gateway of {config.name} does not come up") from None
            time.sleep(0.1)
        else:
            scheme = "https" if "tls_key" in text else "http"
            endpoint = f"{scheme}://127.0.0.1:{port}"
            return Gateway(config.parent, process, endpoint, Path(found[1]))
