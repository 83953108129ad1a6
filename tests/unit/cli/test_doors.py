"""`hyok doors xks-file`: no access key is made whose secret could not be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from typer.testing import CliRunner

from hyok.cli import doors
from hyok.cli.main import app
from hyok.errors import HyokError, NotFound

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "said"), [("nowhere/f", "cannot be written"), ("f", "already")])
def test_a_file_that_cannot_be_made_is_told_before_a_key_is_made(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_text("mine")
    asked: list[object] = []
    monkeypatch.setattr(doors, "run", lambda *given: asked.append(given))
    command = ["doors", "xks-file", "/gemeente", "--output", str(tmp_path / name)]
    done = CliRunner().invoke(app, command)
    assert said in cast("HyokError", done.exception).cause
    assert not asked
    assert (tmp_path / "f").read_text() == "mine"


def test_no_file_is_left_where_no_key_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_given: Any) -> None:
        raise NotFound("there is no such store")

    monkeypatch.setattr(doors, "run", run)
    output = tmp_path / "f"
    done = CliRunner().invoke(app, ["doors", "xks-file", "/x", "--output", str(output)])
    assert isinstance(done.exception, NotFound)
    assert not output.exists()
