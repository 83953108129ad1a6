"""What somebody who holds the store could try with whole objects, and what comes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.whole import (
    CONTEXT,
    EXAMPLES,
    REFUSALS,
    Whole,
    plaintext,
    read,
    seal,
)

from hyok.envelope.keys import object_context
from hyok.envelope.layout import HYOK1_TEST, Layout
from hyok.errors import Tampered

LAYOUT = Layout(HYOK1_TEST)
PARTS = [(1, plaintext(1_024, "a")), (3, plaintext(1_500, "b")), (4, plaintext(30, "c"))]
PLAIN = b"".join(plain for _, plain in PARTS)
SINGLE = seal(PLAIN)
MULTI = seal(PARTS, metadata=b'{"ct":"text/csv","um":{}}', checksum=(1, 0, b"crc!"))
BOTH = pytest.mark.parametrize("whole", [SINGLE, MULTI], ids=["single", "multipart"])


@BOTH
def test_what_went_in_comes_out(whole: Whole) -> None:
    assert read(whole) == PLAIN
    assert len(whole.body) == LAYOUT.object_sealed_size(len(PLAIN))


@st.composite
def uploads(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    sizes = [*draw(st.lists(st.integers(1_024, 2_600), max_size=4)), draw(st.integers(0, 1_500))]
    numbers = sorted(
        draw(st.sets(st.integers(1, 10_000), min_size=len(sizes), max_size=len(sizes)))
    )
    return [(n, plaintext(size, f"part {n}")) for n, size in zip(numbers, sizes, strict=True)]


@EXAMPLES
@given(parts=uploads(), data=st.data())
def test_any_parts_and_any_range(parts: list[tuple[int, bytes]], data: st.DataObject) -> None:
    plain = b"".join(piece for _, piece in parts)
    whole = seal(parts)
    assert len(whole.body) == LAYOUT.object_sealed_size(len(plain))
    assert read(whole) == plain
    start = data.draw(st.integers(0, len(plain)), "start")
    stop = data.draw(st.integers(start, len(plain)), "stop")
    assert read(whole, start, stop) == plain[start:stop]


@EXAMPLES
@given(size=st.integers(0, 3_000), data=st.data())
def test_a_single_upload_and_any_range(size: int, data: st.DataObject) -> None:
    whole = seal(plaintext(size))
    start = data.draw(st.integers(0, size), "start")
    stop = data.draw(st.integers(start, size), "stop")
    assert read(whole, start, stop) == plaintext(size)[start:stop]


@BOTH
def test_every_changed_byte_of_the_object_is_noticed_by_a_full_read(whole: Whole) -> None:
    for at in range(len(whole.body)):
        body = whole.body[:at] + bytes([whole.body[at] ^ 0x20]) + whole.body[at + 1 :]
        with pytest.raises(REFUSALS):
            read(Whole(whole.envelope, body))


@BOTH
def test_every_changed_byte_of_the_envelope_is_noticed(whole: Whole) -> None:
    for at in range(len(whole.envelope)):
        raw = whole.envelope[:at] + bytes([whole.envelope[at] ^ 0x20]) + whole.envelope[at + 1 :]
        with pytest.raises(REFUSALS):
            read(Whole(raw, whole.body))


@BOTH
def test_every_truncation_is_noticed(whole: Whole) -> None:
    for stop in range(0, len(whole.body), 3):
        with pytest.raises(REFUSALS):
            read(Whole(whole.envelope, whole.body[:stop]))


@BOTH
@pytest.mark.parametrize("more", [1, 16, 32, 240, 256, 1_024])
def test_every_extension_is_noticed(whole: Whole, more: int) -> None:
    for body in (
        whole.body + bytes(more),
        bytes(more) + whole.body,
        whole.body[:-16] + bytes(more) + whole.body[-16:],
        whole.body + whole.body[-more:],
    ):
        with pytest.raises(REFUSALS):
            read(Whole(whole.envelope, body))


def test_a_trailer_alone_is_no_shorter_object() -> None:
    # The honest trailer of a longer object, behind fewer parts.
    size = LAYOUT.part_sealed_size(1_024)
    with pytest.raises(REFUSALS):
        read(Whole(MULTI.envelope, MULTI.body[size:]))


def test_parts_of_an_object_do_not_take_each_others_place() -> None:
    equal = [(1, plaintext(1_024, "a")), (2, plaintext(1_024, "b")), (3, b"")]
    size = LAYOUT.part_sealed_size(1_024)
    for bind in (True, False):
        whole = seal(equal, bind=bind)
        swapped = whole.body[size : 2 * size] + whole.body[:size] + whole.body[2 * size :]
        with pytest.raises(Tampered):
            read(Whole(whole.envelope, swapped))


def test_segments_of_two_parts_do_not_take_each_others_place() -> None:
    size = LAYOUT.part_sealed_size(1_024)
    mixed = bytearray(MULTI.body)
    mixed[256:512] = MULTI.body[size + 256 : size + 512]
    with pytest.raises(Tampered):
        read(Whole(MULTI.envelope, bytes(mixed)))


def test_two_objects_do_not_take_each_others_place() -> None:
    other = seal(PLAIN, seed="other")
    for envelope, body in [(SINGLE.envelope, other.body), (other.envelope, SINGLE.body)]:
        with pytest.raises(Tampered):
            read(Whole(envelope, body))
        with pytest.raises(Tampered):
            read(Whole(envelope, body), 0, 10)


def test_an_object_moved_to_another_key_bucket_or_tenant_does_not_open() -> None:
    for names in [
        ("t1", "personnel", "other"),
        ("t1", "archive", "2026/payroll.csv"),
        ("t2", "personnel", "2026/payroll.csv"),
    ]:
        with pytest.raises(Tampered):
            read(SINGLE, context=object_context(*names), bucket_id=names[1])
    with pytest.raises(Tampered):
        read(SINGLE, bucket_id="archive")


def test_a_trailer_of_another_object_of_equal_length_is_refused() -> None:
    other = seal(PLAIN, seed="other")
    size = LAYOUT.part_sealed_size(len(PLAIN))
    with pytest.raises(Tampered):
        read(Whole(SINGLE.envelope, SINGLE.body[:size] + other.body[size:]))


def earlier_attempt_put_back(*, bind: bool) -> Whole:
    first, second = seal(PARTS, attempt="earlier"), seal(PARTS, bind=bind)
    size = LAYOUT.part_sealed_size(1_024)
    assert first.body[:40] != second.body[:40]
    return Whole(second.envelope, first.body[:size] + second.body[size:])


def test_an_earlier_attempt_at_a_part_is_refused_where_it_was_bound() -> None:
    with pytest.raises(Tampered, match="another attempt"):
        read(earlier_attempt_put_back(bind=True))


def test_an_earlier_attempt_is_not_noticed_where_nothing_was_bound() -> None:
    # The format admits this; so unbound entries are refused by default, a floor above.
    assert read(earlier_attempt_put_back(bind=False)) == PLAIN


def test_a_single_envelope_does_not_open_a_multipart_object_of_the_same_bytes() -> None:
    multi = seal([(1, PLAIN)])
    assert len(multi.body) == len(SINGLE.body)
    for envelope, body in [(SINGLE.envelope, multi.body), (multi.envelope, SINGLE.body)]:
        with pytest.raises(Tampered):
            read(Whole(envelope, body))


def test_an_envelope_of_another_secret_is_refused() -> None:
    forged = seal(PLAIN, secret=bytes(32), seed="forged")
    with pytest.raises(Tampered):
        read(forged, context=CONTEXT)
