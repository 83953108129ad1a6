"""A refused PIN stays refused through restarts, until somebody clears it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hyok.hsm.gate import PinGate, gate_path

if TYPE_CHECKING:
    from pathlib import Path


def test_a_gate_is_open_until_a_pin_is_refused(tmp_path: Path) -> None:
    gate = PinGate(gate_path(str(tmp_path / "a.sock")))
    assert not gate.is_shut()
    gate.shut("PIN_INCORRECT")
    assert gate.is_shut()
    assert gate.cause == "PIN_INCORRECT"


def test_another_process_finds_it_shut(tmp_path: Path) -> None:
    path = gate_path(str(tmp_path / "a.sock"))
    PinGate(path).shut("PIN_LOCKED")
    assert PinGate(path).cause == "PIN_LOCKED"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_operator_opens_it(tmp_path: Path) -> None:
    path = gate_path(str(tmp_path / "a.sock"))
    gate = PinGate(path)
    gate.shut("PIN_INCORRECT")
    gate.clear()
    assert not gate.is_shut()
    assert not PinGate(path).is_shut()


def test_a_gate_shuts_on_a_full_disk_once_it_was_prepared(tmp_path: Path) -> None:
    path = gate_path(str(tmp_path / "a.sock"))
    gate = PinGate(path)
    gate.prepare()
    gate._prepared.replace(path)  # all that is done before room is needed
    assert PinGate(path).is_shut()


def test_a_gate_that_cannot_be_prepared_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        PinGate(tmp_path / "absent" / "a.pin-refused").prepare()


def test_a_gate_that_cannot_be_written_is_shut_in_this_process_at_least(tmp_path: Path) -> None:
    gate = PinGate(tmp_path / "absent" / "a.pin-refused")
    gate.shut("PIN_INCORRECT")
    assert gate.cause == "PIN_INCORRECT"


def test_an_empty_mark_is_still_a_mark(tmp_path: Path) -> None:
    path = gate_path(str(tmp_path / "a.sock"))
    path.touch()
    assert PinGate(path).is_shut()
