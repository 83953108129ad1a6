"""Ranges of sealed objects: what they ask of a store, and what is read ahead of the next one."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conformance.object_stores import STORES
from tests.fakes.memory_store import MemoryStore
from tests.unit.custody.test_custodian import house
from tests.unit.objects.vaults import Vaults, vaults_over

from hyok.backends.port import WHOLE, Stored
from hyok.envelope.layout import HYOK1, LAYOUT
from hyok.envelope.trailer import Entry, Trailer
from hyok.errors import Refused, Tampered, Unavailable
from hyok.objects import known_parts, read_ahead
from hyok.objects.known_parts import ENTRIES_MAX, KnownParts
from hyok.objects.part_map import PartMap
from hyok.objects.read_ahead import ReadAhead
from hyok.s3.ranges import Asked
from hyok.vocabulary import WHOLE_BODY_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.custody.test_custodian import House

    from hyok.backends.port import Span
    from hyok.vocabulary import Ask

__all__ = ["house"]

SEGMENT = HYOK1.segment_bytes
PART = HYOK1.min_part_bytes
KIB64 = 64 << 10


def plain_of(size: int, seed: int = 0) -> bytes:
    return hashlib.shake_128(bytes([seed])).digest(size)


class WatchedStore(MemoryStore):
    """Notes what is read of it; reads can be held up, fail, or be damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []
        self.heads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fetches: set[asyncio.Task[None]] = set()  # those that read ahead
        self.fails = False
        self.damages = False

    async def read_whole(
        self, bucket: str, name: str, span: Span = WHOLE, if_match: str = "", version_id: str = ""
    ) -> tuple[Stored, bytes]:
        ahead = asyncio.current_task() in self.fetches
        if ahead:
            await self.gate.wait()
            if self.fails:
                raise Unavailable("busy", reason="SlowDown")
        stored, body = await super().read_whole(bucket, name, span, if_match, version_id)
        at = stored.size - span.suffix if span.suffix else span.start
        self.reads.append((at, at + len(body)))
        if ahead and self.damages:
            body = bytes(len(body))
        return stored, body

    async def head(self, bucket: str, name: str, version_id: str = "") -> Stored:
        self.heads += 1
        return await super().head(bucket, name, version_id)

    def asked(self) -> list[tuple[int, int]]:
        """Return what was read since the last time, and forget it."""
        reads, self.reads, self.heads = self.reads, [], 0
        return reads


class Reader:
    """Someone who reads ranges of one object."""

    def __init__(self, vaults: Vaults, store: WatchedStore, ask: Ask) -> None:
        self.vaults, self.store = vaults, store
        self.ask = replace(ask, action="object:get", classification=None)

    @property
    def ahead(self) -> ReadAhead:
        return self.vaults.vault.ahead

    async def range(self, start: int, stop: int, version_id: str = "") -> bytes:
        opened = await self.vaults.vault.open(
            self.ask, Asked(start, stop - 1), version_id=version_id
        )
        try:
            return bytes(opened.whole())
        finally:
            await opened.close()

    async def settle(self) -> None:
        """Let what is on its way arrive."""
        for _ in range(20):
            await asyncio.sleep(0)

    def other(self, name: str) -> Reader:
        """Return another caller for the same object."""
        principal = replace(self.ask.principal, id=name)
        return Reader(self.vaults, self.store, replace(self.ask, principal=principal))


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    store = WatchedStore()
    vaults = await vaults_over(house, store)
    made = Reader(vaults, store, vaults.ask())
    store.fetches = made.ahead._fetches
    yield made
    await made.ahead.close()


# -- what a range asks of the store --------------------------------------------------------------


def touched(sizes: list[int], start: int, stop: int) -> tuple[int, int]:
    """Return the sealed bytes of the segments that hold ``[start, stop)``, by the format alone."""
    spans, plain_at, sealed_at = [], 0, 0
    for size in sizes:
        for index in range(LAYOUT.segment_count(size)):
            low, high = LAYOUT.segment_span(size, index)
            first = max(0, index * HYOK1.segment_plain_bytes - 40)
            after = min(size, (index + 1) * HYOK1.segment_plain_bytes - 40)
            if plain_at + first < stop and start < plain_at + after:
                spans.append((sealed_at + (low if index else 0), sealed_at + high))
        plain_at += size
        sealed_at += LAYOUT.part_sealed_size(size)
    return spans[0][0], spans[-1][1]


