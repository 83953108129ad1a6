"""What docs/policies.md shows can be typed: each line parses, and its exceptions load."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from hyok.cli.main import app
from hyok.policy.bundle import load
from hyok.policy.exceptions import FILE, check_terms
from hyok.wiring import policy_files

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "policies.md").read_text()
LINES = re.findall(r"^    hyok (policy .*)$", PAGE, re.MULTILINE)
[SNIPPET] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("line", LINES)
def test_every_line_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    for _ in range(2):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    assert command.name is not None
    command.make_context(command.name, words)


def test_the_steps_are_all_there() -> None:
    shown = {line.split()[1] for line in LINES}
    assert {"validate", "diff", "replay", "rehearse", "shadow", "enforce", "publish"} <= shown


def test_the_exceptions_load_with_our_own_policy_and_could_be_published() -> None:
    policy = load(policy_files(ROOT / "policies") | {FILE: SNIPPET})
    assert [one.id for one in policy.exceptions] == ["archief-verhuizing", "inzage-jeugdteam"]
    check_terms(policy.exceptions, policy.exceptions[1].ends_ms - 1, {})
