"""docs/keyservices/transit.md: its settings are taken, and its rule does what the page says."""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path

from tests.unit.custody.test_custodian import CLASSES, POLICIES
from tests.unit.doors.house import ENGINE

from hyok.doors.config import DoorSettings
from hyok.policy.cases import parse_cases
from hyok.policy.cedar import CedarEngine

PAGE = (Path(__file__).parents[3] / "docs/keyservices/transit.md").read_text()


def block(first: str) -> str:
    """Return the indented block that begins with this line."""
    lines: list[str] = []
    for line in PAGE[PAGE.index(f"    {first}") :].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_settings_are_taken() -> None:
    told = tomllib.loads(block("[doors.transit]"))["doors"]
    settings = DoorSettings.model_validate(told).transit
    assert settings.enabled
    assert settings.mount in PAGE


def test_the_rule_lets_an_app_seal_and_nothing_else() -> None:
    rules = [path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))]
    schema = (POLICIES / "schema.cedarschema").read_text()
    engine = CedarEngine("\n".join([*rules, block('@id("seals-alone")')]), schema, CLASSES)
    for action, operation, allowed in (
        ("key:encrypt", "encrypt", True),
        ("key:encrypt", "datakey/wrapped", True),
        ("key:encrypt", "datakey/plaintext", False),
        ("key:encrypt", "rewrap", False),
        ("key:decrypt", "decrypt", False),
        ("key:decrypt", "rewrap", False),
    ):
        row = (
            f'- {{why: x, action: "{action}", app: {{id: inname, grants: [use-keys]}}, '
            f"use: {{door: transit, operation: {operation}}}, answer: permit}}"
        )
        (case,) = parse_cases("page", row, CLASSES)
        assert ENGINE.decide(case.question).allowed
        assert engine.decide(case.question).allowed is allowed, operation
        other = case.question._replace(principal=replace(case.question.principal, id="ceph"))
        assert engine.decide(other).allowed
