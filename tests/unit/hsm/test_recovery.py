"""After each error the step that format.md §13.5 states, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.hsm.recovery import NAMES, Step, is_bad_bytes, name_of, step_after, step_after_open

NUMBERS = {name: number for number, name in NAMES.items()}
STATED = {
    Step.NEW_SESSION: [
        "SESSION_HANDLE_INVALID",
        "SESSION_CLOSED",
        "OBJECT_HANDLE_INVALID",
        "KEY_HANDLE_INVALID",
        "USER_NOT_LOGGED_IN",
    ],
    Step.REPLACE: [
        "DEVICE_ERROR",
        "DEVICE_REMOVED",
        "TOKEN_NOT_PRESENT",
        "GENERAL_ERROR",
        "FUNCTION_FAILED",
        "CRYPTOKI_NOT_INITIALIZED",
    ],
    Step.FEWER_SESSIONS: ["HOST_MEMORY", "SESSION_COUNT"],
    Step.OPERATOR: ["PIN_INCORRECT", "PIN_LOCKED", "PIN_EXPIRED", "PIN_INVALID"],
}


@pytest.mark.parametrize(
    ("name", "step"), [(name, step) for step, names in STATED.items() for name in names]
)
def test_the_table_of_the_format(name: str, step: Step) -> None:
    assert step_after(NUMBERS[name]) is step


@given(st.integers(0, 0xFFFFFFFF))
def test_no_error_of_an_opening_replaces_a_worker(rv: int) -> None:
    assert step_after_open(rv) is not Step.REPLACE


@given(st.integers(0x80000000, 0xFFFFFFFF))
def test_a_vendors_own_code_is_the_devices_fault_and_has_its_number_for_a_name(rv: int) -> None:
    assert step_after(rv) is Step.REPLACE
    assert name_of(rv) == f"0x{rv:08X}"


@pytest.mark.parametrize("name", ["GENERAL_ERROR", "FUNCTION_FAILED", "DEVICE_ERROR"])
def test_a_code_that_could_mean_the_device_is_not_held_against_the_bytes_alone(name: str) -> None:
    assert step_after_open(NUMBERS[name]) is Step.DATA
    assert not is_bad_bytes(name)


@pytest.mark.parametrize("name", ["ENCRYPTED_DATA_INVALID", "AEAD_DECRYPT_FAILED"])
def test_a_code_that_means_the_bytes_says_so(name: str) -> None:
    assert step_after_open(NUMBERS[name]) is Step.DATA
    assert is_bad_bytes(name)


@pytest.mark.parametrize("name", STATED[Step.NEW_SESSION] + STATED[Step.OPERATOR])
def test_what_concerns_the_session_stays_so_while_opening(name: str) -> None:
    assert step_after_open(NUMBERS[name]) is step_after(NUMBERS[name])
