"""Runs the whole suite: every test, and the static checks beside them.

Three files at a time is more than two cores hold, and some properties are about seconds.  Where at
most `FILES_AGAIN_MAX` files of hundreds have tests that fail, those run once more with the machine
to themselves, and what they say then counts; that they failed before is told.

``./hyok test [--long] [--s3-tests CHECKOUT] [--xks-client CHECKOUT] [paths]``
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
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

TESTS_FAILED = 1
"""What pytest ends with then; other numbers are about pytest itself."""

FILES_AGAIN_MAX = 3
"""More than these have a cause that they share.  What a file starts serves all tests of it."""

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
    with (
        tempfile.TemporaryDirectory(prefix="hyok-suite-") as folder,
        ThreadPoolExecutor(1) as beside,  # the tests wait often enough to let them through
    ):
        told = environment["HYOK_TELL_FAILED"] = f"{folder}/failed.json"
        checked = beside.submit(check, environment) if not arguments else None
        tests = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        failed = checked.result() if checked is not None else []
        if tests == TESTS_FAILED and not arguments:
            tests = again(json.loads(Path(told).read_text()), environment)
    for said in failed:
        print(said, flush=True)
    return tests or bool(failed)


def again(failed: list[str], environment: dict[str, str]) -> int:
    """Run what failed once more, alone; return 0 when all of it holds then.

    Args:
        failed: ids of tests, as pytest names them.
        environment: of the run before.
    """
    if not 0 < len({name.partition("::")[0] for name in failed}) <= FILES_AGAIN_MAX:
        return TESTS_FAILED
    print(f"\nonce more, with the machine to themselves: {', '.join(failed)}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *failed]
    tests = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    word = "held alone, failed beside others" if tests == 0 else "failed alone too"
    print(f"{word}: {', '.join(failed)}", flush=True)
    return tests


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
