"""A command alone is the same as among the others, and loads no more than it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hyok.cli.main import app
from hyok.cli.table import TABLE, Entry, build, entry_of

WHOLE = typer.main.get_command(app)
LOADED = """
import sys
from hyok.cli import entry
sys.argv = ["hyok", *sys.argv[1:], "--help"]
try:
    entry.main()
except SystemExit:
    pass
print([name for name in sys.modules if name.startswith("hyok.cli.")], file=sys.stderr)
print("alembic" in sys.modules, file=sys.stderr)
"""


def names(command: object) -> list[str]:
    return sorted(getattr(command, "commands", {}))


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.module)
def test_the_commands_of_a_module_are_those_that_the_table_says(entry: Entry) -> None:
    alone = typer.main.get_command(build([entry]))
    assert names(alone) == sorted(entry.words)
    for word in entry.words:
        assert entry_of(word) is entry
        assert names(alone.commands[word]) == names(WHOLE.commands[word])  # type: ignore[attr-defined]


def test_no_word_stands_twice_and_an_unknown_one_is_nobody_s() -> None:
    words = [word for entry in TABLE for word in entry.words]
    assert sorted(words) == sorted(set(words)) == names(WHOLE)
    assert entry_of("nosuch") is None


@pytest.mark.parametrize("words", [["keys", "list"], ["doctor"], ["serve", "worker"]])
def test_a_command_loads_neither_the_others_nor_what_migrates_the_database(
    words: list[str],
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words], check=True, capture_output=True, text=True
    )
    modules, alembic = ran.stderr.splitlines()[-2:]
    assert f"hyok.cli.{words[0]}" in modules
    assert "hyok.cli.officers" not in modules
    assert alembic == "False"
    assert f"hyok {' '.join(words)}" in ran.stdout


def test_hyok_tells_the_version_that_the_project_has() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"hyok {project['version']}\n")
