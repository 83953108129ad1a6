"""Running the suite from a checkout that somebody named, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compat.s3_tests.comparison import read_results
from tests.compat.s3_tests.users import settings_of_suite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.compat.s3_tests.comparison import Result
    from tests.compat.s3_tests.doors import Door

FOLDER = "s3tests/functional"
TEST_SECONDS_MAX = 120
PLUGIN = Path(__file__).with_name("plugin.py")


def python_of(checkout: Path) -> Path:
    """Return the suite's own Python, with what its requirements name; made when missing."""
    environment = checkout / ".venv"
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        requirements = str(checkout / "requirements.txt")
        subprocess.run([*command, "-r", requirements], check=True)
    return python


def _start(
    checkout: Path, door: Door, folder: Path, chosen: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start the suite against a door; results come in ``folder``, one line for each test."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{door.name}.conf"
    config.write_text(settings_of_suite(door.endpoint, door.users))
    modules = folder / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "hyok_s3_tests_plugin.py").write_text(PLUGIN.read_text())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),  # no settings of the person who runs it
        "PYTHONPATH": f"{modules}{os.pathsep}{checkout}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "S3TEST_CONF": str(config),
        "HYOK_RESULTS": str(results_of(folder, door)),
        "HYOK_TEST_SECONDS": str(TEST_SECONDS_MAX),
        "HYOK_NEW_BUCKETS": door.new_buckets,
    }
    with (folder / f"{door.name}.out").open("wb") as out:
        return subprocess.Popen(
            [
                *[str(python_of(checkout)), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
                *["-p", "hyok_s3_tests_plugin", "-W", "ignore", "--tb=short", *chosen],
            ],
            cwd=checkout,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )


def run(checkout: Path, door: Door, folder: Path, chosen: Sequence[str]) -> dict[str, Result]:
    """Run the chosen files or tests at a door, and return how each test ended."""
    process = _start(checkout, door, folder, chosen)
    try:
        code = process.wait()
    finally:
        process.kill()  # when the wait was broken off
    assert code in {0, 1}, f"the suite did not run to its end: {folder / door.name}.out"
    return read_results(results_of(folder, door).read_text())


def results_of(folder: Path, door: Door) -> Path:
    """Return the file of the results at a door."""
    return folder / f"{door.name}.jsonl"
