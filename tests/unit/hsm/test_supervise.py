"""How long the supervisor waits before it starts an agent again."""

from __future__ import annotations

import signal

import pytest

from hyok.hsm.supervise import PAUSE_SECONDS_MAX, READY_PAUSE_SECONDS_MAX, next_pause
from hyok.hsm.watch import EXIT_ANOTHER_RUNS, EXIT_DEVICE_LOST, EXIT_HUNG, EXIT_UNFIT


def after(ends: int, exit_code: int, *, was_ready: bool, longest: float = 30.0) -> float:
    pause = 0.0
    for _ in range(ends):
        pause = next_pause(pause, 0.3, exit_code, was_ready=was_ready, longest=longest)
    return pause


@pytest.mark.parametrize("exit_code", [-signal.SIGKILL, -signal.SIGSEGV, EXIT_HUNG, 0])
def test_an_agent_that_worked_until_it_was_lost_is_back_within_seconds(exit_code: int) -> None:
    assert after(1, exit_code, was_ready=True) == 0.1
    assert after(20, exit_code, was_ready=True) == READY_PAUSE_SECONDS_MAX


@pytest.mark.parametrize("exit_code", [EXIT_DEVICE_LOST, EXIT_UNFIT, EXIT_ANOTHER_RUNS])
def test_a_device_that_fails_again_and_again_is_asked_seldom(exit_code: int) -> None:
    assert after(20, exit_code, was_ready=True) == PAUSE_SECONDS_MAX


def test_an_agent_that_never_gets_ready_is_started_seldom() -> None:
    assert after(20, -signal.SIGSEGV, was_ready=False) == PAUSE_SECONDS_MAX


def test_an_agent_lost_after_failures_of_the_device_does_not_wait_for_them() -> None:
    assert next_pause(30.0, 0.3, -signal.SIGKILL, was_ready=True, longest=30.0) == 2.0


def test_a_steady_agent_starts_with_the_shortest_pause() -> None:
    assert next_pause(30.0, 11.0, EXIT_DEVICE_LOST, was_ready=True, longest=30.0) == 0.1


def test_the_longest_pause_holds_for_every_reason() -> None:
    assert after(20, -signal.SIGKILL, was_ready=True, longest=0.5) == 0.5
