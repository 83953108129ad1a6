"""A real PostgreSQL server of Debian's package, in a folder of its own, ended with its owner.

It refuses to run as root; then it runs as Debian's user `postgres`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psycopg
from tests.peers.ports import free_port

START_SECONDS_MAX = 60
OWNER = "postgres"


def programs() -> Path:
    """Return the folder of the newest server that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    assert found, "PostgreSQL is not installed: apt-get install postgresql"
    return found[-1].parent


@dataclass
class PostgreSQL:
    """A server; `start` and `kill` may alternate, the data stay.

    ``certificate``: key and chain, PEM; it speaks TLS then.
    """

    durable: bool = True
    certificate: tuple[bytes, bytes] | None = None
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hyok-pg-")))
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.make()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def passfile(self) -> Path:
        return self.folder / "pgpass"

    def make(self) -> None:
        """Lay out an empty cluster with one role, whose password stands in a file."""
        password = secrets.token_hex(16)
        given = self.folder / "given"
        given.write_text(password)
        if os.getuid() == 0:
            user = pwd.getpwnam(OWNER)
            for path in (self.folder, given):
                os.chown(path, user.pw_uid, user.pw_gid)
        done = subprocess.run(
            [
                *as_owner(), programs() / "initdb", "--pgdata", self.folder / "data",
                "--auth", "scram-sha-256", "--username", "hyok", "--pwfile", given,
                "--encoding", "UTF8", "--locale", "C", "--no-sync",
            ],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        given.unlink()
        self.passfile.write_text(f"*:*:*:hyok:{password}\n")
        self.passfile.chmod(0o600)
        self.port = free_port()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port}
        options |= {"unix_socket_directories": self.folder, "max_connections": 100}
        options |= {} if self.durable else {"fsync": "off"}
        options |= self._tls()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *as_owner(), programs() / "postgres", "-D", self.folder / "data",
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _tls(self) -> dict[str, object]:
        if self.certificate is None:
            return {}
        files = {"ssl_key_file": "server.key", "ssl_cert_file": "server.pem"}
        for name, raw in zip(files.values(), self.certificate, strict=True):
            path = self.folder / name
            path.write_bytes(raw)
            path.chmod(0o600)
            if os.getuid() == 0:
                os.chown(path, pwd.getpwnam(OWNER).pw_uid, -1)
        return {"ssl": "on"} | {name: self.folder / file for name, file in files.items()}

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement outside a transaction."""
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="hyok", dbname=database,
            passfile=str(self.passfile), autocommit=True, connect_timeout=5,
        ) as connection:  # fmt: skip
            connection.execute(statement.encode())

    def new_database(self) -> str:
        """Make an empty database; return its URL for the settings."""
        name = f"hyok_{secrets.token_hex(4)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://hyok@127.0.0.1:{self.port}/{name}?passfile={self.passfile}"

    def kill(self) -> None:
        """End it as a power cut would: every process at once, no checkpoint."""
        assert self.process is not None
        for pid in (*children(self.process.pid), self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.server(), signal.SIGINT)
            self.process.wait(30)

    def server(self) -> int:
        """Return the pid of the server itself."""
        return int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def as_owner() -> list[str]:
    return (
        ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", "--"]
        if (os.getuid() == 0)
        else []
    )


def children(pid: int) -> list[int]:
    """Return the processes below one, to any depth."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            below += [int(child), *children(int(child))]
    return below
