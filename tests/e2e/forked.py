"""Commands of `hyok` without the second that each takes to load: a process with everything forks.

What a command sees is what it would see alone: its own arguments, environment, folder and streams,
an interpreter that is ended in order, and an exit code.  What kills a command in the midst, or
watches it run, starts a process as an operator does.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORKER = """
import atexit, gc, json, os, sys, threading, traceback
import alembic.command, cedarpy, hyok.acts, hyok.cli.main, hyok.officer.statement_page, hyok.serving
from hyok.cli.entry import main
from hyok.cli.options import load
from hyok.cli.session import services
from hyok.errors import HyokError

def several(commands):
    try:
        with services(*load(__import__("pathlib").Path(os.environ["HYOK_CONFIG"]))):
            for command in commands:
                hyok.cli.main.app(command, standalone_mode=False)
                print("\\x1e", end="", flush=True)
    except HyokError as error:
        sys.exit(error.explain())

gc.collect()
gc.freeze()
for line in sys.stdin:
    wanted = json.loads(line)
    pid = os.fork()
    if pid:
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)
        continue
    for number, name in enumerate(("in", "out", "err")):
        stream = os.open(f"{wanted['folder']}/{name}", os.O_RDWR)
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["cwd"])
    code = 0
    try:
        if wanted["several"] is not None:
            several(wanted["several"])
        else:
            sys.argv = ["hyok", *wanted["arguments"]]
            main()
    except SystemExit as ended:
        code = ended.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)  # in order, but for taking apart what all children share
"""


@dataclass
class _Forker:
    """One process that forks, and one command at a time."""

    process: subprocess.Popen[str]
    folder: Path

    @classmethod
    def made(cls) -> _Forker:
        folder = tempfile.TemporaryDirectory(prefix="hyok-fork-")
        process = subprocess.Popen(
            [sys.executable, "-c", _FORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def end() -> None:
            process.stdin and process.stdin.close()
            process.wait(30)
            process.stdout and process.stdout.close()
            folder.cleanup()

        atexit.register(end)
        return cls(process, Path(folder.name))

    def run(self, given: str, **wanted: object) -> tuple[int, str, str]:
        for name, text in (("in", given), ("out", ""), ("err", "")):
            (self.folder / name).write_text(text)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wanted["folder"] = str(self.folder)
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        code = json.loads(self.process.stdout.readline())
        return code, (self.folder / "out").read_text(), (self.folder / "err").read_text()


@dataclass
class _Idle:
    """Forkers that run nothing at the moment: a test may run commands side by side."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    forkers: list[_Forker] = field(default_factory=list)

    def take(self) -> _Forker:
        with self.lock:
            return self.forkers.pop() if self.forkers else _Forker.made()

    def give(self, forker: _Forker) -> None:
        with self.lock:
            self.forkers.append(forker)


_IDLE = _Idle()


def _run(
    environment: Mapping[str, str] | None, given: str, cwd: Path | None, **wanted: object
) -> tuple[int, str, str]:
    forker = _IDLE.take()
    try:
        return forker.run(
            given,
            environment=dict(os.environ if environment is None else environment),
            cwd=str(cwd or Path.cwd()),
            **wanted,
        )
    finally:
        _IDLE.give(forker)


def hyok(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    given: str = "",
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run one command; return its exit code and what it wrote, as `subprocess.run` does."""
    code, out, err = _run(environment, given, cwd, several=None, arguments=arguments)
    return subprocess.CompletedProcess(["hyok", *arguments], code, out, err)


def several(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run commands one after the other in one process, whose agents and writer serve them all.

    What they wrote is parted by ``\\x1e``.
    """
    code, out, err = _run(environment, "", None, several=[list(one) for one in commands])
    return subprocess.CompletedProcess(["hyok"], code, out, err)
