"""What the benchmark's doors tell goes together: settings, keys, rows."""

import tomllib
from pathlib import Path

import pytest
from benchmarks.bench_doors import measure, without_tls
from benchmarks.doors import DOORS
from benchmarks.doors.door import Door, Row, Stage, told_by

from hyok.doors.config import DoorSettings
from hyok.doors.ekm.config import EkmSettings

CONNECTIONS = [1, 8, 32]


@pytest.fixture
def settings(tmp_path: Path) -> str:
    return "".join(door.settings(tmp_path, 9000 + n) for n, door in enumerate(DOORS.values()))


def of(settings: str) -> DoorSettings:
    return DoorSettings.model_validate(tomllib.loads(settings)["doors"])


def test_every_door_has_a_module_here_and_all_are_served_together(settings: str) -> None:
    told = of(settings)
    assert set(DOORS) == set(told.each)
    assert all(one.enabled for one in told.each.values())
    assert all(name == door.name for name, door in DOORS.items())


def test_doors_in_clear_leave_the_others_their_certificates(settings: str) -> None:
    clear = {name for name, door in DOORS.items() if door.in_clear}
    told = of(without_tls(settings, clear))
    served = {name: getattr(one, "tls_certificate", None) for name, one in told.each.items()}
    assert {name for name, certificate in served.items() if certificate is None} == (
        clear | {"kubernetes"}
    )
    assert isinstance(told.ekm, EkmSettings)
    with pytest.raises(ValueError, match="mutual TLS alone"):
        of(without_tls(settings, {"ekm"}))


def test_no_two_doors_make_the_same_key_or_app(tmp_path: Path) -> None:
    keys = [command[3] for door in DOORS.values() for command in door.key_commands()]
    made = [command for door in DOORS.values() for command in door.commands(tmp_path)]
    apps = [command[2] for command in made if command[:2] == ["apps", "create"]]
    assert len(set(keys)) == len(keys)
    assert len(set(apps)) == len(apps)


def test_rows_have_names_of_their_own() -> None:
    rows = [
        row
        for door in DOORS.values()
        for t in (True, False)
        for row in door.rows(CONNECTIONS, tls=t)
    ]
    assert len({row.name for row in rows}) == len(rows)
    for name, door in DOORS.items():
        assert all(row.door == name for row in door.rows([8], tls=True))
        assert {row.connections for row in door.rows([8], tls=True)} == {8}
        assert bool(door.rows([8], tls=False)) == door.in_clear


class OneRow(Door):
    """A door whose load is told beforehand."""

    name = "one"

    def load(self, stage: Stage, row: Row, seconds: float) -> dict[str, object]:
        del stage, row
        return {"operations": 50, "seconds": seconds, "p50_us": 1.0, "p99_us": 2.0}


def test_a_row_has_its_share_of_what_it_has_the_hsm_do_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def raw(_: object, what: str, __: int, seconds: float) -> dict[str, object]:
        asked.append(what)
        rate = {"seal": 100, "open": 200}[what]
        told = {"operations": rate, "seconds": seconds, "p50_us": 1.0, "p99_us": 2.0}
        return told | {"cpu_ms": {}}

    def loaded(stage: Stage, door: Door, row: Row, seconds: float) -> dict[str, object]:
        return door.load(stage, row, seconds) | {"cpu_ms": {}}

    monkeypatch.setattr("benchmarks.bench_doors.raw", raw)
    monkeypatch.setattr("benchmarks.bench_doors.loaded", loaded)
    rows = [Row("one", name, what, 8) for name, what in (("a", "seal"), ("b", "open"), ("c", ""))]
    found = measure(None, OneRow(), rows, 1, 1.0)  # type: ignore[arg-type]
    assert sorted(asked) == ["open", "seal"]
    shares = [found[row.name].get("of_raw_hsm") for row in rows]
    assert shares == [0.5, 0.25, None]


def test_what_is_too_late_is_counted_and_any_other_error_ends_it() -> None:
    row = Row("one", "a", "seal", 8)
    printed = '{"operations": 9, "errors": 2, "first_error": "status 408 for 200"}'
    assert told_by(["echo", printed], row, 408)["errors"] == 2
    with pytest.raises(RuntimeError, match="status 408"):
        told_by(["echo", printed], row, 503)
