"""Names with a number that could be a BSN are noticed, and the usual other numbers are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyok.policy.elfproef import holds_bsn, passes


@pytest.mark.parametrize("digits", ["111222333", "123456782", "999990019", "012345672", "12345672"])
def test_numbers_that_pass(digits: str) -> None:
    assert passes(digits)


@pytest.mark.parametrize(
    "digits",
    ["123456789", "111222334", "000000000", "00000000", "1234567", "1234567820", "", "12345678x",
     "\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0662"],
)  # fmt: skip
def test_numbers_that_do_not(digits: str) -> None:
    assert not passes(digits)


@given(st.integers(10_000_000, 999_999_999), st.integers(0, 8), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(number: int, place: int, change: int) -> None:
    digits = f"{number:09d}"
    other = str((int(digits[place]) + change) % 10)
    changed = digits[:place] + other + digits[place + 1 :]
    assert not (passes(digits) and passes(changed))


@pytest.mark.parametrize(
    "name",
    [
        "123456782",
        "bsn123456782.pdf",
        "dossiers/2026/123456782/brief.docx",
        "aanvraag_123456782_v2",
        "12345672.xml",
        "x/012345672",
        "1234.56.782 jansen.pdf",
        "123-456-782.pdf",
        "123 456 782",
        "123456789 en 123456782",
    ],
)
def test_names_that_hold_one(name: str) -> None:
    assert holds_bsn(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "rapport.pdf",
        "123456789.pdf",
        "1234567820",
        "20260131123456782",
        "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "000000000",
        "123_456_782",
        "123.456-782",
        "12-345-67-82",
    ],
)
def test_names_that_hold_none(name: str) -> None:
    assert not holds_bsn(name)


def test_days_are_not_taken_for_numbers() -> None:
    days = [f"{y}{m:02d}{d:02d}" for y in (1999, 2026) for m in range(1, 13) for d in range(1, 29)]
    assert any(passes(day) for day in days)
    assert not any(holds_bsn(f"verslag-{day}.pdf") for day in days)
    turned = [day[6:] + day[4:6] + day[:4] for day in days]
    assert any(passes(day) for day in turned)
    assert not any(holds_bsn(day) for day in turned)
    assert any(holds_bsn(f"{number:08d}") for number in range(20261301, 20261399))  # no such month
