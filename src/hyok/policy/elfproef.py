"""Does a name hold a number that could be somebody's BSN?

A citizen service number (burgerservicenummer) has nine digits, or eight where the first is a zero
that was left out, and passes the *elfproef*: the sum of its digits times 9, 8, 7, 6, 5, 4, 3, 2 and
-1 is a multiple of eleven.  One number in eleven passes by chance, so what is found is a reason to
warn and none to refuse.  Who warns tells where, never the name: the name may be the number.

Source: Logisch Ontwerp BSN, "elfproef".
"""

from __future__ import annotations

import re
from datetime import date

_WEIGHTS = (9, 8, 7, 6, 5, 4, 3, 2, -1)
_BIRTH_YEARS = range(1900, 2100)

# Standing free of other digits: alone, or in the groups in which people write it.
_CANDIDATES = re.compile(
    r"(?<![0-9])("
    r"[0-9]{8,9}"
    r"|[0-9]{2,3}([ .-])[0-9]{3}\2[0-9]{3}"
    r"|[0-9]{3,4}([ .-])[0-9]{2}\3[0-9]{3}"
    r")(?![0-9])",
    re.ASCII,
).finditer


def passes(digits: str) -> bool:
    """Return whether eight or nine digits pass the test; the zero that is none never does."""
    if not (digits.isascii() and digits.isdigit() and len(digits) in (8, 9)) or not int(digits):
        return False
    values = [int(digit) for digit in digits.zfill(9)]
    return sum(v * weight for v, weight in zip(values, _WEIGHTS, strict=True)) % 11 == 0


def holds_bsn(name: str) -> bool:
    """Return whether a name of an object or bucket holds a number that passes the test.

    Eight digits that are a day of this century or the last (``20260131``) are taken for that day:
    names are full of them, and one in eleven would pass.
    """
    return any(_counts(re.sub(r"[ .-]", "", found[1])) for found in _CANDIDATES(name))


def _counts(digits: str) -> bool:
    return passes(digits) and not (len(digits) == 8 and _is_day(digits))


def _is_day(digits: str) -> bool:
    forms = ((digits[:4], digits[4:6], digits[6:]), (digits[4:], digits[2:4], digits[:2]))
    for year, month, day in forms:
        if int(year) not in _BIRTH_YEARS:
            continue
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            continue
        return True
    return False