@given(
    st.lists(st.integers(1, 4 * SEGMENT), min_size=1, max_size=5), st.randoms(use_true_random=False)
)
def test_a_map_points_at_the_segments_that_a_range_touches(sizes: list[int], random: Any) -> None:
    whole = sum(sizes)
    start = random.randrange(whole)
    stop = random.randrange(start, whole) + 1
    layout = PartMap(sizes)
    assert layout.span(start, stop) == touched(sizes, start, stop)
    low, high = layout.span(start, stop)
    assert layout.span(start, whole + 999)[1] == sum(map(LAYOUT.part_sealed_size, sizes))
    segments = layout.segments(start, 3)
    assert segments[0][0] == low
    assert all(a[1] == b[0] for a, b in pairwise(segments))
    assert high - low <= stop - start + 2 * SEGMENT + 16 * (2 + (stop - start) // SEGMENT) + 200


RANGES = [
    (0, 1),
    (SEGMENT - 57, SEGMENT - 55),
    (300_000, 365_536),
    (PART - 100, PART + 100),
    (PART + 7, PART + KIB64),
    (2 * PART - 1, 2 * PART + 5),
    (PART // 2 + 300, PART // 2 + 300 + WHOLE_BODY_BYTES_MAX),
]


@pytest.mark.parametrize(("start", "stop"), RANGES)
@pytest.mark.parametrize("sizes", [[2 * PART + 1000], [PART, PART, 1000]], ids=["one", "parts"])
async def test_a_range_asks_once_and_for_at_most_one_segment_too_many_on_each_side(
    reader: Reader, sizes: list[int], start: int, stop: int
) -> None:
    """Once header and trailer are known, where there are parts."""
    whole = plain_of(sum(sizes))
    ask = reader.vaults.ask()
    if len(sizes) == 1:
        await reader.vaults.put(ask, whole)
    else:
        at = [sum(sizes[:n]) for n in range(len(sizes))]
        parts = [whole[a : a + size] for a, size in zip(at, sizes, strict=True)]
        await reader.vaults.upload(ask, *parts)
        assert await reader.range(start, stop) == whole[start:stop]
    reader.store.asked()
    assert await reader.range(start, stop) == whole[start:stop]
    assert reader.store.heads == 0
    ((low, high),) = reader.store.asked()
    wanted = touched(sizes, start, stop)
    assert low == wanted[0]
    # Nobody knows where an object of one part ends before the store has told it.
    border = min(-(-wanted[1] // SEGMENT) * SEGMENT, LAYOUT.object_sealed_size(sum(sizes)))
    assert high == (wanted[1] if len(sizes) > 1 else border)


async def test_all_of_an_object_is_read_with_the_trailer_that_is_stored_now(
    reader: Reader,
) -> None:
    ask = reader.vaults.ask()
    await reader.vaults.upload(ask, plain_of(PART), b"rest")
    assert await reader.range(5, 10) == plain_of(PART)[5:10]
    reader.store.asked()
    assert await reader.range(0, PART + 4) == plain_of(PART) + b"rest"
    size = LAYOUT.object_sealed_size(PART + 4)
    assert any(stop == size for _, stop in reader.store.asked())


@pytest.mark.parametrize("parts", [1, 2, 3])
async def test_what_was_known_of_an_object_does_not_outlive_it(reader: Reader, parts: int) -> None:
    ask = reader.vaults.ask()
    await reader.vaults.upload(ask, plain_of(PART + SEGMENT), plain_of(PART), b"oud")
    await reader.range(PART, PART + 9)
    new = plain_of(2 * PART + 77, 1)
    if parts == 1:
        await reader.vaults.put(ask, new)
    else:
        pieces = [new, plain_of(PART, 2), b"x"][:parts]
        await reader.vaults.upload(ask, *pieces)
        new = b"".join(pieces)
    for _ in range(2):
        for start, stop in [(0, 9), (PART - 9, PART + 9), (len(new) - 5, len(new))]:
            assert await reader.range(start, stop) == new[start:stop]
    reader.store.asked()
    at = PART + 3 * SEGMENT
    assert await reader.range(at, at + 9) == new[at : at + 9]
    assert len(reader.store.asked()) == 1


def test_what_is_known_is_bounded() -> None:
    known = KnownParts()
    store: Any = object()

    class At:
        bucket = "b"

        def __init__(self, name: str) -> None:
            self.store, self.name = store, name

    def trailer(count: int) -> Any:
        entries = tuple(Entry(n + 1, 1, b"p" * 16) for n in range(count))
        return Trailer(1, True, entries, count, b"o" * 16, b"m" * 16, 1, 0, b"crc!", 5)

    stored = Stored("n", "etag", 5, 0)

    class Key:
        def __init__(self, ref: str, mac: bytes) -> None:
            self.ref, self.envelope = ref, SimpleNamespace(mac=mac)

    key: Any = Key("ref", b"mac")
    for number in range(3):
        known.keep(At(str(number)), stored, key, trailer(ENTRIES_MAX // 2))
    assert known.entries == ENTRIES_MAX
    assert [known.map_of(At(str(n))) is None for n in range(3)] == [True, False, False]
    known.keep(At("x"), stored, key, trailer(ENTRIES_MAX + 1))
    assert known.map_of(At("x")) is None
    for number in range(1000):
        known.keep(At(f"n{number}"), stored, key, trailer(1))
    assert known.entries == known_parts.OBJECTS_MAX
    kept = known.trailer_of(At("n999"), stored, key)
    assert kept is not None
    assert (kept.md5, kept.checksum) == (bytes(16), b"")
    other: Any = Key("ref", b"another mac")
    elsewhere: Any = Key("other", b"mac")
    assert known.trailer_of(At("n999"), stored, other) is None
    assert known.trailer_of(At("n999"), stored, key) is None
    assert known.trailer_of(At("n998"), stored, elsewhere) is None
    for number, told in enumerate(
        [replace(stored, etag="other"), replace(stored, size=6), replace(stored, version_id="v")]
    ):
        assert known.trailer_of(At(f"n{990 + number}"), told, key) is None


# -- reading ahead ------------------------------------------------------------------------------

LONG = 10 * SEGMENT


async def sequential(reader: Reader, step: int, size: int, start: int = 0) -> bytes:
    read = b""
    for at in range(start, size, step):
        read += await reader.range(at, min(at + step, size))
        await reader.settle()
    return read


@pytest.mark.parametrize("step", [KIB64, 100_000, SEGMENT, 600_000, 1 << 20])
async def test_a_stream_of_ranges_reads_every_segment_once(reader: Reader, step: int) -> None:
    whole = plain_of(LONG)
    await reader.vaults.put(reader.vaults.ask(), whole)
    reader.store.asked()
    assert await sequential(reader, step, LONG) == whole
    count = -(-LONG // step)
    heads, reads = reader.store.heads, reader.store.asked()
    sealed = sum(stop - start for start, stop in reads)
    # The first two ranges are answered before anyone knows that they make a stream.
    assert sealed <= LAYOUT.object_sealed_size(LONG) + 2 * (step + 2 * SEGMENT)
    if step < SEGMENT:
        assert heads >= count - 3, "the others find their bytes here"
        assert len(reads) < 2 + LONG // SEGMENT + 3
    assert reader.ahead.held_bytes <= 2 * SEGMENT


@pytest.mark.parametrize("maker", STORES, ids=lambda maker: maker.__name__)
@pytest.mark.parametrize("cut", [0, PART + 1000], ids=["one", "parts"])
async def test_ranges_that_go_on_are_the_same_bytes_at_every_store(
    house: House, tmp_path: Path, maker: Any, cut: int
) -> None:
    whole = plain_of(PART + 5 * KIB64)
    async with maker(tmp_path) as store:
        vaults = await vaults_over(house, store)
        if cut:
            await vaults.upload(vaults.ask(), whole[:cut], whole[cut:])
        else:
            await vaults.put(vaults.ask(), whole)
        get = replace(vaults.ask(action="object:get"), classification=None)
        for start in range(PART - 6 * KIB64, len(whole), KIB64):
            opened = await vaults.vault.open(get, Asked(start, start + KIB64 - 1))
            assert opened.whole() == whole[start : start + KIB64]
            await opened.close()
            await asyncio.sleep(0.01)
        await vaults.vault.ahead.close()


async def test_the_next_segment_is_on_its_way_before_it_is_asked_for(reader: Reader) -> None:
    whole = plain_of(LONG)
    await reader.vaults.put(reader.vaults.ask(), whole)
    await reader.range(0, 1000)
    await reader.settle()
    assert reader.ahead.held_bytes == 0, "one range is no stream"
    reader.store.asked()
    await reader.range(1000, 2000)
    await reader.settle()
    assert reader.store.asked()[-1] == (SEGMENT, 2 * SEGMENT)
    assert await reader.range(2000, 2 * SEGMENT - 5000) == whole[2000 : 2 * SEGMENT - 5000]
    assert (reader.store.heads, reader.store.asked()) == (1, [])


@pytest.mark.parametrize("version_id", ["", "old"])
async def test_ranges_of_parts_are_read_ahead_too(reader: Reader, version_id: str) -> None:
    whole = plain_of(PART + SEGMENT) + plain_of(PART, 1)
    ask = reader.vaults.ask()
    if version_id:
        await reader.store.set_versioning("dossiers", "Enabled")
    await reader.vaults.upload(ask, whole[: PART + SEGMENT], whole[PART + SEGMENT :])
    if version_id:
        head = replace(reader.ask, action="object:head")
        version_id = (await reader.vaults.vault.head(head)).version_id
        await reader.vaults.put(ask, b"later")
    start = PART - 3 * KIB64
    read = b""
    for at in range(start, start + 20 * KIB64, KIB64):
        read += await reader.range(at, at + KIB64, version_id)
        await reader.settle()
    assert read == whole[start : start + 20 * KIB64]
    assert reader.store.heads > 15


async def test_a_new_version_drops_what_was_read_ahead(reader: Reader) -> None:
    ask = reader.vaults.ask()
    await reader.vaults.put(ask, plain_of(LONG))
    await sequential(reader, KIB64, 3 * KIB64)
    new = plain_of(LONG, 1)
    await reader.vaults.put(ask, new)
    assert await reader.range(3 * KIB64, 4 * KIB64) == new[3 * KIB64 : 4 * KIB64]
    await reader.settle()
    assert await reader.range(4 * KIB64, 5 * KIB64) == new[4 * KIB64 : 5 * KIB64]


async def test_what_was_read_ahead_is_of_one_caller(reader: Reader) -> None:
    await reader.vaults.put(reader.vaults.ask(), plain_of(LONG))
    await sequential(reader, KIB64, 2 * KIB64)
    reader.store.asked()
    await reader.other("iemand anders").range(2 * KIB64, 3 * KIB64)
    assert reader.store.heads == 0
    assert len(reader.store.asked()) == 1


async def test_every_range_is_decided_and_recorded_and_its_tags_verified(reader: Reader) -> None:
    await reader.vaults.put(reader.vaults.ask(), plain_of(LONG))
    await sequential(reader, KIB64, 3 * KIB64)
    house = reader.vaults.house
    before = len(house.journal.records)
    await reader.range(3 * KIB64, 4 * KIB64)
    assert len(house.journal.records) > before
    await reader.settle()
    none = replace(reader.ask, principal=replace(reader.ask.principal, grants=frozenset({"list"})))
    reader.ask = none
    with pytest.raises(Refused):
        await reader.range(4 * KIB64, 5 * KIB64)


async def test_damage_in_what_was_read_ahead_is_damage(reader: Reader) -> None:
    await reader.vaults.put(reader.vaults.ask(), plain_of(LONG))
    reader.store.damages = True
    await sequential(reader, KIB64, 2 * KIB64)
    with pytest.raises(Tampered):
        await sequential(reader, KIB64, LONG, 2 * KIB64)


async def test_a_store_that_fails_ahead_is_asked_again_by_the_range(reader: Reader) -> None:
    whole = plain_of(LONG)
    await reader.vaults.put(reader.vaults.ask(), whole)
    reader.store.fails = True
    assert await sequential(reader, KIB64, LONG) == whole
    assert await sequential(reader, SEGMENT, LONG) == whole


async def test_a_store_that_stalls_ahead_holds_a_range_up_no_longer_than_said(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "FETCH_SECONDS_MAX", 0.1)
    whole = plain_of(LONG)
    await reader.vaults.put(reader.vaults.ask(), whole)
    await reader.range(0, SEGMENT)
    reader.store.gate.clear()
    await reader.range(SEGMENT, 2 * SEGMENT)
    began = asyncio.get_running_loop().time()
    assert await reader.range(2 * SEGMENT, 3 * SEGMENT) == whole[2 * SEGMENT : 3 * SEGMENT]
    assert asyncio.get_running_loop().time() - began < 1
    # What is there already is not kept waiting by what is not.
    reader.store.gate.set()
    await sequential(reader, 1000, 2000)
    await reader.settle()
    monkeypatch.setattr(read_ahead, "FETCH_SECONDS_MAX", 60.0)
    reader.store.gate.clear()
    await reader.range(5000, 6000)
    await reader.range(6000, 7000)
    async with asyncio.timeout(1):
        assert await reader.range(7000, 8000) == whole[7000:8000]


async def test_what_waits_is_bounded_and_nobody_came_for_is_let_go(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "HELD_SECONDS_MAX", 0.1)
    await reader.vaults.put(reader.vaults.ask(), plain_of(LONG))
    most = 0
    for number in range(2 * read_ahead.STREAMS_MAX):
        await sequential(reader.other(f"app-{number}"), KIB64, 2 * KIB64)
        most = max(most, reader.ahead.held_bytes)
    assert most == read_ahead.STREAMS_MAX * 2 * SEGMENT
    await asyncio.sleep(0.3)
    assert reader.ahead.held_bytes == 0
    for number in range(2 * read_ahead.ENDS_MAX):
        reader.ahead.ended(("app", reader.store, "b", "n", "", number))
    assert len(reader.ahead._ends) == read_ahead.ENDS_MAX


async def test_no_more_than_so_many_requests_are_made_ahead(reader: Reader) -> None:
    whole = plain_of(LONG)
    await reader.vaults.put(reader.vaults.ask(), whole)
    reader.store.gate.clear()
    for number in range(2 * read_ahead.FETCHES_MAX):
        await sequential(reader.other(f"app-{number}"), KIB64, 2 * KIB64)
    assert len(reader.ahead._fetches) == read_ahead.FETCHES_MAX
    late = reader.other(f"app-{2 * read_ahead.FETCHES_MAX - 1}")
    async with asyncio.timeout(1):
        assert await late.range(2 * KIB64, 3 * KIB64) == whole[2 * KIB64 : 3 * KIB64]


async def test_closing_ends_what_is_on_its_way(reader: Reader) -> None:
    await reader.vaults.put(reader.vaults.ask(), plain_of(LONG))
    reader.store.gate.clear()
    await sequential(reader, KIB64, 2 * KIB64)
    assert reader.ahead.held_bytes
    async with asyncio.timeout(1):
        await reader.ahead.close()
    assert (reader.ahead.held_bytes, len(reader.ahead._fetches)) == (0, 0)


async def test_long_ranges_are_not_read_ahead(reader: Reader) -> None:
    size = 4 << 20
    await reader.vaults.put(reader.vaults.ask(), plain_of(size))
    await sequential(reader, (1 << 20) + 1, size)
    assert reader.ahead.held_bytes == 0
