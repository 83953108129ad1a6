"""The pages of `docs/clients` as programs: their files are written, their commands are run.

A fenced block whose info string is ``LANGUAGE NAME`` is a file of that name; a block ``sh`` is run
by `sh -eu`.  The values that `hyok dev` prints are replaced by those of the installation.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "clients"
BIN = Path(sys.executable).parent
RUN_SECONDS_MAX = 120

_BLOCK = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Desk:
    """A folder in which a person follows a page."""

    folder: Path
    home: Path
    endpoint: str
    bucket: str
    commands: list[str] = field(default_factory=list)

    def text(self, written: str) -> str:
        """Return what the page says, with the values of this installation."""
        said = {
            "https://127.0.0.1:8443": self.endpoint,
            "127.0.0.1:8443": self.endpoint.partition("://")[2],
            ".hyok/": f"{self.home}/",
            "vertrouwelijk": self.bucket,
        }
        for one, other in said.items():
            written = written.replace(one, other)
        return written

    def run(self, number: int, **more: str) -> str:
        """Run a block ``sh`` of the page, counted from 0; return what it said on both channels."""
        return self.shell(self.text(self.commands[number]), **more)

    def shell(self, command: str, **more: str) -> str:
        """Run a command in the folder, with the environment of the front page."""
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=self.folder,
            env={**self.environment(), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def environment(self) -> Mapping[str, str]:
        """Return what the page on all clients exports, and a home of one's own."""
        demo = json.loads((self.home / "demo.json").read_text())
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": demo["access_key"],
            "AWS_SECRET_ACCESS_KEY": demo["secret"],
            "AWS_CA_BUNDLE": str(self.home / "ca.pem"),
            "AWS_DEFAULT_REGION": "us-east-1",
        }


def follow(page: str, folder: Path, home: Path, endpoint: str, bucket: str) -> Desk:
    """Write the files of ``page`` in ``folder``; return the desk that can run its commands."""
    folder.mkdir(parents=True, exist_ok=True)
    desk = Desk(folder, home, endpoint, bucket)
    for kind, name, text in _BLOCK.findall((PAGES / page).read_text()):
        if name:
            (folder / name).write_text(desk.text(text))
        elif kind == "sh":
            desk.commands.append(text)
    return desk
