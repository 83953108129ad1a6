"""docs/keyservices/payloads.md: its settings, requests, words and rule are the door's."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.custody.test_custodian import CLASSES, POLICIES
from tests.unit.doors.house import ENGINE
from tests.unit.doors.payloads import payloads

from hyok.doors.config import DoorSettings
from hyok.doors.payloads import faults, jwe, refusals
from hyok.doors.payloads.config import PayloadSettings
from hyok.doors.payloads.description import describe
from hyok.policy.cases import parse_cases
from hyok.policy.cedar import CedarEngine

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/keyservices/payloads.md").read_text()


def block(first: str) -> str:
    """Return the indented block that begins with this line."""
    lines: list[str] = []
    for line in PAGE[PAGE.index(f"    {first}") :].splitlines():
        if line and not line.startswith("    "):
            break
        lines.append(line)
    return textwrap.dedent("\n".join(lines))


def test_the_settings_are_taken() -> None:
    told = tomllib.loads(block("[doors.payloads]"))["doors"]
    assert DoorSettings.model_validate(told).payloads.enabled
    defaults = PayloadSettings()
    assert f"{defaults.document_bytes_max >> 20} MiB (`document_bytes_max`)" in PAGE
    assert f"{defaults.document_values_max:,} values (`document_values_max`)" in PAGE
    assert defaults.equality_index is False
    assert defaults.bsn_tokens == ()
    told = tomllib.loads(block("[[doors.payloads.bsn_tokens]]"))["doors"]
    (one,) = DoorSettings.model_validate(told).payloads.bsn_tokens
    assert (one.key, one.elfproef) == ("gemeente/bsn", "fails")


async def test_its_requests_do_what_it_says(tmp_path: Any) -> None:
    async with payloads(tmp_path) as made:
        await made.store.make("zaken")
        asked = json.loads(block('{"key": "zaken", "plaintext"'))
        told = await made.done("encrypt", asked)
        assert set(told) == {"token", "key", "version"}
        opened = {"token": told["token"], "context": asked["context"]}
        assert (await made.done("decrypt", opened))["plaintext"] == asked["plaintext"]
        asked = json.loads(block('{\n      "key"'))
        told = await made.done("encrypt-json", asked)
        assert told["encrypted"] == 4
        back = await made.decrypt_json(told["document"], context=asked["context"])
        assert back == asked["document"]
        index = json.loads(
            "".join(re.findall(r'`(\{"pointer": "/persoon/bsn", "index".*?\}\})`', PAGE, re.DOTALL))
        )
        found = await made.encrypt_json(asked["document"], index, context=asked["context"])
        assert "bsnIndex" in found["persoon"]


def test_every_word_of_a_problem_is_explained() -> None:
    told = {fault.code for fault in vars(faults).values() if isinstance(fault, faults.Fault)}
    told |= {
        word for name, word in vars(refusals).items() if name.isupper() and name != "POINTER"
    } - {refusals.POINTER}
    told |= {faults.not_allowed("GET").code} - {"internal_error"}
    assert not [word for word in sorted(told - {"internal_error"}) if f"`{word}`" not in PAGE]


def test_the_header_of_the_page_is_the_headers() -> None:
    rows = set(re.findall(r"^\| `([a-z]+)` \|", PAGE, re.MULTILINE))
    assert rows == {"alg", "enc", "typ", "kid", "ctx", "crit"}
    assert all(str(alg) in PAGE for alg in jwe.Alg)
    assert jwe.ENC in PAGE
    assert jwe.TYP in PAGE


def test_the_document_in_the_tree_is_the_one_that_is_served() -> None:
    stored = json.loads((ROOT / "docs/keyservices/payloads.openapi.json").read_text())
    assert stored == describe(), "run docs/generate_openapi.py"


def test_the_rule_lets_an_app_bring_in_and_nothing_else() -> None:
    rules = [path.read_text() for path in sorted((POLICIES / "rules").glob("*.cedar"))]
    schema = (POLICIES / "schema.cedarschema").read_text()
    engine = CedarEngine("\n".join([*rules, block('@id("brings-in-alone")')]), schema, CLASSES)
    for action, operation, allowed in (
        ("key:encrypt", "encrypt", True),
        ("key:encrypt", "encrypt-json", True),
        ("key:encrypt", "rewrap", True),
        ("key:decrypt", "rewrap", True),
        ("key:decrypt", "decrypt", False),
        ("key:decrypt", "decrypt-json", False),
    ):
        row = (
            f'- {{why: x, action: "{action}", app: {{id: inname, grants: [use-keys]}}, '
            f"use: {{door: payloads, operation: {operation}}}, answer: permit}}"
        )
        (case,) = parse_cases("page", row, CLASSES)
        assert ENGINE.decide(case.question).allowed
        assert engine.decide(case.question).allowed is allowed, operation
        other = case.question._replace(principal=replace(case.question.principal, id="ceph"))
        assert engine.decide(other).allowed
