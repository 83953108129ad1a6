"""Rows of a listing held by columns behave as the list of those rows would."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.s3.columns import Columns
from hyok.s3.elements import all_shown, escape, shown, timestamp, timestamps
from hyok.s3.names import etag_out, etags_out


class Row(NamedTuple):
    name: str
    size: int


class Rows(Columns[Row]):
    __slots__ = ()

    row = Row


rows = st.lists(st.builds(Row, st.text(max_size=3), st.integers(0, 9)), max_size=5)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.text("abcXYZ09/*._~-", max_size=6),
    st.text("%+ aé\x00\n&\U0001f4c1", max_size=6),
    st.sampled_from(["a" * 32, "AF09" * 8, "g" * 32, "é" * 32, "0" * 31, "a" * 64, ""]),
)


@given(rows, st.integers(0, 6), st.integers(0, 6))
def test_columns_are_their_rows(given_rows: list[Row], start: int, stop: int) -> None:
    held = Rows.of(given_rows)
    assert (list(held), len(held)) == (given_rows, len(given_rows))
    assert list(held[start:stop]) == given_rows[start:stop]
    assert [held[at] for at in range(len(held))] == given_rows
    assert all(isinstance(row, Row) for row in held)


@given(rows, st.data())
def test_rows_are_picked_in_the_order_that_is_asked_for(
    given_rows: list[Row], data: st.DataObject
) -> None:
    places = data.draw(st.permutations(range(len(given_rows))))
    places = places[: data.draw(st.integers(0, len(places)))]
    assert list(Rows.of(given_rows).picked(places)) == [given_rows[at] for at in places]


@given(st.lists(rows, max_size=4))
def test_what_is_joined_holds_every_row(parts: list[list[Row]]) -> None:
    joined = Rows.joined([Rows.of(part) for part in parts])
    assert list(joined) == [row for part in parts for row in part]


def test_columns_of_different_lengths_are_none() -> None:
    with pytest.raises(AssertionError):
        Rows(["a"], [])


@given(st.lists(texts, max_size=4), st.booleans())
def test_many_names_are_shown_as_each_would_be(names: list[str], encode_url: bool) -> None:
    assert list(all_shown(names, encode_url=encode_url)) == [
        escape(shown(name, encode_url=encode_url)) for name in names
    ]


@given(st.lists(texts, max_size=4))
def test_many_etags_are_told_as_each_would_be(etags: list[str]) -> None:
    assert list(etags_out(etags)) == [etag_out(etag) for etag in etags]


@given(st.lists(st.integers(0, 4_102_444_800_000), max_size=4))
def test_many_times_are_told_as_each_would_be(times: list[int]) -> None:
    assert list(timestamps([*times, *times])) == [timestamp(ms) for ms in [*times, *times]]
