"""docs/keyservices/ekm.md: its settings and commands are taken, its rule does what it says."""

from __future__ import annotations

import re
import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path

import typer
from tests.unit.custody.test_custodian import CLASSES, POLICIES
from tests.unit.doors.house import ENGINE

from hyok.cli.main import app
from hyok.doors.config import DoorSettings
from hyok.doors.ekm import faults
from hyok.policy.cases import parse_cases
from hyok.policy.cedar import CedarEngine

PAGE = (Path(__file__).parents[3] / "docs/keyservices/ekm.md").read_text()


def block(first: str) -> str:
    """Return the indented block that begins with this line."""
    lines: list[str] = []
    for line in PAGE[PAGE.index(f"    {first}") :].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_settings_are_taken() -> None:
    told = tomllib.loads(block("[doors.ekm]"))["doors"]
    settings = DoorSettings.model_validate(told).ekm
    assert settings.enabled
    (pool,) = settings.pools
    assert f"hyok apps create {pool.app} " in PAGE
    assert f"`{pool.prefix}`" in PAGE


def test_the_options_of_the_commands_are_there() -> None:
    create = typer.main.get_command(app)
    for word in ("doors", "keys", "create"):
        create = create.commands[word]  # type: ignore[attr-defined]
    known = {option for parameter in create.params for option in parameter.opts}
    lines = re.findall(r"hyok doors keys create (.*)", PAGE)
    assert len(lines) == 2
    for line in lines:
        assert "--usage wrap" in line
        assert set(re.findall(r"--[a-z-]+", line)) <= known


def test_every_answer_of_the_table_of_faults_is_on_the_page() -> None:
    told = set(re.findall(r"^\| (\d{3}) `(\w+)`", PAGE, re.MULTILINE))
    every = {one for one in vars(faults).values() if isinstance(one, faults.Fault)}
    assert {(str(one.status), one.name) for one in every} == told


def test_the_rule_lets_a_pool_unwrap_and_not_wrap() -> None:
    rules = [path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))]
    schema = (POLICIES / "schema.cedarschema").read_text()
    engine = CedarEngine("\n".join([*rules, block('@id("only-unwrap")')]), schema, CLASSES)
    for action, allowed in (("key:wrap", False), ("key:unwrap", True), ("key:describe", True)):
        row = (
            f'- {{why: x, action: "{action}", app: {{id: azure, grants: [use-keys]}}, '
            f"use: {{door: ekm}}, answer: permit}}"
        )
        (case,) = parse_cases("page", row, CLASSES)
        assert ENGINE.decide(case.question).allowed
        assert engine.decide(case.question).allowed is allowed, action
        other = case.question._replace(principal=replace(case.question.principal, id="ander"))
        assert engine.decide(other).allowed
