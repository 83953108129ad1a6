"""What the whole suite relies on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests import run


def test_no_property_fails_because_the_machine_is_busy() -> None:
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
    assert settings(max_examples=7).deadline is None


SOMETIMES = """
import pathlib
HERE = pathlib.Path(__file__)
def test_the_second_time():
    before = HERE.with_suffix(".seen").exists()
    HERE.with_suffix(".seen").touch()
    assert before
def test_never():
    assert False
def test_always():
    assert True
"""
ELSEWHERE = [f"test_{number}.py::test_always" for number in range(run.FILES_AGAIN_MAX)]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_bytes((run.ROOT / "tests/conftest.py").read_bytes())
    (tmp_path / "test_sometimes.py").write_text(SOMETIMES)
    return tmp_path


def test_what_fails_is_told_to_who_runs_the_suite(here: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    told = here / "told.json"
    environment = {**os.environ, "HYOK_TELL_FAILED": str(told)}
    ended = subprocess.run([*command, "."], cwd=here, env=environment, check=False)
    assert ended.returncode == run.TESTS_FAILED
    names = [f"test_sometimes.py::{name}" for name in ("test_never", "test_the_second_time")]
    assert json.loads(told.read_text()) == names


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        (["test_the_second_time"], 0),
        (["test_the_second_time", "test_never"], run.TESTS_FAILED),
        (["test_always", *ELSEWHERE], run.TESTS_FAILED),
        ([], run.TESTS_FAILED),
    ],
    ids=["holds alone", "fails alone too", "too many", "none"],
)
def test_what_failed_beside_others_runs_once_more_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, failed: list[str], code: int
) -> None:
    (here / "test_sometimes.seen").touch()
    monkeypatch.setattr(run, "ROOT", here)
    names = [name if "::" in name else f"test_sometimes.py::{name}" for name in failed]
    assert run.again(names, dict(os.environ)) == code
