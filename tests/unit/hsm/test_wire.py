"""Frames: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.errors import Malformed
from hyok.hsm.wire import (
    ANSWER_BYTES_MAX,
    LENGTH,
    QUESTION_BYTES_MAX,
    Answer,
    Outcome,
    Question,
    Verb,
    body_bytes,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)

fields = st.lists(st.binary(max_size=300), max_size=6).map(tuple)
numbers = st.integers(0, 2**32 - 1)
questions = st.builds(Question, numbers, st.sampled_from(Verb), fields)
answers = st.builds(Answer, numbers, st.sampled_from(Outcome), st.integers(0, 2**64 - 1), fields)


@given(questions)
def test_a_question_survives_the_wire(question: Question) -> None:
    frame = encode_question(question)
    assert body_bytes(frame[:4], QUESTION_BYTES_MAX) == len(frame) - 4
    assert decode_question(frame[4:]) == question


@given(answers)
def test_an_answer_survives_the_wire(answer: Answer) -> None:
    frame = encode_answer(answer)
    assert decode_answer(frame[4:]) == answer


@given(questions, st.data())
def test_a_cut_question_is_another_or_none(question: Question, data: st.DataObject) -> None:
    body = encode_question(question)[4:]
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    with contextlib.suppress(Malformed):
        assert decode_question(cut) != question


@given(st.binary(max_size=64))
def test_any_bytes_are_a_frame_or_malformed(body: bytes) -> None:
    for decode, encode in ((decode_question, encode_question), (decode_answer, encode_answer)):
        with contextlib.suppress(Malformed):
            assert encode(decode(body))[4:] == body


@pytest.mark.parametrize("length", [0, QUESTION_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_outside_its_bounds_is_refused_before_anything_is_read(length: int) -> None:
    with pytest.raises(Malformed):
        body_bytes(LENGTH.pack(length), QUESTION_BYTES_MAX)


def test_an_answer_has_room_for_a_thousand_keys() -> None:
    found = tuple(part for _ in range(1000) for part in (b"k" * 64, b"c" * 8))
    assert len(encode_answer(Answer(1, Outcome.DONE, 1, found))) < ANSWER_BYTES_MAX


@pytest.mark.parametrize("body", [b"", b"\0\0\0\1", b"\0\0\0\1\xff", b"\0\0\0\1\x01\x00"])
def test_a_malformed_question(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode_question(body)
