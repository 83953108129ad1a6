"""Programs of others, in environments of their own under `.tox`, made anew when pins change."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS_MAX = 300


def built(name: str, pins: Sequence[Path], commands: Callable[[Path], list[list[str]]]) -> Path:
    """Return the folder of ``name``; build it unless it stands and is of these ``pins``.

    A test that cannot build it fails: a promise that nobody checks is none.
    """
    digest = sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()
    home = ROOT / ".tox" / name
    stamp = home / "built-from"
    home.parent.mkdir(exist_ok=True)
    with (home.parent / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return home
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        for command in commands(home):
            done = subprocess.run(
                command,
                cwd=home,
                env={**os.environ, "VIRTUAL_ENV": ""},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, f"{name} was not built:\n{done.stdout}{done.stderr}"
        stamp.write_text(digest)
    return home


def python_of(name: str, lock: Path) -> Path:
    """Return the interpreter of an environment that holds what ``lock`` pins, by hash."""
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "sync", "--require-hashes"]

    def commands(home: Path) -> list[list[str]]:
        python = str(home / "bin" / "python")
        return [
            [sys.executable, "-m", "venv", "--without-pip", str(home)],
            [*uv, "--only-binary", ":all:", "--python", python, str(lock)],
        ]

    return built(name, [lock], commands) / "bin" / "python"


def node_modules(name: str, folder: Path) -> Path:
    """Return the packages that the lock file in ``folder`` pins, by hash; their scripts not run."""
    pins = [folder / file for file in ("package.json", "package-lock.json", ".npmrc")]

    def commands(home: Path) -> list[list[str]]:
        for pin in pins:
            shutil.copy(pin, home)
        return [["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]]

    return built(name, pins, commands) / "node_modules"
