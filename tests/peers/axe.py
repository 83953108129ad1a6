"""axe-core in a page of a browser: what keeps people out of it.

Source: https://github.com/dequelabs/axe-core (MPL-2.0), pinned in `axe/package-lock.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.peers.environments import node_modules

if TYPE_CHECKING:
    from tests.peers.chromium import Chromium

PACKAGES = Path(__file__).parent / "axe"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
GRAVE = ("serious", "critical")


async def barriers(browser: Chromium) -> list[str]:
    """Return what axe finds grave in the page that is open, by rule and element.

    A page in which axe looked at nothing is no page without barriers.
    """
    script = node_modules("axe", PACKAGES) / "axe-core" / "axe.min.js"
    await browser.run(script.read_text())
    wanted = {"runOnly": {"type": "tag", "values": list(RULES)}}
    found = json.loads(
        await browser.run(
            f"axe.run(document, {json.dumps(wanted)}).then(found => JSON.stringify("
            "{violations: found.violations, passes: found.passes.length}))"
        )
    )
    assert found["passes"] >= 8, "axe looked at next to nothing"
    return [
        f"{one['impact']} {one['id']}: {node['html'][:200]}"
        for one in found["violations"]
        for node in one["nodes"]
        if one["impact"] in GRAVE
    ]
