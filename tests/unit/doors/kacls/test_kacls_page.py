"""docs/keyservices/kacls.md: its settings are taken, its rule decides as the page says."""

from __future__ import annotations

import textwrap
import tomllib
from pathlib import Path

from tests.unit.custody.test_custodian import CLASSES, POLICIES
from tests.unit.doors.house import ENGINE
from typer.testing import CliRunner

from hyok.cli.main import app
from hyok.doors.config import DoorSettings
from hyok.doors.kacls.operations import served_by
from hyok.doors.kacls.rules import Method
from hyok.policy.cases import parse_cases
from hyok.policy.cedar import CedarEngine

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/keyservices/kacls.md").read_text()


def block(first: str) -> str:
    """Return the indented block that begins with this line."""
    lines: list[str] = []
    for line in PAGE[PAGE.index(f"    {first}") :].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_settings_are_taken() -> None:
    told = tomllib.loads(block("[doors.kacls]"))["doors"]
    told["kacls"]["services"] = tomllib.loads(block("[[doors.kacls.services]]"))["doors"]["kacls"][
        "services"
    ]
    settings = DoorSettings.model_validate(told).kacls
    assert settings.enabled
    assert settings.own.perimeters is not None
    assert Method.REWRAP in served_by(settings)


def test_the_example_is_taken_when_it_is_switched_on() -> None:
    example = tomllib.loads((ROOT / "deploy/hyok.example.toml").read_text())["doors"]["kacls"]
    assert DoorSettings.model_validate({"kacls": {**example, "enabled": True}}).kacls.enabled


def test_the_commands_have_the_options_that_the_page_names() -> None:
    shown = CliRunner().invoke(app, ["break-glass", "request-door", "--help"]).output
    for line in PAGE.splitlines():
        if "request-door" in line and line.startswith("    "):
            for word in line.split():
                assert not word.startswith("--") or word in shown, word


def test_the_page_names_every_method_and_all_can_be_served() -> None:
    everything = DoorSettings.model_validate(
        {
            "kacls": {
                "signing_key": "x",
                "private_key": "y",
                "administrators": ["a@b.example"],
                "services": [{"url": "https://x.example", "rewrap_from": True, "may_unwrap": True}],
            }
        }
    ).kacls
    assert set(served_by(everything)) == set(Method)
    assert block("private_key =") == 'private_key = "cse-privaat"\n'
    for method in set(Method) - {Method.WRAP, Method.UNWRAP, Method.DELEGATE, Method.REWRAP}:
        assert f"`{method}`" in PAGE or f"`/{method}`" in PAGE, method


def test_the_rule_keeps_a_perimeter_at_home() -> None:
    rules = [path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))]
    schema = (POLICIES / "schema.cedarschema").read_text()
    engine = CedarEngine("\n".join([*rules, block('@id("perimeter-at-home")')]), schema, CLASSES)
    for via, caller, allowed in (
        ("drive/raad", "jan@gemeente.example", True),
        ("drive/raad", "jan@elders.example", False),
        ("drive", "jan@elders.example", True),
    ):
        row = (
            f'- {{why: x, action: "key:decrypt", app: {{id: google, grants: [use-keys]}}, use: '
            f'{{door: kacls, operation: unwrap, via: "{via}", caller: "{caller}"}}, '
            "answer: permit}"
        )
        (case,) = parse_cases("page", row, CLASSES)
        assert ENGINE.decide(case.question).allowed
        assert engine.decide(case.question).allowed is allowed, via
