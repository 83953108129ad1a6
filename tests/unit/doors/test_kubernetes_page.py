"""docs/keyservices/kubernetes.md: settings and YAML fit each other; its rule does as it says."""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path

import yaml
from tests.unit.custody.test_custodian import CLASSES, POLICIES
from tests.unit.doors.house import ENGINE

from hyok.doors.config import DoorSettings
from hyok.policy.cases import parse_cases
from hyok.policy.cedar import CedarEngine

PAGE = (Path(__file__).parents[3] / "docs/keyservices/kubernetes.md").read_text()


def block(first: str) -> str:
    """Return the indented block that begins with this line."""
    lines: list[str] = []
    for line in PAGE[PAGE.index(f"    {first}") :].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_api_server_looks_where_the_settings_say() -> None:
    told = tomllib.loads(block("[doors.kubernetes]"))["doors"]
    settings = DoorSettings.model_validate(told).kubernetes
    assert settings.enabled
    document = yaml.safe_load(block("apiVersion: apiserver"))
    assert document["kind"] == "EncryptionConfiguration"
    first, last = document["resources"][0]["providers"]
    assert first["kms"]["apiVersion"] == "v2"
    assert first["kms"]["endpoint"] == f"unix://{settings.socket}"
    assert first["kms"]["timeout"] == "3s"
    assert settings.deadline_ms < 3_000
    assert f"k8s:enc:kms:v2:{first['kms']['name']}:" in PAGE
    assert last == {"identity": {}}


def test_the_rule_lets_a_cluster_read_and_not_write() -> None:
    rules = [path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))]
    schema = (POLICIES / "schema.cedarschema").read_text()
    engine = CedarEngine("\n".join([*rules, block('@id("old-cluster-reads")')]), schema, CLASSES)
    for action, operation, allowed in (
        ("key:describe", "status", True),
        ("key:decrypt", "decrypt", True),
        ("key:encrypt", "encrypt", False),
    ):
        row = (
            f'- {{why: x, action: "{action}", app: {{id: cluster-a, grants: [use-keys]}}, '
            f"use: {{door: kubernetes, operation: {operation}}}, answer: permit}}"
        )
        (case,) = parse_cases("page", row, CLASSES)
        assert ENGINE.decide(case.question).allowed
        assert engine.decide(case.question).allowed is allowed, operation
        other = case.question._replace(principal=replace(case.question.principal, id="cluster-b"))
        assert engine.decide(other).allowed
