"""The benchmark of a page reads, opens, sorts and writes what a gateway would."""

from __future__ import annotations

import pytest
from benchmarks.bench_pages import FOLDER, SECRET, arranged, clear, document_of, figures, written

from hyok.backends.s3_answers import parse_listing
from hyok.envelope.names import NameKey

KEYS = [f"{FOLDER}{number:04}" for number in range(5)]


@pytest.mark.parametrize("different", [False, True])
def test_clear_and_sealed_names_come_to_the_same_document(different: bool) -> None:
    key = NameKey(SECRET, "b")
    bare, _ = parse_listing(document_of(KEYS, different=different), FOLDER)
    sealed, _ = parse_listing(
        document_of([key.seal(name) for name in KEYS], different=different), key.seal(FOLDER)
    )
    assert written(clear(bare)) == written(arranged(sealed, key))
    assert list(clear(bare).sizes) == [16 + at * 977 * different for at in range(5)]


def test_every_step_is_measured() -> None:
    found = figures(5, 1, different=True)
    assert all(0 <= least <= median for median, least in found.values())
    assert [step for step in found if step.startswith("sealed")]
