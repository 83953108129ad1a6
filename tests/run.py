"""Runs the whole suite: every test, and the static checks beside them.

``./hyok test [--long] [--s3-tests CHECKOUT] [--xks-client CHECKOUT] [paths]``
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
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

# Never ours, and never in our repository: ceph/s3-tests, and AWS's client for key stores.
SUITES_OF_OTHERS = {
    "--s3-tests": ("s3tests", "HYOK_S3_TESTS"),
    "--xks-client": ("test-xks-proxy", "HYOK_XKS_CLIENT"),
}


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
    for option, (file, variable) in SUITES_OF_OTHERS.items():
        if option not in arguments:
            continue
        at = arguments.index(option)
        checkout = Path(arguments[at + 1] if len(arguments) > at + 1 else "").resolve()
        if not (checkout / file).exists():
            print(f"{option} wants a checkout that has {file}; {checkout} has none", flush=True)
            return 2
        environment[variable] = str(checkout)
        del arguments[at : at + 2]
    how = "-v" if "HYOK_LONG" in environment else "-q"  # hours: each test says that it ended
    command = [sys.executable, "-m", "pytest", how, "-p", "no:cacheprovider", *LANES, *arguments]
    with ThreadPoolExecutor(1) as beside:  # the tests wait often enough to let them through
        checked = beside.submit(check, environment) if not arguments else None
        tests = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        failed = checked.result() if checked is not None else []
    for said in failed:
        print(said, flush=True)
    return tests or bool(failed)


def check(environment: dict[str, str]) -> list[str]:
    """Run the static checks, say of each that it ended, and return what those that failed said."""
    failed = []
    for name, command in CHECKS:
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        word = "ok" if done.returncode == 0 else "FAIL"
        print(f"{word:>4}  {name}  {time.monotonic() - began:.1f} s", flush=True)
        if done.returncode:
            failed.append(f"the static check of {name} failed:\n{done.stdout}{done.stderr}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
