"""What follows from a measurement: a safe number of sessions, cache times, profiles that work."""

from __future__ import annotations

import pytest

from hyok.hsm.about import about_of
from hyok.hsm.figures import Cell, Load, TokenFigures, best, cache_seconds, safe_sessions


def cell(sessions: int, rate: int, failures: int = 0, profile: int = 1) -> Cell:
    return Cell(profile, "open", sessions, 4, rate, 1.0, 1.0, 2.0, failures)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ([], 0),
        ([cell(1, 100), cell(2, 191), cell(4, 200), cell(8, 201)], 2),  # 191 is near 201
        ([cell(1, 100), cell(2, 150), cell(4, 300)], 4),
        ([cell(1, 100), cell(2, 190), cell(4, 300, failures=1), cell(8, 400)], 2),
        ([cell(1, 100, failures=1), cell(2, 200)], 0),
        ([cell(4, 300), cell(4, 100), cell(1, 290)], 1),
    ],
)
def test_the_fewest_sessions_that_are_nearly_as_fast(cells: list[Cell], wanted: int) -> None:
    assert safe_sessions(cells) == wanted


def test_the_best_has_no_failure() -> None:
    assert best([cell(1, 10), cell(2, 99, failures=1), cell(4, 20)]) == cell(4, 20)
    assert best([cell(1, 0)]) is None


def test_cache_times_follow_from_rate_and_load() -> None:
    # 10,000 scopes, 4 workers: 40,000 openings in each read-cache time; 250 a second are free.
    assert cache_seconds(1000, Load(10_000, 4, 0.25)) == {
        "read_cache_seconds": 160,
        "write_ttl_seconds": 200,
    }
    assert cache_seconds(100_000, Load(10, 1, 1.0)) == {
        "read_cache_seconds": 1,
        "write_ttl_seconds": 1,
    }
    assert cache_seconds(0, Load(10, 1, 1.0)) == {}


def test_a_profile_with_a_failure_does_not_count() -> None:
    cells = (cell(1, 10), cell(1, 10, profile=2), cell(1, 10, failures=1, profile=2))
    cells += (cell(1, 0, profile=3),)
    assert TokenFigures("a", {}, 1.0, (), {}, cells, 16).usable() == [1]


def test_what_a_token_says_of_itself_has_no_serial_number() -> None:
    library = b"\x02\x28" + b"Maker".ljust(32) + bytes(6 + 8) + b"A library".ljust(32) + b"\x02\x06"
    token = b"LABEL-X".ljust(32) + b"Vendor".ljust(32) + b"Model 7".ljust(16)
    token += b"SERIAL-99".ljust(16) + bytes(8) + (64).to_bytes(8, "little") + bytes(9 * 8)
    token += b"\x01\x02" + b"\x07\x04" + bytes(16)
    told = about_of(library, token)
    assert told == {
        "library": "Maker A library",
        "library_version": "2.6",
        "token": "Vendor Model 7",
        "hardware_version": "1.2",
        "firmware_version": "7.4",
        "sessions_told": "64",
    }
