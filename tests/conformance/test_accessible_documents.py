"""Documents that people are handed, in a browser: axe finds nothing grave in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.peers.axe import barriers
from tests.peers.chromium import Chromium
from tests.unit.custody.test_custodian import house
from tests.unit.objects.test_drilling import report
from tests.unit.officer.test_minutes import MINUTES
from tests.unit.officer.test_shredding import shredding

from hyok.officer import drill_report, minutes, statement_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.officer.test_shredding import Shredding

__all__ = ["house", "shredding"]
pytestmark = pytest.mark.integration


async def test_the_statement_of_destruction_the_minutes_and_the_drill_keep_nobody_out(
    shredding: Shredding, tmp_path: Path
) -> None:
    await shredding.perform()
    stated = (await shredding.book.get("P1")).document
    pages = {
        "verklaring": statement_page.render_page(stated, str, "hyok-audit/proef, 12 records"),
        "notulen": minutes.render_page(MINUTES.document(), str, "ab" * 32),
        "oefening": drill_report.render_page(report().document(), str, "ab" * 32),
    }
    async with Chromium(tmp_path) as browser:
        for name, text in pages.items():
            (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
            await browser.go((tmp_path / f"{name}.html").as_uri())
            assert await browser.run("document.querySelectorAll('article[lang]').length") == 2
            assert await barriers(browser) == [], name
        # A page that does keep people out is found.
        (tmp_path / "slecht.html").write_text(
            '<html><body><main><h1>x</h1><p style="color:#bbb">grijs</p><img src="x.png">'
            "<input></main></body></html>"
        )
        await browser.go((tmp_path / "slecht.html").as_uri())
        found = " ".join(await barriers(browser))
        for rule in ("color-contrast", "image-alt", "html-has-lang", "label"):
            assert rule in found
