"""A real writer process, started and ended by a test."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from hyok.audit.record import AuditRecord

if TYPE_CHECKING:
    from pathlib import Path


class WriterProcess:
    def __init__(self, folder: Path, *more: str) -> None:
        self.more = more
        self.socket = folder / "audit.sock"
        self.file = folder / "audit.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "hyok.cli.audit_writer"),
                *("--socket", str(self.socket), "--file", str(self.file)),
                *self.more,
            ],
            stderr=subprocess.PIPE,
        )

    def wait_until_up(self) -> None:
        assert self.process is not None
        until = time.monotonic() + 20
        while not self._answers():  # the file of a killed writer's socket stays behind
            assert self.process.poll() is None
            assert time.monotonic() < until, "the writer does not listen"
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as peer:
            try:
                peer.connect(str(self.socket))
            except OSError:
                return False
            return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(10)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.read_bytes().splitlines()]


def record(request_id: str, action: str = "object:put") -> AuditRecord:
    return AuditRecord(
        at_ms=1,
        phase="intend",
        action=action,
        outcome="pending",
        actor="app:one",
        tenant="gemeente",
        origin="192.0.2.1",
        request_id=request_id,
    )
