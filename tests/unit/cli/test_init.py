"""`hyok init` writes settings that hold, explained, and never with keys for development."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hyok import settings
from hyok.cli.answers import QUESTIONS, check_answer, read_answers, render_settings
from hyok.cli.main import app
from hyok.errors import Conflict, HyokError, Malformed, Refused

ROOT = Path(__file__).resolve().parents[3]
FAMILIES = frozenset(path.stem for path in (ROOT / "hsm" / "profiles").glob("*.toml"))
ANSWERS = {
    "address": "10.1.2.3:8443",
    "certificate": "/etc/hyok/tls/gateway.pem",
    "hsm": "luna",
    "token": "hyok",
    "store": "/var/lib/hyok/store",
    "where": "NL NL",
}


def toml(**change: str) -> str:
    return "".join(f'{name} = "{value}"\n' for name, value in {**ANSWERS, **change}.items())


def run(tmp_path: Path, *arguments: str, typed: str | None = None) -> tuple[int, str, object]:
    to = str(tmp_path / "etc" / "hyok.toml")
    done = CliRunner().invoke(app, ["init", "--to", to, *arguments], input=typed)
    return done.exit_code, done.output, done.exception


def test_six_questions_make_settings_that_hold(tmp_path: Path) -> None:
    assert len(QUESTIONS) == 6
    code, out, _ = run(tmp_path, typed="\n\nluna\n\n\n\n")
    assert code == 0, out
    file = tmp_path / "etc" / "hyok.toml"
    made = settings.load(file)
    assert made.installation.mode == "production"
    assert (made.hsm.profile, made.hsm.tokens[0].label) == ("luna", "hyok")
    assert made.gateway.port == 8443
    assert file.stat().st_mode & 0o777 == 0o600
    assert "/etc/hyok/hsm.pin is not there yet" in out
    assert out.index("hyok hsm prove") < out.index("hyok keys create") < out.index("hyok doctor")


def test_a_wrong_answer_is_explained_and_asked_again(tmp_path: Path) -> None:
    typed = "nowhere\n10.0.0.1:8443\n\nsofthsm\nenigma\nnshield\nhyok-dev\nprod\n\n\n"
    code, out, _ = run(tmp_path, typed=typed)
    assert code == 0, out
    for said in ("not host:port", "for development", "no family", "development token"):
        assert said in out
    assert settings.load(tmp_path / "etc" / "hyok.toml").hsm.tokens[0].label == "prod"


def test_a_file_of_answers_asks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "answers.toml"
    more = {"credentials_file": "/etc/hyok/s.cred", "region": "eu-west-1", "module": "/lib/x.so"}
    change = {"store": "https://s3.example.eu", "where": "ie us", "state": "/srv/hyok", **more}
    file.write_text(toml(**change))
    code, out, _ = run(tmp_path, "--answers", str(file))
    assert code == 0, out
    made = settings.load(tmp_path / "etc" / "hyok.toml")
    store = made.stores[0]
    assert store.kind == "s3"
    assert (store.jurisdiction, store.control, store.region) == ("IE", "US", "eu-west-1")
    assert made.database.url == "sqlite:////srv/hyok/hyok.db"
    assert str(made.hsm.tokens[0].module) == "/lib/x.so"


def test_nothing_is_written_without_all_answers_or_over_another_file(tmp_path: Path) -> None:
    code, _, error = run(tmp_path, typed="\n\n")
    assert code == 1
    assert isinstance(error, Malformed)
    assert not (tmp_path / "etc").exists()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hyok.toml").write_text("mine")
    _, _, error = run(tmp_path, typed="\n\nluna\n\n\n\n")
    assert isinstance(error, Conflict)
    assert (tmp_path / "etc" / "hyok.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"hsm": "software"}, Refused, "development"),
        ({"hsm": "softhsm"}, Refused, "development"),
        ({"token": "hyok-dev"}, Refused, "development"),
        ({"hsm": "../../etc/passwd"}, Malformed, "no family"),
        ({"address": "8443"}, Malformed, "host:port"),
        ({"address": "host:0"}, Malformed, "host:port"),
        ({"address": "host:٣"}, Malformed, "host:port"),
        ({"store": "http://s3.example.eu"}, Malformed, "https://"),
        ({"store": "https://u:p@s3.example.eu"}, Malformed, "https://"),
        ({"store": "relative/folder"}, Malformed, "folder"),
        ({"where": "NL"}, Malformed, "two codes"),
        ({"where": 'NL" x="'.replace('"', "'")}, Malformed, "two codes"),
        ({"token": ""}, Malformed, "wanted"),
        ({"colour": "blue"}, Malformed, "colour is unknown"),
        ({"certificate": "gateway.pem"}, Malformed, "whole path"),
    ],
)
def test_answers_that_cannot_stand_are_named(
    change: dict[str, str], kind: type[HyokError], said: str
) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        read_answers(toml(**change), FAMILIES)


@pytest.mark.parametrize("text", ["not toml", "address = 1\n" + toml().split("\n", 1)[1], ""])
def test_a_file_that_is_no_answers_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="answers"):
        read_answers(text, FAMILIES)


def test_an_answer_cannot_smuggle_in_a_setting() -> None:
    label = 'x"\nmode = "development'
    with pytest.raises(Malformed):
        check_answer("token", label, FAMILIES)
    quoted = render_settings({**ANSWERS, "token": 'a"b\\'}, ROOT)
    assert settings.parse(quoted, "test").hsm.tokens[0].label == 'a"b\\'


def test_every_table_of_the_file_is_explained() -> None:
    lines = render_settings(ANSWERS, ROOT).splitlines()
    for number, line in enumerate(lines):
        if line.startswith("["):
            around = lines[number - 1 : number + 2]
            assert any(one.startswith("#") for one in around), line
