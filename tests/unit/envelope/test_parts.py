"""One part: the vectors, buffers of any cut, and no byte out before its tag is checked."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.envelope.vectors import SUITES, load, unhex
from tests.unit.envelope.whole import EXAMPLES, plaintext, seal_part

from hyok.envelope.keys import DataKey, part_associated_data
from hyok.envelope.layout import HYOK1, HYOK1_TEST, Layout
from hyok.envelope.parts import PartOpener, PartSealer, check_header, part_header, part_id
from hyok.errors import Malformed, Tampered

DEK = DataKey(bytes(range(32)))
HEADER = part_header(bytes(range(32)), b"nonce--")
VECTORS = load("parts.json")
LAYOUT = Layout(HYOK1_TEST)


def open_part(part: bytes, size: int, number: int = 1) -> bytes:
    opener = PartOpener(DEK, HYOK1_TEST, number, part[:40], size)
    room = memoryview(bytearray(256))
    out = b""
    for index in range(opener.segment_count):
        start, stop = opener.sealed_span(index)
        out += room[: opener.open_into(index, memoryview(part)[start:stop], room)]
    return out


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["header"][:8])
def test_the_parts_of_the_vectors(vector: dict[str, Any]) -> None:
    suite, number = SUITES[vector["suite"]], vector["part_number"]
    key, header = DataKey(unhex(vector["dek"])), unhex(vector["header"])
    if "plaintext" in vector:
        plain, digest = unhex(vector["plaintext"]), sha256(unhex(vector["ciphertext"])).digest()
    else:
        plain = plaintext(vector["plaintext_length"], vector["plaintext_tag"])
        assert sha256(plain).digest() == unhex(vector["plaintext_sha256"])
        digest = unhex(vector["ciphertext_sha256"])
    assert part_associated_data(suite.id, number) == unhex(vector["aad"])
    assert part_id(header) == unhex(vector["part_id"])

    sealed = seal_part(key, suite, number, header, plain)
    assert sha256(sealed).digest() == digest

    opener = PartOpener(key, suite, number, header, len(plain))
    room = memoryview(bytearray(suite.segment_bytes))
    opened = b""
    for index in range(opener.segment_count):
        start, stop = opener.sealed_span(index)
        opened += room[: opener.open_into(index, memoryview(sealed)[start:stop], room)]
    assert opened == plain


@EXAMPLES
@given(size=st.integers(0, 1_200), cuts=st.lists(st.integers(0, 1_200), max_size=20))
def test_sealing_does_not_depend_on_how_the_plaintext_is_cut(size: int, cuts: list[int]) -> None:
    plain = plaintext(size)
    whole = seal_part(DEK, HYOK1_TEST, 3, HEADER, plain)
    assert seal_part(DEK, HYOK1_TEST, 3, HEADER, plain, cuts) == whole
    assert len(whole) == LAYOUT.part_sealed_size(size)
    assert open_part(whole, size, 3) == plain


@pytest.mark.parametrize("size", [0, 1, 199, 200, 201, 439, 440, 441, 680])
def test_the_sizes_around_the_borders_of_segments(size: int) -> None:
    plain = plaintext(size)
    assert open_part(seal_part(DEK, HYOK1_TEST, 1, HEADER, plain), size) == plain


@pytest.mark.parametrize("size", [0, 200, 500])
def test_every_flipped_byte_of_a_part_is_noticed(size: int) -> None:
    sealed = seal_part(DEK, HYOK1_TEST, 1, HEADER, plaintext(size))
    for at in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[at] ^= 1
        with pytest.raises((Tampered, Malformed)):
            open_part(bytes(damaged), size)


def test_a_part_under_another_number_or_suite_does_not_open() -> None:
    sealed = seal_part(DEK, HYOK1_TEST, 1, HEADER, b"plain")
    with pytest.raises(Tampered):
        open_part(sealed, 5, number=2)
    opener = PartOpener(DEK, HYOK1, 1, HEADER, 5)
    with pytest.raises(Tampered):
        opener.open_into(0, memoryview(sealed)[40:], memoryview(bytearray(5)))


def test_segments_of_a_part_do_not_take_each_others_place() -> None:
    size = 200 + 240 + 240
    sealed = seal_part(DEK, HYOK1_TEST, 1, HEADER, plaintext(size))
    swapped = sealed[:256] + sealed[512:] + sealed[256:512]
    with pytest.raises(Tampered):
        open_part(swapped, size)


def test_a_part_cut_at_a_segment_is_noticed_by_its_last_segment() -> None:
    sealed = seal_part(DEK, HYOK1_TEST, 1, HEADER, plaintext(200 + 240))
    with pytest.raises(Tampered):
        open_part(sealed[:256], 200)  # what remains would be a whole part of one segment


def test_what_failed_its_tag_leaves_no_plaintext_in_the_buffer() -> None:
    sealed = bytearray(seal_part(DEK, HYOK1_TEST, 1, HEADER, b"secret" * 20))
    sealed[-1] ^= 1
    room = memoryview(bytearray(b"\xaa" * 256))
    opener = PartOpener(DEK, HYOK1_TEST, 1, HEADER, 120)
    with pytest.raises(Tampered):
        opener.open_into(0, memoryview(sealed)[40:], room)
    assert room[:120] == bytes(120)
    assert room[120:] == b"\xaa" * 136


@pytest.mark.parametrize("count", [0, 15, 20, 22, 300])
def test_a_segment_of_the_wrong_length_is_refused(count: int) -> None:
    opener = PartOpener(DEK, HYOK1_TEST, 1, HEADER, 5)
    with pytest.raises(Tampered, match="length"):
        opener.open_into(0, memoryview(bytes(count)), memoryview(bytearray(256)))


@pytest.mark.parametrize("index", [-1, 1])
def test_a_segment_that_the_part_does_not_have_is_our_bug(index: int) -> None:
    opener = PartOpener(DEK, HYOK1_TEST, 1, HEADER, 5)
    with pytest.raises(ValueError, match="no such segment"):
        opener.open_into(index, memoryview(bytes(21)), memoryview(bytearray(256)))


@pytest.mark.parametrize(
    ("before", "count", "last"),
    [
        (0, 199, False),  # a short segment that is not the last
        (0, 201, False),
        (0, 201, True),
        (1, 239, False),
        (1, 241, True),
        (1, 0, True),  # an extra empty last segment
        (0, 0, False),
    ],
)
def test_a_sealer_refuses_segments_of_the_wrong_size(before: int, count: int, last: bool) -> None:
    sealer = PartSealer(DEK, HYOK1_TEST, 1, HEADER)
    room = memoryview(bytearray(256))
    for _ in range(before):
        sealer.seal_into(memoryview(bytes(200)), room, last=False)
    with pytest.raises(ValueError, match="does not hold"):
        sealer.seal_into(memoryview(bytes(count)), room, last=last)


def test_nothing_is_sealed_after_the_last_segment() -> None:
    sealer = PartSealer(DEK, HYOK1_TEST, 1, HEADER)
    room = memoryview(bytearray(256))
    sealer.seal_into(memoryview(b"end"), room, last=True)
    for last in (True, False):
        with pytest.raises(ValueError, match="has ended"):
            sealer.seal_into(memoryview(bytes(200)), room, last=last)


def test_a_part_ends_before_its_segment_numbers_start_again() -> None:
    sealer = PartSealer(DEK, HYOK1_TEST, 1, HEADER)
    room = memoryview(bytearray(256))
    sealer._index = (1 << 32) - 1
    sealer.seal_into(memoryview(bytes(240)), room, last=False)
    with pytest.raises(ValueError, match="has ended"):
        sealer.seal_into(memoryview(bytes(240)), room, last=True)


def test_no_nonce_is_used_again_after_a_failure() -> None:
    sealer = PartSealer(DEK, HYOK1_TEST, 1, HEADER)
    with pytest.raises(ValueError, match="buffer"):
        sealer.seal_into(memoryview(bytes(200)), memoryview(bytearray(10)), last=False)
    assert sealer._index == 1


def test_a_header_has_its_own_length_in_front() -> None:
    check_header(HEADER)
    check_header(memoryview(HEADER))
    for wrong in (b"", HEADER[:-1], HEADER + b"\0", b"\x29" + HEADER[1:]):
        with pytest.raises(Malformed):
            check_header(wrong)
        with pytest.raises(Malformed):
            PartSealer(DEK, HYOK1_TEST, 1, wrong)


@pytest.mark.parametrize(("salt", "prefix"), [(31, 7), (32, 6), (0, 39), (33, 7)])
def test_a_header_is_made_of_exact_random_bytes(salt: int, prefix: int) -> None:
    with pytest.raises(ValueError, match="salt of 32"):
        part_header(bytes(salt), bytes(prefix))


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_numbers_are_one_to_ten_thousand(number: int) -> None:
    with pytest.raises(Malformed):
        PartOpener(DEK, HYOK1_TEST, number, HEADER, 0)


def test_sealing_and_opening_in_one_buffer() -> None:
    room = memoryview(bytearray(216))
    room[:200] = plaintext(200)
    count = PartSealer(DEK, HYOK1_TEST, 1, HEADER).seal_into(room[:200], room, last=True)
    opener = PartOpener(DEK, HYOK1_TEST, 1, HEADER, 200)
    assert opener.open_into(0, room[:count], room[:200]) == 200
    assert room[:200] == plaintext(200)


def test_a_thousand_segments_allocate_nothing() -> None:
    count = 1_000
    size = 262_088 + 262_128 * (count - 1)
    sealer = PartSealer(DEK, HYOK1, 1, HEADER)
    opener = PartOpener(DEK, HYOK1, 1, HEADER, size)
    first, full = memoryview(bytearray(262_088)), memoryview(bytearray(262_128))
    sealed, opened = memoryview(bytearray(262_144)), memoryview(bytearray(262_128))

    def move(index: int) -> None:
        plain = full if index else first
        done = sealer.seal_into(plain, sealed, last=index == count - 1)
        opener.open_into(index, sealed[:done], opened)

    for index in range(3):  # what is made once, is made now
        move(index)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        move(3)
        before_blocks = sys.getallocatedblocks()
        before_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for index in range(4, count):
            move(index)
        after_bytes, peak = tracemalloc.get_traced_memory()
        after_blocks = sys.getallocatedblocks()
    finally:
        tracemalloc.stop()
        gc.enable()
    # Small integers and views come and go; nothing stays, and never a buffer's worth at once.
    assert peak - before_bytes < 4_096
    assert after_bytes - before_bytes < 1_024
    assert after_blocks - before_blocks < 50
