"""`hyok policy`: what docs/policies.md shows can be typed, and what the commands say."""

from __future__ import annotations

import json
import re
import shlex
import time
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hyok.cli import policy_exceptions, policy_replay, policy_shadow
from hyok.cli.main import app
from hyok.cli.policy_shadow import OVERTAKEN
from hyok.cli.screen import out
from hyok.custody.shadow_book import Counted
from hyok.errors import Malformed
from hyok.policy.bundle import load
from hyok.policy.exceptions import FILE, check_terms
from hyok.policy.replay import Changed, Replayed
from hyok.policy.shadow import Difference
from hyok.serving import tell_shadow
from hyok.telemetry.metrics import Metrics
from hyok.wiring import policy_files

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "policies.md").read_text()
LINES = re.findall(r"^    hyok (policy .*)$", PAGE, re.MULTILINE)
[SNIPPET] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("line", LINES)
def test_every_line_can_be_typed(line: str) -> None:
    words = shlex.split(line, comments=True)
    command = typer.main.get_command(app)
    for _ in range(2):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    assert command.name is not None
    command.make_context(command.name, words)


def test_the_steps_are_all_there() -> None:
    shown = {line.split()[1] for line in LINES}
    assert {"validate", "diff", "replay", "rehearse", "shadow", "enforce", "publish"} <= shown


def test_the_exceptions_load_with_our_own_policy_and_could_be_published() -> None:
    policy = load(policy_files(ROOT / "policies") | {FILE: SNIPPET})
    assert [one.id for one in policy.exceptions] == ["archief-verhuizing", "inzage-jeugdteam"]
    check_terms(policy.exceptions, policy.exceptions[1].ends_ms - 1, {})


def policy_with(folder: Path, until: date) -> Path:
    for name, text in policy_files(ROOT / "policies").items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / FILE).write_text(
        "- {id: inzage, lifts: {kind: rule, rule: app-clearance, app: lezer, bucket: intern},\n"
        f"   reason: tot de rol is aangepast, owner: chris, until: {until}}}\n"
    )
    return folder


@pytest.mark.parametrize(
    ("days", "said"), [(100, ""), (-1, "has ended"), (800, "more than a year")]
)
def test_validate_refuses_exceptions_that_have_ended_or_last_too_long(
    tmp_path: Path, days: int, said: str
) -> None:
    today = date(1970, 1, 1) + timedelta(days=time.time() // 86_400)
    folder = policy_with(tmp_path, today + timedelta(days=days))
    done = CliRunner().invoke(app, ["policy", "validate", str(folder), "--json"])
    assert done.exit_code == (1 if said else 0)
    [row] = json.loads(done.output)
    assert row["exceptions"] == ["inzage"]
    assert said in " ".join(row["failing"])
    shown = CliRunner().invoke(app, ["policy", "validate", str(folder)])
    assert shown.exit_code == done.exit_code


SHADOW = {
    "sha256": "ab" * 32,
    "version": 3,
    "state": OVERTAKEN,
    "since": "2026-11-28 12:00:00",
    "by": "officer:anna",
}


def test_the_report_of_a_shadow_says_verdicts_differences_and_that_it_was_overtaken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    would = Difference("would-deny", "lezer", "object:get", "intern", "intern", "app-clearance")
    counted = [Counted(would, 1_234, 0, 1), Counted(Difference("same"), 5, 0, 1)]
    monkeypatch.setattr(policy_shadow, "run", lambda *_: (SHADOW, counted))
    shown = CliRunner().invoke(app, ["policy", "shadow"])
    assert shown.exit_code == 0
    with out.capture() as captured:
        policy_shadow._report(None, as_json=False)
    text = captured.get()
    for said in ("overtaken", "app-clearance", "1,234 would-deny", "5 same", "0 error"):
        assert said in text
    with pytest.raises(Malformed):
        CliRunner().invoke(app, ["policy", "shadow", ".", "--stop"], catch_exceptions=False)


def test_metrics_have_what_the_shadow_was_asked_and_each_decision_once() -> None:
    taken = [{"would-deny": 2, "same": 5}, {}]
    shadow: Any = SimpleNamespace(age_ms=90_000, take_totals=lambda: taken.pop(0))
    metrics = Metrics()
    for _ in range(2):
        tell_shadow(shadow, metrics)
    text = metrics.render().decode()
    assert 'hyok_policy_shadow_decisions_total{verdict="would-deny"} 2.0' in text
    assert "hyok_policy_shadow_seconds 90.0" in text


def test_the_text_of_a_replay_says_what_would_change_and_what_was_not_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = Replayed(same=7)
    found.changed[Changed("would-deny", "lezer", "intern", "object:get", "app-clearance")] = 1_500
    found.skipped["the app is not registered any more"] = 3
    monkeypatch.setattr(policy_replay, "run", lambda *_: found)
    with out.capture() as captured:
        policy_replay.replay(ROOT / "policies", 30, None, as_json=False)
    text = captured.get()
    for said in (
        "would-deny  lezer  intern  object:get  app-clearance  1500",
        "1,510 decisions in 30 days: 7 the same, 1,500 otherwise, 3 not replayed",
        "3 not replayed: the app is not registered any more",
    ):
        assert said in text
    shown = CliRunner().invoke(app, ["policy", "replay", str(ROOT / "policies"), "--json"])
    [row] = json.loads(shown.output)
    assert (row["records"], row["changed"], row["same"]) == (1_510, 1_500, 7)
    assert row["not_replayed"] == {"the app is not registered any more": 3}


def test_the_list_of_exceptions_says_which_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(policy_files(ROOT / "policies") | {FILE: SNIPPET}).exceptions
    approved = {one.id: (0, one) for one in found}
    monkeypatch.setattr(policy_exceptions, "run", lambda *_: (found, approved))
    monkeypatch.setattr(policy_exceptions, "clock_ms", lambda: found[1].ends_ms)
    with out.capture() as captured:
        policy_exceptions.exceptions(None, as_json=False)
    text = captured.get()
    assert "FAIL  inzage-jeugdteam has ended on 2027-03-31" in text
    assert "archief-verhuizing has ended" not in text
    shown = CliRunner().invoke(app, ["policy", "exceptions", "--json"])
    rows = {row["id"]: row for row in json.loads(shown.output)}
    assert (rows["archief-verhuizing"]["state"], rows["archief-verhuizing"]["days"]) == (
        "holds",
        61,
    )
    assert rows["inzage-jeugdteam"]["days"] == 0
