"""Every command explains itself, and a wrong use of it says what would be right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from hyok.cli.main import app
from hyok.errors import HyokError

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDS_NO_JSON = {
    *("dev", "init", "serve gateway", "serve worker", "work"),
    *("serve officer", "serve officer-worker", "serve door-worker"),
    *("audit prove", "audit prove-growth", "audit witness"),  # print documents
    # acts, whose answer is the exit code
    *("apps revoke", "apps end-sessions", "apps keys end", "apps keys revoke"),
    *("apps trust add", "apps trust remove", "break-glass end", "break-glass review"),
    *("buckets withdraw", "freeze", "thaw", "policy test", "login", "logout"),
    *("shred statement", "shred check-statement", "evidence crypto"),
}
OTHERS = ("hsm", "keys")  # looked at where they are at home


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))
OURS = sorted(name for name in COMMANDS if not name.startswith(OTHERS))


@pytest.mark.parametrize("name", OURS)
def test_every_command_and_each_of_its_options_says_what_it_is(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    if not command.hidden:
        for parameter in command.params:
            assert getattr(parameter, "help", "x"), f"{name} {parameter.name}"


def test_what_only_reads_speaks_json() -> None:
    for name in OURS:
        if name not in NEEDS_NO_JSON:
            assert "as_json" in {parameter.name for parameter in COMMANDS[name].params}, name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("peek brief.pdf", "write s3://bucket/key"),
        ("peek s3://bucket", "write s3://bucket/key"),
        ("export dossiers /tmp/x", "write s3://bucket"),
        ("peek s3://a/b --config /nowhere.toml", "cannot be read"),
        ("doctor --config", "requires an argument"),
        ("apps create x --tenant t --grant everything --config /nowhere", "no grant everything"),
        ("restore /nowhere --config /nowhere.toml", "cannot be read"),
        ("dev --pull-hsm --home /nowhere", "cannot be read"),
        ("dev --port 0", "greater than or equal to 1"),
        ("frobnicate", "No such command"),
    ],
)
def test_a_wrong_use_says_what_would_be_right(arguments: str, said: str) -> None:
    done = CliRunner().invoke(app, arguments.split())
    assert done.exit_code != 0
    error = done.exception
    told = error.explain() if isinstance(error, HyokError) else done.output
    assert said in " ".join(told.split()), told


def test_a_folder_that_dev_did_not_make_is_not_wiped(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(app, ["dev", "--reset", "--home", str(tmp_path)])
    assert "not wiped" in str(done.exception)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.slow
def test_the_shell_completes_commands_and_errors_carry_no_colour_or_traceback() -> None:
    environment = {**os.environ, "NO_COLOR": "1"}
    completing = {"_HYOK_COMPLETE": "complete_bash", "COMP_WORDS": "hyok bu", "COMP_CWORD": "1"}
    ran = [
        subprocess.run(
            [sys.executable, "-m", "hyok", *arguments],
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments, more in (
            ([], completing),
            (["peek", "x"], {}),
            (["recover", "--keys", "/nowhere", "--config", "/nowhere"], {}),
        )
    ]
    assert ran[0].stdout.split() == ["buckets"]
    for failed in ran[1:]:
        assert failed.returncode == 1
        assert "\x1b" not in failed.stderr
        assert "Traceback" not in failed.stderr
        assert len(failed.stderr.splitlines()) == 1
