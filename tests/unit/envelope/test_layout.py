"""Lengths and offsets, in both directions, against the vectors and against counting by hand."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.vectors import SUITES, load
from tests.unit.envelope.whole import EXAMPLES

from hyok.envelope.layout import (
    HYOK1,
    HYOK1_TEST,
    LAYOUT,
    PARTS_MAX,
    PLAIN_BYTES_MAX,
    Layout,
    Suite,
)
from hyok.errors import Malformed

SMALL = Layout(HYOK1_TEST)
BOTH = pytest.mark.parametrize("suite", [HYOK1, HYOK1_TEST], ids=["HYOK1", "HYOK1-TEST"])


def by_the_letter(suite: Suite, plain: int) -> int:
    """The formula of the specification, as it stands there."""
    q = suite.segment_bytes - 16
    n_max = min(10_000, plain // suite.min_part_bytes + 1)
    return plain + 16 * ((plain + 40 * n_max) // q + n_max) + (40 + 32) * n_max + 168


@pytest.mark.parametrize("vector", load("sizes.json"), ids=str)
def test_the_lengths_of_the_vectors(vector: dict[str, Any]) -> None:
    layout, plain = Layout(SUITES[vector["suite"]]), vector["plaintext_length"]
    assert layout.segment_count(plain) == vector["segments_as_one_part"]
    assert layout.part_sealed_size(plain) == vector["part_ciphertext_length"]
    assert layout.parts_max(plain) == vector["n_max"]
    assert layout.object_sealed_size(plain) == vector["object_ciphertext_length"]
    assert layout.object_plain_size(vector["object_ciphertext_length"]) == plain
    assert layout.part_plain_size(vector["part_ciphertext_length"]) == plain


@pytest.mark.parametrize("vector", load("sizes_invalid.json"), ids=str)
def test_the_lengths_that_no_object_has(vector: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Layout(SUITES[vector["suite"]]).object_plain_size(vector["object_ciphertext_length"])


def plain_or_none(layout: Layout, sealed: int) -> int | None:
    try:
        return layout.object_plain_size(sealed)
    except Malformed:
        return None


def test_every_stored_length_of_a_small_suite_has_the_one_answer() -> None:
    answers = {by_the_letter(HYOK1_TEST, plain): plain for plain in range(12_000)}
    assert len(answers) == 12_000
    for sealed in range(-20, max(answers)):
        assert plain_or_none(SMALL, sealed) == answers.get(sealed), sealed


@BOTH
@pytest.mark.parametrize("parts", [1, 2, 3, 52, 4_999, 9_998, 9_999, 10_000, 10_001, 50_000])
def test_the_borders_where_one_more_part_is_possible(suite: Suite, parts: int) -> None:
    layout, border = Layout(suite), parts * suite.min_part_bytes
    answers = {by_the_letter(suite, plain): plain for plain in range(border - 300, border + 300)}
    for sealed in range(min(answers), max(answers) + 1):
        assert plain_or_none(layout, sealed) == answers.get(sealed), sealed


@BOTH
@pytest.mark.parametrize("parts", [1, 2, 9_999, 10_000, 12_000])
def test_the_borders_of_segments(suite: Suite, parts: int) -> None:
    layout, q = Layout(suite), suite.segment_plain_bytes
    start = (parts * suite.min_part_bytes // q + 3) * q
    for plain in range(start - 40 * min(parts, 10_000) - 20, start + 20, 7):
        assert layout.object_plain_size(by_the_letter(suite, plain)) == plain


@BOTH
@EXAMPLES
@given(plain=st.integers(0, PLAIN_BYTES_MAX))
def test_the_two_directions_are_inverse(suite: Suite, plain: int) -> None:
    layout = Layout(suite)
    sealed = layout.object_sealed_size(plain)
    assert sealed == by_the_letter(suite, plain)
    assert layout.object_plain_size(sealed) == plain


@BOTH
@EXAMPLES
@given(sealed=st.integers(0, 1 << 63))
def test_a_length_is_either_refused_or_right(suite: Suite, sealed: int) -> None:
    layout = Layout(suite)
    plain = plain_or_none(layout, sealed)
    assert plain is None or layout.object_sealed_size(plain) == sealed


@pytest.mark.parametrize("plain", [-1, PLAIN_BYTES_MAX + 1])
def test_no_object_is_longer_than_the_format_defines(plain: int) -> None:
    with pytest.raises(Malformed, match="bytes long"):
        LAYOUT.object_sealed_size(plain)
    with pytest.raises(Malformed):
        LAYOUT.object_plain_size(by_the_letter(HYOK1, plain))
    with pytest.raises(Malformed):
        LAYOUT.object_plain_size(1 << 80)


def test_a_listing_of_a_thousand_keys_takes_under_five_milliseconds() -> None:
    sealed = [LAYOUT.object_sealed_size(i**4 * 7_919 % (1 << 40)) for i in range(1_000)]
    best = 1.0
    for _ in range(20):  # the best of many: the machine may be busy with something else
        start = time.perf_counter()
        for size in sealed:
            LAYOUT.object_plain_size(size)
        best = min(best, time.perf_counter() - start)
    assert best < 0.005


def test_every_length_of_a_part_has_the_one_answer() -> None:
    answers = {40 + p + 16 * max(1, -(-(p + 40) // 240)): p for p in range(3_000)}
    for sealed in range(-5, max(answers)):
        if sealed in answers:
            assert SMALL.part_plain_size(sealed) == answers[sealed]
        else:
            with pytest.raises(Malformed):
                SMALL.part_plain_size(sealed)


def test_the_largest_lengths_of_one_request_of_five_gibibytes() -> None:
    limit = 5 << 30
    assert LAYOUT.part_sealed_size(5_368_381_400) == limit
    assert LAYOUT.object_sealed_size(5_368_291_176) <= limit
    assert LAYOUT.object_sealed_size(5_368_291_177) > limit


@st.composite
def cut_objects(draw: st.DrawFn) -> list[int]:
    least = HYOK1_TEST.min_part_bytes
    sizes = draw(st.lists(st.integers(least, 4 * least), max_size=12))
    return [*sizes, draw(st.integers(0, 3 * least))]


@EXAMPLES
@given(sizes=cut_objects())
def test_the_trailer_always_fits_however_the_object_was_cut(sizes: list[int]) -> None:
    plain = sum(sizes)
    size = SMALL.trailer_size(plain, sizes)
    least, most = SMALL.trailer_bounds(plain, len(sizes))
    assert least <= size <= most
    assert size + sum(map(SMALL.part_sealed_size, sizes)) == SMALL.object_sealed_size(plain)


@BOTH
@pytest.mark.parametrize("count", [1, 2, 3, 100, 9_999, PARTS_MAX])
def test_the_trailer_fits_at_the_extremes(suite: Suite, count: int) -> None:
    layout = Layout(suite)
    for last in (0, 1, suite.segment_plain_bytes - 40, suite.min_part_bytes - 1):
        for sizes in ([suite.min_part_bytes] * (count - 1) + [last], [count * 9_999_991 + last]):
            plain = sum(sizes)
            least, most = layout.trailer_bounds(plain, len(sizes))
            assert least <= layout.trailer_size(plain, sizes) <= most <= 910_168


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.integers(0, 2_000))
    start = draw(st.integers(0, size))
    return size, start, draw(st.integers(start, size))


@EXAMPLES
@given(wanted=ranges())
def test_a_plan_reads_the_segments_that_hold_the_range_and_no_more(
    wanted: tuple[int, int, int],
) -> None:
    size, start, stop = wanted
    plan = SMALL.plan_part(size, start, stop)
    holds = [
        (max(0, i * 240 - 40), min(size, (i + 1) * 240 - 40))
        for i in range(SMALL.segment_count(size))
    ]
    needed = [i for i, (first, end) in enumerate(holds) if first < stop and end > start]
    if start < stop:
        assert (plan.first_segment, plan.last_segment) == (needed[0], needed[-1])
    else:
        assert plan.first_segment == plan.last_segment
    assert holds[plan.first_segment][0] + plan.skip == start
    assert plan.take == stop - start
    assert plan.sealed_start == max(40, plan.first_segment * 256)
    assert plan.sealed_stop == min((plan.last_segment + 1) * 256, SMALL.part_sealed_size(size))
    first_sealed, last_sealed = plan.sealed_start, plan.sealed_stop
    plain_read = holds[plan.last_segment][1] - holds[plan.first_segment][0]
    segments = plan.last_segment - plan.first_segment + 1
    assert last_sealed - first_sealed == plain_read + 16 * segments


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (2, 1), (0, 11)])
def test_a_range_outside_the_part_is_our_bug(start: int, stop: int) -> None:
    with pytest.raises(AssertionError):
        SMALL.plan_part(10, start, stop)
