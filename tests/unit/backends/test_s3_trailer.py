"""A body with a trailing checksum is exactly as long as it was promised, and says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.backends.s3_trailer import (
    ALGORITHM,
    WHOLE_BYTES_MIN,
    TrailedUpload,
    framed,
    may_trail,
    wire_length,
)
from hyok.http1.client import Response
from hyok.s3.checksums import compute, encode

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recorder:
    def __init__(self) -> None:
        self.sent = b""

    def write(self, view: memoryview) -> None:
        self.sent += view

    def finish(self) -> Response:
        return Response(200, {}, b"")

    def abort(self) -> None: ...


def sent(pieces: Sequence[bytes], chunk: int) -> bytes:
    recorder = Recorder()
    upload = TrailedUpload(recorder, sum(map(len, pieces)), chunk)
    for piece in pieces:
        upload.write(memoryview(piece))
    upload.finish()
    return recorder.sent


def decoded(raw: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, raw = raw.split(b"\r\n", 1)
        size = int(line, 16)
        if not size:
            return body, raw
        body += raw[:size]
        assert raw[size : size + 2] == b"\r\n"
        raw = raw[size + 2 :]


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 40))
def test_any_pieces_arrive_whole_in_the_length_that_was_promised(
    pieces: list[bytes], chunk: int
) -> None:
    whole = b"".join(pieces)
    raw = sent(pieces, chunk)
    assert len(raw) == wire_length(len(whole), chunk)
    body, trailer = decoded(raw)
    assert body == whole
    line = f"{ALGORITHM.header}:{encode(compute(ALGORITHM, whole))}"
    assert trailer == line.encode() + b"\r\n\r\n"


def test_a_probe_is_what_would_be_streamed_and_can_be_wrong_on_purpose() -> None:
    assert b"".join(framed(b"abc")) == sent([b"abc"], 1 << 20)
    right, wrong = (b"".join(framed(b"abc", damage=damage)) for damage in (False, True))
    assert decoded(wrong)[1] != decoded(right)[1]


@given(st.binary(max_size=100), st.integers(1, 40))
def test_a_body_held_whole_is_framed_as_a_streamed_one(body: bytes, chunk: int) -> None:
    raw = b"".join(framed(bytearray(body), chunk_bytes=chunk))
    assert raw == sent([body], chunk)
    assert len(raw) == wire_length(len(body), chunk)


def test_what_cannot_have_a_trailer_or_gains_nothing_goes_without() -> None:
    assert may_trail({"content-type": "text/x"}, WHOLE_BYTES_MIN)
    assert not may_trail({}, WHOLE_BYTES_MIN - 1)
    assert not may_trail({"content-encoding": "gzip"})
    assert not may_trail({"content-md5": "x"})


def test_more_or_less_than_was_promised_is_our_bug() -> None:
    upload = TrailedUpload(Recorder(), 3)
    upload.write(memoryview(b"ab"))
    with pytest.raises(AssertionError):
        upload.finish()
    with pytest.raises(AssertionError):
        upload.write(memoryview(b"cd"))
