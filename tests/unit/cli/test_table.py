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
from hyok.cli.overview import build_overview
from hyok.cli.table import TABLE, Entry, build, entry_of

WHOLE = typer.main.get_command(app)
LOADED = """
import sys
from hyok.cli import entry
sys.argv = ["hyok", *sys.argv[1:]]
try:
    entry.main()
except SystemExit:
    pass
print(*sys.modules, file=sys.stderr)
"""
RARE = {
    *("alembic", "awscrt", "botocore", "boto3", "aiohttp", "procrastinate", "fastapi", "starlette"),
    *("granian", "uvloop", "fido2", "jinja2"),
}
"""What only some commands need, and takes long to load."""


def loaded_by(*words: str) -> tuple[set[str], str]:
    """Return the modules that a process has after a command, and what it said."""
    command = [sys.executable, "-c", LOADED, *words]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return set(ran.stderr.splitlines()[-1].split()), ran.stdout


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


@pytest.mark.parametrize(
    "words", [["keys", "list"], ["doctor"], ["serve", "worker"], ["apps", "create"], ["freeze"]]
)
def test_a_command_loads_neither_the_others_nor_what_is_rarely_needed(words: list[str]) -> None:
    modules, said = loaded_by(*words, "--help")
    entry = entry_of(words[0])
    assert entry is not None
    assert f"hyok.cli.{entry.module}" in modules
    assert "hyok.cli.officers" not in modules
    assert not [name for name in modules if name.startswith("hyok.cli.bench")]
    assert not RARE & modules
    assert f"hyok {' '.join(words)}" in said


@pytest.mark.parametrize("words", [["--version"], ["--help"], [], ["frobnicate"]])
def test_help_and_version_load_no_command_and_nothing_beneath(words: list[str]) -> None:
    modules, _ = loaded_by(*words)
    ours = {name for name in modules if name.startswith("hyok.")}
    allowed = {"entry", "overview", "table", "telling"}
    assert ours <= {"hyok.errors", "hyok.cli", *(f"hyok.cli.{name}" for name in allowed)} | {
        name for name in ours if name.startswith("hyok.telemetry")
    }
    assert not (RARE | {"sqlalchemy", "cedarpy", "cryptography"}) & modules
    if words == ["--version"]:
        assert "typer" not in modules


def test_the_overview_shows_each_command_as_it_describes_itself() -> None:
    commands = WHOLE.commands  # type: ignore[attr-defined]
    shown = typer.main.get_command(build_overview()).commands  # type: ignore[attr-defined]
    assert list(shown) == list(commands)
    for word, command in commands.items():
        assert shown[word].help == " ".join(command.help.split("\n\n")[0].split()), word


def test_a_shell_completes_words_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_HYOK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "hyok buckets c")
    monkeypatch.setenv("COMP_CWORD", "2")
    modules, said = loaded_by()
    assert said.split() == ["create"]
    assert "hyok.cli.keys" not in modules


def test_hyok_tells_the_version_that_the_project_has() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    told = CliRunner().invoke(app, ["--version"])
    assert (told.exit_code, told.stdout) == (0, f"hyok {project['version']}\n")
    assert loaded_by("--version")[1] == told.stdout
