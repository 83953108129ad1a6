"""When a KEK is held back, and for how long."""

from __future__ import annotations

from hyok.hsm.hung_keys import HungKeys

KEY, OTHER = "t1/a/1", "t1/b/1"


def test_one_hang_holds_nothing_back() -> None:
    hung = HungKeys()
    hung.note(KEY, 10.0)
    assert not hung.is_held(KEY, 10.0)


def test_calls_that_end_with_one_agent_are_one_hang() -> None:
    hung = HungKeys()
    for moment in (10.0, 10.1, 10.2):
        hung.note(KEY, moment)
    assert not hung.is_held(KEY, 10.2)


def test_after_the_second_hang_one_caller_tries_now_and_then() -> None:
    hung = HungKeys()
    hung.note(KEY, 10.0)
    hung.note(KEY, 15.0)
    assert hung.is_held(KEY, 15.1)
    assert not hung.is_held(OTHER, 15.1)
    assert not hung.is_held(KEY, 17.1), "one may try"
    assert hung.is_held(KEY, 17.1), "a second one waits for what the first one finds"


def test_the_time_doubles_up_to_half_a_minute() -> None:
    hung = HungKeys()
    now, held = 0.0, []
    for _ in range(8):
        hung.note(KEY, now)
        held.append(next(step for step in range(100) if not hung.is_held(KEY, now + step)))
        now += 100.0
    assert held == [0, 2, 4, 8, 16, 30, 30, 30]


def test_an_answer_frees_it_at_once() -> None:
    hung = HungKeys()
    hung.note(KEY, 10.0)
    hung.note(KEY, 15.0)
    hung.forget(KEY)
    assert not hung.is_held(KEY, 15.1)
