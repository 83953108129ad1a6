"""Runs the whole suite: static checks first, then every test.

``./hyok test [--long] [--s3-tests CHECKOUT] [paths]``
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CHECKS = (
    ("format", [str(BIN / "ruff"), "format", "--check", "-q", "."]),
    ("lint", [str(BIN / "ruff"), "check", "-q", "."]),
    ("types", [str(BIN / "mypy")]),
    ("floors", [str(BIN / "lint-imports"), "--no-cache"]),
)
# Three files at a time on two cores: much of the suite waits, for processes and for time-outs.
LANES = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "25")


def main(arguments: list[str]) -> int:
    """Return 0 when everything holds."""
    if "--setup" in arguments:
        return 0
    environment = dict(os.environ, PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    # The suite starts hundreds of interpreters; each would compile every import anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if "--long" in arguments:
        arguments.remove("--long")
        environment["HYOK_LONG"] = "1"
    if "--s3-tests" in arguments:  # a checkout of ceph/s3-tests: a suite of others, never ours
        at = arguments.index("--s3-tests")
        checkout = Path(arguments[at + 1] if len(arguments) > at + 1 else "").resolve()
        if not (checkout / "s3tests").is_dir():
            print(f"--s3-tests wants a checkout of ceph/s3-tests; {checkout} is none", flush=True)
            return 2
        environment["HYOK_S3_TESTS"] = str(checkout)
        del arguments[at : at + 2]
    failed = []
    for name, command in CHECKS if not arguments else ():
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        word = "ok" if done.returncode == 0 else "FAIL"
        print(f"{word:>4}  {name}  {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr, flush=True)
            failed.append(name)
    how = "-v" if "HYOK_LONG" in environment else "-q"  # hours: each test says that it ended
    command = [sys.executable, "-m", "pytest", how, "-p", "no:cacheprovider", *LANES, *arguments]
    tests = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if failed:
        print(f"static checks failed: {', '.join(failed)}", flush=True)
    return tests or bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
