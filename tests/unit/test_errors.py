"""Every code that an error carries is explained, and every explained code exists."""

from __future__ import annotations

import re
from pathlib import Path

from hyok.errors import KINDS, Unavailable

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"HY-[0-9]{4}")


def test_the_page_of_errors_has_every_code_and_no_other() -> None:
    used = {
        code
        for path in (ROOT / "src").rglob("*.py")
        if path.name != "errors.py"
        for code in CODE.findall(path.read_text())
    }
    explained = CODE.findall((ROOT / "docs" / "errors.md").read_text())
    assert sorted(used) == explained


def test_an_error_explains_itself_in_one_line() -> None:
    error = KINDS[0]("It is wrong.", code="HY-1", effect="Nothing was done.", next_step="mend it")
    assert error.explain() == "HY-1 It is wrong. Nothing was done. Next: mend it"
    assert [kind for kind in KINDS if kind.retryable] == [Unavailable]
