"""The record of a token follows its calls."""

from __future__ import annotations

from hyok.hsm.record import SAMPLES_MAX, TokenRecord


def test_a_failure_makes_it_unhealthy_until_it_is_mended() -> None:
    record = TokenRecord(10.0)
    record.fail(record.begin(11.0), 12.0, "gone")
    assert (record.healthy, record.since, record.last_error) == (False, 12.0, "gone")
    record.fail(record.begin(12.5), 13.0, "still gone")
    assert record.since == 12.0
    record.mend(20.0)
    assert (record.healthy, record.since) == (True, 20.0)
    assert (record.calls, record.failures) == (2, 2)


def test_a_call_that_its_caller_left_shows_nothing() -> None:
    record = TokenRecord(0.0)
    record.leave(record.begin(0.0))
    assert record.healthy
    assert not record.is_slow(100.0)


def test_a_call_under_way_for_long_makes_it_slow() -> None:
    record = TokenRecord(0.0)
    number = record.begin(5.0)
    assert not record.is_slow(5.9)
    assert record.is_slow(6.1)
    record.succeed(number, 6.2)
    assert not record.is_slow(7.0)


def test_latencies_are_of_the_last_calls() -> None:
    record = TokenRecord(0.0)
    assert record.latency_ms(0.5) == 0
    for _ in range(10):
        record.succeed(record.begin(0.0), 9.0)
    for step in range(SAMPLES_MAX):
        record.succeed(record.begin(0.0), step / 1000)
    assert round(record.latency_ms(0.5)) == SAMPLES_MAX // 2
    assert record.latency_ms(1.0) < SAMPLES_MAX
