"""Ten thousand parts on the file store, number 10000 among them: joined, sized and read in ranges.

In the format's test suite, whose parts are short; everything else is as with any other object.  The
last part is short and carries the trailer, as number 10000 must (format.md section 8).
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from tests.unit.envelope.vectors import SUITES
from tests.unit.envelope.whole import Whole, plaintext, read, seal

from hyok.backends.filesystem import FileStore
from hyok.backends.port import Span, StoredFacts
from hyok.envelope.layout import HYOK1_TEST, Layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LONG = bool(os.environ.get("HYOK_LONG"))
NUMBERS = [*range(1, 10_000 if LONG else 1_201), 10_000]
LAYOUT = Layout(HYOK1_TEST)
BUCKET, NAME = "delen", "veel"
SHORT = b"the last one is short"
AT_ONCE = 50


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    made = FileStore(tmp_path / "store", suites=SUITES)
    await made.create_bucket(BUCKET)
    yield made
    await made.close()


async def test_thousands_of_parts_and_number_10000_become_one_object(
    store: FileStore,
) -> None:
    plain = {n: plaintext(HYOK1_TEST.min_part_bytes + n % 7, f"part {n}") for n in NUMBERS[:-1]}
    plain[10_000] = SHORT
    whole = seal(plain.items())
    upload = await store.begin_upload(BUCKET, NAME, StoredFacts(whole.envelope))
    pieces, at = {}, 0
    for number, body in plain.items():
        length = LAYOUT.part_sealed_size(len(body))
        pieces[number] = whole.body[at : at + length]
        at += length
    pieces[10_000] += whole.body[at:]  # the trailer

    gate = asyncio.Semaphore(AT_ONCE)

    async def send(number: int):
        async with gate:
            return await store.put_part_whole(BUCKET, NAME, upload, number, pieces[number])

    parts = await asyncio.gather(*map(send, reversed(NUMBERS)))
    listed, after = [], 0
    while page := await store.list_parts(BUCKET, NAME, upload, after):
        listed += page
        after = page[-1].number
    assert [part.number for part in listed] == NUMBERS
    assert sorted(parts, key=lambda part: part.number) == listed
    stored = await store.complete_upload(BUCKET, NAME, upload, listed)
    content = b"".join(plain.values())
    assert LAYOUT.object_plain_size(stored.size) == len(content)
    found, body = await store.read_whole(BUCKET, NAME, Span())
    assert found.facts is not None
    back = Whole(found.facts.envelope, body)
    assert read(back) == content
    step = len(content) // 7
    for start in (0, 1_020, step, 5 * step, len(content) - len(SHORT) - 3):
        assert read(back, start, start + 50) == content[start : start + 50]
