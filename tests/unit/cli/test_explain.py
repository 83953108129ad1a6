"""`hyok explain` on logs of its own: found with and without the gateway's log, at any time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from hyok.cli.explain import span_of
from hyok.cli.main import app
from hyok.errors import Malformed, NotFound
from hyok.telemetry.lines import Span

if TYPE_CHECKING:
    from pathlib import Path

WANTED = "0123456789ABCDEF"
NOON_MS = 1_764_331_200_000  # 2025-11-28 12:00:00 UTC
HOUR_MS = 3_600_000


@pytest.fixture
def config(tmp_path: Path) -> Path:
    audit, log = tmp_path / "audit.jsonl", tmp_path / "gateway.jsonl"
    record = {"action": "object:put", "actor": "zaaksysteem", "request_id": WANTED, "seq": 1}
    records = [
        {**record, "at_ms": NOON_MS - 3 * HOUR_MS, "phase": "intend", "outcome": "pending"},
        *({"action": "noise", "at_ms": NOON_MS - n, "seq": 2} for n in range(3, 0, -1)),
        {**record, "at_ms": NOON_MS, "phase": "conclude", "outcome": "done", "reasons": ["r1"]},
    ]
    audit.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in records))
    line = {"event": "s3.request", "request_id": WANTED, "status": 200}
    ended = "2025-11-28T12:00:00.000000Z"
    log.write_text(json.dumps({**line, "duration_ms": 3.0 * HOUR_MS, "timestamp": ended}) + "\n")
    file = tmp_path / "hyok.toml"
    file.write_text(
        "[installation]\nmode = 'development'\n[hsm]\nkind = 'software'\nsoftware_file = '/x'\n"
        f"[[stores]]\nkind = 'files'\nname = 'a'\npath = '{tmp_path}'\n"
        f"[audit]\nfile = '{audit}'\n[log]\nfile = '{log}'\n"
    )
    return file


def explain(config: Path, *more: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(
        app, ["explain", WANTED, "--json", "--config", str(config), *more], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_a_long_upload_is_found_whole_by_its_line_in_the_gateways_log(config: Path) -> None:
    # Its first record is three hours older than its last: more than a search alone goes back.
    assert [line.get("phase") for line in explain(config)] == ["intend", "conclude", None]


def test_without_the_gateways_log_the_audit_log_is_enough(config: Path) -> None:
    (config.parent / "gateway.jsonl").unlink()
    assert explain(config)[-1]["outcome"] == "done"


def test_a_time_named_is_looked_at_and_no_other(config: Path) -> None:
    assert explain(config, "--at", "2025-11-28 12:30")
    with pytest.raises(NotFound, match="in that time"):
        explain(config, "--at", "2025-11-27")


def test_people_see_the_rule_that_decided_and_the_answer(config: Path) -> None:
    done = CliRunner().invoke(app, ["explain", WANTED.lower(), "--config", str(config)])
    assert "reasons: r1" in done.stdout
    assert "answered 200 in" in done.stdout


@pytest.mark.parametrize("wrong", ["", "x", "0123", WANTED + "0", '"', "s3://a/b", "0" * 15 + "\n"])
def test_what_is_no_request_id_is_refused_before_any_log_is_read(wrong: str) -> None:
    done = CliRunner().invoke(app, ["explain", wrong, "--config", "/nowhere"])
    assert isinstance(done.exception, Malformed)
    assert "no request id" in str(done.exception)


def test_options_of_time_mean_what_they_say() -> None:
    assert span_of("2025-11-28 12:00", "", 0).since_ms == NOON_MS - HOUR_MS
    assert span_of("2025-11-28T12:00:00Z", "", 0).until_ms == NOON_MS + HOUR_MS
    assert span_of("", "30d", NOON_MS).since_ms == NOON_MS - 30 * 24 * HOUR_MS
    assert span_of("", "", 0) == Span(near_ms=HOUR_MS)


@pytest.mark.parametrize(
    ("at", "since"), [("yesterday", ""), ("", "long"), ("2025-11-28", "1d"), ("2026-13-01", "")]
)
def test_options_of_time_that_mean_nothing_are_refused(at: str, since: str) -> None:
    with pytest.raises(Malformed):
        span_of(at, since, 0)
