"""The parent of `hyok serve`: HSM agents, audit writer and exporter, workers; each kept alive."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hyok.audit_signing import audit_host, audit_key_name, audit_origin, audit_software_file
from hyok.errors import Unavailable
from hyok.hsm.supervise import AgentSupervisor
from hyok.sockets import agent_socket, agent_specs, journal_socket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hyok.settings import Settings

PAUSE_SECONDS_MIN = 0.2
PAUSE_SECONDS_MAX = 5.0
STEADY_SECONDS = 2.0
"""One that lived so long did start: that it ended says nothing about the next."""

TICK_SECONDS = 0.05
START_SECONDS_MAX = 20.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """In the child, before it becomes what it is: end when the supervisor is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """One process to keep."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = PAUSE_SECONDS_MIN
    due: float = 0.0
    starts: int = field(default=0)

    def look(self, now: float) -> None:
        """Start it when it is due; notice when it ended."""
        if self.process is not None:
            if self.process.poll() is None:
                return
            steady = now - self.started > STEADY_SECONDS
            self.pause = PAUSE_SECONDS_MIN if steady else min(self.pause * 2, PAUSE_SECONDS_MAX)
            self.process = None
            self.due = now + self.pause
        if now >= self.due:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                self.command,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one libc call, looked up before
                stdin=subprocess.DEVNULL,
            )
            self.started = now
            self.starts += 1

    def end(self, seconds: float) -> None:
        """Ask it to end, wait, then make it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Supervisor:
    """Everything that one host runs for a gateway."""

    def __init__(self, settings: Settings, config: Path) -> None:
        self._settings = settings
        self._config = config
        self._agents = AgentSupervisor(agent_specs(settings))
        self._writer = Child("audit writer", _writer_command(settings))
        self._others = [self._writer]
        if settings.audit.exports:
            exporter = [sys.executable, "-m", "hyok.cli.audit_exporter", "--config", str(config)]
            self._others.append(Child("audit exporter", exporter))
        self._workers = [
            Child(
                f"worker {index}",
                [
                    sys.executable,
                    "-m",
                    "hyok",
                    "serve",
                    "worker",
                    "--config",
                    str(config),
                    "--index",
                    str(index),
                ],
            )
            for index in range(settings.gateway.workers)
        ]
        if settings.officers.api.enabled:
            command = ["serve", "officer-worker", "--config", str(config)]
            door = Child("officers", [sys.executable, "-m", "hyok", *command])
            self._workers.append(door)
        for which, more in settings.doors.each.items():
            for index in range(more.workers if more.enabled else 0):
                command = ["serve", "door-worker", "--config", str(config), "--index", str(index)]
                command += ["--door", which]
                door = Child(f"door {which} {index}", [sys.executable, "-m", "hyok", *command])
                self._workers.append(door)
        self._stopping = False

    def start_services(self) -> None:
        """Start what the workers need, and wait for it.

        Raises:
            Unavailable: an agent or the audit writer does not come up.
        """
        self._settings.installation.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings.audit.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket_path = journal_socket(self._settings)
        socket_path.unlink(missing_ok=True)
        self._agents.start()
        self._writer.look(time.monotonic())
        self._agents.wait_ready(START_SECONDS_MAX)
        _wait(socket_path.exists, "the audit writer does not start")

    def stop(self, *_: object) -> None:
        """Make `run` return; a signal handler."""
        self._stopping = True

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Keep the workers running until `stop`; then drain and end everything."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        told = False
        try:
            while not self._stopping:
                now = time.monotonic()
                for child in (*self._others, *self._workers):
                    child.look(now)
                if not told:
                    told = True
                    ready()
                time.sleep(TICK_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """End the workers first, since they need the others to finish their requests."""
        seconds = self._settings.gateway.drain_seconds + 10
        for worker in self._workers:
            if worker.process is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.end(seconds)
        for other in self._others:  # the writer first: what it writes last goes out, or goes later
            other.end(10)
        self._agents.stop()

    def pids(self) -> dict[str, int]:
        """Return the process ids of writer, exporter and workers, for tests and status."""
        return {
            child.name: child.process.pid
            for child in (*self._others, *self._workers)
            if child.process is not None
        }


def _writer_command(settings: Settings) -> list[str]:
    audit = settings.audit
    command = [sys.executable, "-m", "hyok.cli.audit_writer"]
    command += ["--socket", str(journal_socket(settings)), "--file", str(audit.file)]
    command += ["--origin", audit_origin(settings), "--key", audit_key_name(settings)]
    command += ["--checkpoint-records", str(audit.checkpoint_records)]
    command += ["--checkpoint-seconds", str(audit.checkpoint_seconds)]
    if audit.sequencer == "database":
        command += ["--database", settings.database.url, "--host", audit_host(settings)]
        command += ["--installation", settings.installation.name]
    software = audit_software_file(settings)
    if software is not None:
        return [*command, "--software-file", str(software)]
    for token in settings.hsm.tokens:
        command += ["--agent", str(agent_socket(settings, token.name))]
    return command


def _wait(done: Callable[[], bool], cause: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not done():
        if time.monotonic() > deadline:
            raise Unavailable(cause, code="HY-1004", next_step="its messages stand above")
        time.sleep(0.02)


def forbid_core_dumps() -> None:
    """Keys in memory must not reach a disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _LIBC.prctl(4, 0)  # PR_SET_DUMPABLE
    os.umask(0o077)
