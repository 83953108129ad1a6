"""What a door's module tells: its settings, what must be made for it, its rows and requests."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.e2e.operated import Operated

REQUESTS = 64
PLAIN = b"a data key of 32 bytes, as KMS ."
KEYS = {"durable": "vertrouwelijk", "grouped": "intern"}
"""Keys by whether their records are durable before the HSM is asked."""


@dataclass(frozen=True)
class Row:
    """What one row asks; ``raw``: what it has the HSM do, which is measured beside it.

    Where that is empty, the HSM is asked for nothing.
    """

    door: str
    operation: str
    raw: str  # seal | seal-100 | open | wrap | unwrap | mac | sign | pair | pair-3072
    connections: int
    key: str = "durable"
    size: int = 32
    way: str = "tls"

    @property
    def name(self) -> str:
        parts = (self.door, self.operation, self.size, self.key, self.way)
        return "-".join(map(str, parts)) + f"-{self.connections}c"


@dataclass(frozen=True)
class Request:
    """The bytes of a request, and the whole body, or the length of it, that must come."""

    raw: bytes
    body: bytes = b""
    length: int = 0


@dataclass
class Stage:
    """One installation, and the load generator."""

    made: Operated
    folder: Path
    program: Path
    ports: Mapping[str, int]
    shown: Mapping[str, Sequence[str]]
    """What the commands of each door printed."""


class Door:
    """A door whose requests the load generator sends over HTTP.  A subclass for each."""

    name = ""
    in_clear = False
    """Are there rows without TLS, too?"""
    too_late = 503
    """The status of an answer that would have come too late."""
    certificate = ""
    """What its clients show: a file of the stage with certificate and key."""

    def settings(self, folder: Path, port: int) -> str:
        """Return the door's tables of the settings; certificate and key are `door.pem`, `.key`."""
        raise NotImplementedError

    def commands(self, folder: Path) -> list[list[str]]:
        """Return what is done for it beforehand: its app, its credential."""
        raise NotImplementedError

    def key_commands(self) -> list[list[str]]:
        """Return the commands by which officers make its keys."""
        raise NotImplementedError

    def is_open(self, stage: Stage) -> bool:
        """Say whether it answers."""
        raise NotImplementedError

    def rows(self, connections: Sequence[int], *, tls: bool) -> list[Row]:
        """Return what is measured."""
        raise NotImplementedError

    def requests(self, stage: Stage, row: Row) -> list[Request]:
        """Return the requests of a row, after an answer to one of them was proven right."""
        raise NotImplementedError

    def load(self, stage: Stage, row: Row, seconds: float) -> dict[str, Any]:
        """Return what the load generator saw; at twenty errors it stops."""
        file, pattern = stage.folder / "requests", stage.folder / "pattern"
        requests = self.requests(stage, row)
        pattern.write_bytes(b"".join(sorted({one.body for one in requests})) or b"-")
        with file.open("wb") as out:
            for one in requests:
                check = 1 if one.body else 2 if one.length else 0
                out.write(b"Q 200 %d 0 %d 1\n" % (check, len(one.body) or one.length))
                out.write(b"L %d\n" % len(one.raw) + one.raw)
        command = [str(stage.program), "--port", str(stage.ports[self.name])]
        command += ["--requests", str(file), "--connections", str(row.connections)]
        command += ["--seconds", str(seconds), "--least", "1", "--pattern", str(pattern)]
        if row.way == "tls":
            command += ["--ca", str(stage.folder / "ca.pem")]
        if self.certificate:
            command += ["--cert", str(stage.folder / self.certificate)]
        return told_by(command, row, self.too_late)


def told_by(command: Sequence[str], row: Row, too_late: int = 503) -> dict[str, Any]:
    """Return the figures that a load generator prints.

    Answers that came too late are counted.

    Raises:
        RuntimeError: an answer was not as expected.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told: dict[str, Any] = json.loads(done.stdout or "{}")
    late = told.get("errors", 0) and f"status {too_late}" in told["first_error"]
    if not told.get("operations") or (told["errors"] and not late):
        raise RuntimeError(f"{row.name}: {told.get('first_error')} {done.stderr}")
    return told


def post(host: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request's bytes."""
    told = {"host": host, "content-type": "application/json", "content-length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (told | dict(headers)).items())
    return f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def tls_lines(folder: Path) -> str:
    return f'tls_certificate = "{folder}/door.pem"\ntls_key = "{folder}/door.key"\n'


def app_command(name: str) -> list[str]:
    command = ["apps", "create", name, "--tenant", "gemeente", "--grant", "use-keys"]
    return [*command, "--clearance", "vertrouwelijk", "--purpose", "versleuteling"]


def key_command(name: str, app: str, classification: str, *more: str) -> list[str]:
    command = ["doors", "keys", "create", name, "--tenant", "gemeente", "--app", app]
    return [*command, "--classification", classification, *more]
