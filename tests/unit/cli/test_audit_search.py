"""`hyok audit search` and `hyok audit export status` on logs of their own."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.audit.logs import add, line
from typer.testing import CliRunner

from hyok import settings as settings_file
from hyok.audit import follow
from hyok.audit.cursor import Cursor, CursorFile
from hyok.audit.follow import last_place
from hyok.audit.search import Wanted, search
from hyok.cli import audit_search
from hyok.cli.diagnosis.audit import audit_log
from hyok.cli.main import app
from hyok.errors import Malformed
from hyok.serving import tell_exports
from hyok.telemetry.lines import Span
from hyok.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = Span()
AT_MS = 1_795_860_000_000  # 2026-11-28 10:00 UTC; record n of the log is n milliseconds later


@pytest.fixture
def config(tmp_path: Path) -> Path:
    log = tmp_path / "audit.jsonl"
    rotated, packed = log.with_name("audit.jsonl.1"), log.with_name("audit.jsonl.2.gz")
    packed.write_bytes(gzip.compress(b"".join(line(n, actor="archief") for n in range(1, 6))))
    add(rotated, 6, 8, bucket_id="dossiers", classification="vertrouwelijk")
    add(rotated, 9, 9, action="key:wrap", outcome="denied", error="Refused:AccessDenied")
    add(log, 10, 12, object_id="ab" * 16, trace_id="cd" * 16)
    for age, path in enumerate((log, rotated, packed)):
        os.utime(path, (AT_MS / 1000 - age + 1, AT_MS / 1000 - age + 1))
    file = tmp_path / "hyok.toml"
    file.write_text(
        "[installation]\nmode = 'development'\n[hsm]\nkind = 'software'\nsoftware_file = '/x'\n"
        f"[[stores]]\nkind = 'files'\nname = 'a'\npath = '{tmp_path}'\n"
        f"[audit]\nfile = '{log}'\n[[audit.exports]]\nname = 'siem'\nformat = 'syslog'\n"
        "to = 'tls://siem.example'\n"
    )
    return file


def ask(config: Path, *options: str) -> str:
    command = ["audit", *options, "--config", str(config)]
    done = CliRunner(env={"COLUMNS": "60"}).invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def numbers(config: Path, *options: str) -> list[int]:
    found: list[dict[str, Any]] = json.loads(ask(config, "search", "--json", *options))
    return [record["seq"] for record in found]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], range(1, 13)),
        (["--limit", "5"], range(8, 13)),
        (["--actor", "archief"], range(1, 6)),
        (["--app", "archief", "--limit", "2"], [4, 5]),
        (["--actor", "arch*"], range(1, 6)),
        (["--bucket", "dossiers"], [6, 7, 8]),
        (["--classification", "vertrouwelijk", "--limit", "1"], [8]),
        (["--action", "key:*"], [9]),
        (["--action", "object:get", "--bucket", "dossiers"], [6, 7, 8]),
        (["--outcome", "denied"], [9]),
        (["--object", "AB" * 16], [10, 11, 12]),
        (["--trace", "cd" * 16], [10, 11, 12]),
        (["--request", "000000000000000b"], [11]),
        (["--since", "2026-11-28 10:00", "--actor", "archief"], range(1, 6)),
        (["--until", "2026-11-28 09:59:59"], []),
        (["--actor", "zaak[s]ysteem*"], []),  # a bracket is a bracket
        (["--bucket", "doss"], []),
    ],
)
def test_records_are_found_by_what_stands_in_them(
    config: Path, options: list[str], found: list[int]
) -> None:
    assert numbers(config, *options) == list(found)


def test_people_see_a_table_and_that_there_is_more(config: Path) -> None:
    shown = ask(config, "search", "--limit", "4")
    assert "denied Refused:AccessDenied" in shown
    assert "2026-11-28 10:00:00" in shown
    assert "newest 4" in shown
    assert "No record" in ask(config, "search", "--bucket", "nowhere")


def test_a_time_that_is_none_is_refused(config: Path) -> None:
    command = ["audit", "search", "--since", "yesterday", "--config", str(config)]
    assert isinstance(CliRunner().invoke(app, command).exception, Malformed)


def test_following_shows_what_comes_and_nothing_twice(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = config.with_name("audit.jsonl")
    waits = 0

    def sleep(_: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise KeyboardInterrupt
        add(log, 10 + 3 * waits, 12 + 3 * waits, actor="archief" if waits == 2 else "other")

    monkeypatch.setattr(follow, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(audit_search.time, "sleep", sleep)
    shown = ask(config, "search", "--follow", "--json", "--actor", "archief", "--limit", "2")
    assert [json.loads(each)["seq"] for each in shown.splitlines()] == [4, 5, 16, 17, 18]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.sampled_from(["a", "b", 'c"', "dé", "e*"]), min_size=1, max_size=30),
    st.sampled_from(["", "a", 'c"', "dé", "e*", "?"]),
    st.integers(1, 12),
)
def test_the_newest_records_that_fit_are_found_whatever_the_names(
    tmp_path: Path, actors: list[str], wanted: str, limit: int
) -> None:
    log = tmp_path / "made.jsonl"
    log.write_bytes(b"".join(line(n, actor=actor) for n, actor in enumerate(actors, 1)))
    found = [record["seq"] for record in search(log, Wanted(actor=wanted), EVERYTHING, limit)]
    fits = {"e*": lambda name: name.startswith("e"), "?": lambda name: len(name) == 1}
    true = fits.get(wanted, lambda name: wanted in {"", name})
    assert found == [n for n, actor in enumerate(actors, 1) if true(actor)][-limit:]


def test_the_status_of_an_export_is_shown(config: Path) -> None:
    log = config.with_name("audit.jsonl")
    rows = json.loads(ask(config, "export", "status", "--json"))
    assert [(row["state"], row["sent"], row["waiting"]) for row in rows] == [("ok", 0, 12)]
    cursor = CursorFile(log, "siem")
    cursor.save(Cursor(last_place(log), last_place(log)))
    cursor.tell(failing_since_ms=AT_MS, error="siem.example:6514: Connection refused")
    cursor.close()
    shown = ask(config, "export", "status")
    for word in ("tls://siem.example", "failing", "Connection refused", "never"):
        assert word in shown


def test_the_doctor_tells_receivers_that_are_behind_failing_or_stopped(config: Path) -> None:
    log, found = config.with_name("audit.jsonl"), settings_file.load(config)
    cursor = CursorFile(log, "siem")

    def check(now_ms: int = AT_MS + 60_000) -> tuple[str, str]:
        told = audit_log(found, now_ms)[-1]
        assert told.name == "audit export siem"
        return told.word, told.said

    cursor.save(Cursor(last_place(log), last_place(log)))
    assert check() == ("ok", "12 records sent, 0 are waiting")
    add(log, 13, 14)
    assert check()[0] == "ok"
    assert check(AT_MS + 3_600_000) == ("warn", "12 records sent, 2 are waiting")
    cursor.tell(failing_since_ms=AT_MS, error="siem.example:6514: Connection refused")
    assert check()[0] == "warn"
    assert check(AT_MS + 7_200_000)[0] == "FAIL"
    cursor.tell(stopped=True, error="HY-5110 the audit log does not go on")
    assert check() == ("FAIL", "HY-5110 the audit log does not go on")
    next(log.parent.glob("*.exports/siem.cursor.json")).write_text("?")
    assert "no cursor" in check()[1]
    cursor.close()


def test_metrics_tell_how_far_each_receiver_is(config: Path) -> None:
    log, metrics = config.with_name("audit.jsonl"), Metrics()
    cursor = CursorFile(log, "siem")
    cursor.tell(failing_since_ms=1, error="away")
    tell_exports(settings_file.load(config).audit, metrics)
    text = metrics.render().decode()
    assert 'hyok_audit_export_lag_records{export="siem"} 12.0' in text
    failing = text.partition('hyok_audit_export_failing_seconds{export="siem"} ')[2]
    assert float(failing.partition("\n")[0]) > 0
    cursor.close()
