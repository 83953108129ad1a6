"""Bodies held whole: the same bytes as through streams, and nothing of what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from hyok.envelope.block import Envelope
from hyok.envelope.keys import DataKey
from hyok.envelope.layout import HEADER_BYTES, HYOK1, LAYOUT
from hyok.envelope.parts import part_header, part_id
from hyok.envelope.trailer import Entry, Trailer, seal_trailer
from hyok.errors import Tampered
from hyok.objects.held import Held
from hyok.objects.streams import PartSpan, Room, Rooms, open_held, seal_held, seal_part
from hyok.vocabulary import MemorySink, MemorySource

if TYPE_CHECKING:
    from hyok.custody.port import RecoveredKey
    from hyok.objects.facts import ObjectFacts

DEK = bytes(range(32))
HEADER = part_header(b"s" * 32, b"nonce-7")
OBJECT_ID = b"o" * 16
FIRST = HYOK1.segment_plain_bytes - HEADER_BYTES
"""What the first segment holds."""

SIZES = [0, 1, 1024, FIRST - 1, FIRST, FIRST + 1, 1 << 20]


def plain_of(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def sealed_part(size: int) -> bytearray:
    out = bytearray(LAYOUT.part_sealed_size(size))
    seal_held(DataKey(DEK), 1, HEADER, memoryview(plain_of(size)), memoryview(out))
    return out


def sealed_object(size: int) -> bytearray:
    entry = Entry(1, size, part_id(HEADER))
    trailer = Trailer(1, False, (entry,), size, OBJECT_ID, bytes(16), 0, 0, b"", 5)
    return sealed_part(size) + seal_trailer(trailer, DataKey(DEK), b"t" * 16)


@pytest.mark.parametrize("size", SIZES)
def test_a_body_is_sealed_as_a_stream_would_be(size: int) -> None:
    sink = MemorySink(LAYOUT.part_sealed_size(size))
    seal_part(DataKey(DEK), 1, HEADER, MemorySource(plain_of(size)), size, sink, Room())
    assert sealed_part(size) == sink.room


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 1),
        (100, 200),
        (FIRST - 1, FIRST + 1),
        (FIRST, FIRST + HYOK1.segment_plain_bytes),
        (5, 1 << 20),
        ((1 << 20) - 1, 1 << 20),
        (0, 1 << 20),
    ],
)
def test_every_range_is_opened(start: int, stop: int) -> None:
    size = 1 << 20
    plan = LAYOUT.plan_part(size, start, stop)
    sealed = memoryview(sealed_part(size))[plan.sealed_start : plan.sealed_stop]
    span = PartSpan(1, HEADER, size, start, stop, from_header=False)
    plain, rest = open_held(DataKey(DEK), span, plan, sealed, Rooms())
    assert plain == plain_of(size)[start:stop]
    assert len(rest) == 0


def held(size: int, sealed: bytes | bytearray) -> Held:
    envelope = Envelope(1, False, *[None] * 12)._replace(object_id=OBJECT_ID, part_header=HEADER)  # type: ignore[arg-type]
    key = cast("RecoveredKey", _Key(DataKey(DEK), envelope))
    span = PartSpan(1, HEADER, size, 0, size, from_header=True)
    plan = LAYOUT.plan_part(size, 0, size)
    facts = cast("ObjectFacts", None)
    return Held(facts, key, span, plan, memoryview(sealed), len(sealed_object(size)), Rooms())


class _Key:
    def __init__(self, data_key: DataKey, envelope: Envelope) -> None:
        self.data_key = data_key
        self.envelope = envelope


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_object_is_opened_with_its_trailer(size: int) -> None:
    assert held(size, sealed_object(size)).whole() == plain_of(size)


def test_nothing_is_handed_out_of_what_was_changed_or_cut() -> None:
    good = sealed_object(1024)
    for at in (0, 1, HEADER_BYTES, HEADER_BYTES + 600, LAYOUT.part_sealed_size(1024), -1, -40):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(Tampered):
            held(1024, bad).whole()
    for cut in (0, 10, HEADER_BYTES, HEADER_BYTES + 100, LAYOUT.part_sealed_size(1024), -1):
        with pytest.raises(Tampered):
            held(1024, good[:cut]).whole()
