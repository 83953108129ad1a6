"""A call that does not return ends the process, whoever holds the interpreter lock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from hyok.hsm.watch import EXIT_HUNG, CallWatch

PROGRAM = """
import ctypes, time
from hyok.hsm.watch import CallWatch
watch = CallWatch(0.3)
watch.start()
with watch():
    {hang}
"""


@pytest.mark.parametrize(
    ("hang", "code"),
    [
        # ctypes.PyDLL keeps the interpreter lock during the call, as a bad library could.
        ("ctypes.PyDLL(None).sleep(30)", 1),
        ("ctypes.CDLL(None).sleep(30)", EXIT_HUNG),
        ("time.sleep(30)", EXIT_HUNG),
    ],
)
def test_a_hanging_call_ends_the_process(hang: str, code: int) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(hang=hang)],
        check=False,
        capture_output=True,
        timeout=20,
    )
    assert ended.returncode == code
    assert time.monotonic() - began < 5


def test_calls_that_return_in_time_are_left_alone() -> None:
    late = threading.Event()
    watch = CallWatch(0.2, late.set)
    watch.start(timer=False)
    for _ in range(20):
        with watch():
            time.sleep(0.02)
    assert not late.is_set()


def test_a_call_may_be_given_more_time_and_an_inner_one_keeps_it() -> None:
    late = threading.Event()
    watch = CallWatch(0.1, late.set)
    watch.start(timer=False)
    with watch(10):
        with watch():
            pass
        time.sleep(0.3)
    assert not late.is_set()


def test_one_late_call_among_good_ones_is_seen() -> None:
    late = threading.Event()
    watch = CallWatch(0.1, late.set)
    watch.start(timer=False)

    def hang() -> None:
        with watch():
            late.wait(5)

    threading.Thread(target=hang, daemon=True).start()
    for _ in range(20):
        with watch():
            time.sleep(0.01)
    assert late.wait(1)
