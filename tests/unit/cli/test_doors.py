"""`hyok doors`: what is proposed, what is told, and no access key whose secret is lost."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from typer.testing import CliRunner

from hyok.cli import doors
from hyok.cli.main import app
from hyok.custody.door_key import DoorKey, DoorVersion, Usage
from hyok.custody.key_states import KeyState
from hyok.custody.quorum import Act
from hyok.doors.dke.config import DkeSettings
from hyok.errors import HyokError, NotFound
from hyok.hsm.port import KekSpec

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


def said_of(monkeypatch: pytest.MonkeyPatch, *command: str) -> tuple[Act, dict[str, object]]:
    """Return what a command proposes."""
    asked: list[tuple[Act, dict[str, object]]] = []

    def propose(_config: object, _login: object, act: Act, effect: Any, *_: Any, **__: Any) -> None:
        asked.append((act, effect))

    monkeypatch.setattr(doors, "propose", propose)
    done = CliRunner().invoke(app, ["doors", "keys", *command, "--tenant", "t"])
    assert done.exit_code == 0, done.output
    return asked[0]


def test_what_is_proposed_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    create = ("create", "geheim", "--classification", "geheim", "--app", "office")
    act, effect = said_of(monkeypatch, *create, "--kind", "rsa-3072")
    assert (act, effect["kind"]) == (Act.CREATE_DOOR_KEY, "rsa-3072")
    assert said_of(monkeypatch, *create)[1]["kind"] == "aes-256"
    whole: dict[str, object] = {"tenant": "t", "key": "geheim", "version": 0}
    assert said_of(monkeypatch, "destroy", "geheim") == (Act.DESTROY_DOOR_KEY, whole)
    older = said_of(monkeypatch, "destroy", "geheim", "--version", "2")
    assert older == (Act.DESTROY_DOOR_KEY, whole | {"version": 2})


def key_of(name: str, kind: str, *apps: str) -> DoorKey:
    version = DoorVersion(1, KekSpec("x", 128, bytes(16), public_key=b"DER"), KeyState.ACTIVE, 0)
    usage = frozenset({Usage.DECRYPT})
    return DoorKey(
        "t", name, "geheim", frozenset(apps), usage, KeyState.ACTIVE, (version,), 1, kind
    )


class Core:
    """As much of the services as the commands ask."""

    def __init__(self) -> None:
        label = {"label": "Geheim", "classification": "geheim", "people": ["@gemeente.example"]}
        dke = DkeSettings.model_validate(
            {
                "public_url": "https://dke.gemeente.example",
                "app": "office",
                "keys": [label | {"name": name} for name in ("geheim", "ander", "nieuw")],
            }
        )
        self.settings = SimpleNamespace(doors=SimpleNamespace(dke=dke))
        self.doors = SimpleNamespace(catalog=self)
        self.changed: list[str] = []

    async def all(self) -> list[DoorKey]:
        return [key_of("geheim", "rsa-3072", "office"), key_of("ander", "rsa-3072", "iemand")]

    async def named(self, _tenant: str, _name: str) -> DoorKey:
        return key_of("geheim", "rsa-3072", "office")

    async def change_state(self, _tenant: str, _name: str, to: KeyState) -> None:
        self.changed.append(str(to))


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Core:
    made = Core()

    async def record(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(doors, "run", lambda _config, act: asyncio.run(act(made)))
    monkeypatch.setattr(doors, "record", record)
    return made


def test_purview_is_told_addresses_of_pairs_that_serve_office(core: Core) -> None:
    assert core.settings
    done = CliRunner().invoke(app, ["doors", "dke-labels", "--json"])
    first, *others = json.loads(done.output)
    assert first["address"] == "https://dke.gemeente.example/geheim"
    assert first["key"] == "rsa-3072 active"
    assert len(first["key_id"]) == 36
    assert [(one["key"], one["key_id"]) for one in others] == [("not made yet", "")] * 2


@pytest.mark.parametrize(
    ("word", "state"), [("suspend", "suspended"), ("deactivate", "deactivated")]
)
def test_a_change_of_state_is_told_to_programs(core: Core, word: str, state: str) -> None:
    command = ["doors", "keys", word, "geheim", "--tenant", "t", "--reason", "incident"]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(done.output) == [{"key": "t/geheim", "state": state}]
    assert core.changed == [state]
    assert "within five seconds" in CliRunner().invoke(app, command).output
