"""A whole installation in real processes, made by `hyok dev` in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

READY_SECONDS_MAX = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """The processes of one `hyok dev`."""

    home: Path
    process: subprocess.Popen[bytes]
    endpoint: str
    management: str

    def client(self, **more: Any) -> Any:
        demo = json.loads((self.home / "demo.json").read_text())
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=demo["access_key"],
            aws_secret_access_key=demo["secret"],
            region_name="us-east-1",
            verify=str(self.home / "ca.pem"),
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30, **more),
        )

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
                *["--port", str(port), "--management-port", str(management), *more],
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    made = Running(home, process, f"https://127.0.0.1:{port}", f"http://127.0.0.1:{management}")
    deadline = time.monotonic() + READY_SECONDS_MAX
    while b"Then:" not in log.read_bytes()[before:]:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text()[-3000:])
        time.sleep(0.05)
    return made
