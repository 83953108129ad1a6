"""No page on a client goes unread: each is in the table, each is run, each tells its limits."""

from __future__ import annotations

import re
from pathlib import Path

from tests.compat.pages import PAGES

NAMES = sorted(path.name for path in PAGES.glob("*.md") if path.name != "README.md")
FRONT = (PAGES / "README.md").read_text()


def test_each_page_is_in_the_table_beside_the_test_that_runs_it() -> None:
    rows = [line for line in FRONT.splitlines() if re.match(r"\| .*\]\(", line)]
    linked = {page for row in rows for page in re.findall(r"\]\(([a-z0-9-]+\.md)\)", row)}
    assert linked == set(NAMES)
    for row in rows:
        (page,) = re.findall(r"\]\(([a-z0-9-]+\.md)\)", row)
        test = Path(__file__).with_name(re.findall(r"(test_\w+\.py)", row)[0])
        assert f'"{page}"' in test.read_text(), page


def test_each_page_tells_its_limits() -> None:
    for name in NAMES:
        assert "\n## Limits\n\n- " in (PAGES / name).read_text(), name
