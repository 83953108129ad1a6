"""The two C programs of the benchmarks, compiled where they are missing or too old."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "load"
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")


class Missing(Exception):
    """Something that the benchmarks need is not on this machine; the text says what to do."""


def built(name: str, folder: Path) -> Path:
    """Return the program ``name`` in ``folder``.

    Raises:
        Missing: there is no C compiler.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("The load generator is a C program: install gcc (apt install gcc).")
    source, program = SOURCES / f"{name}.c", folder / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, *FLAGS, "-o", str(program), str(source), "-ldl"], check=True)
    return program
