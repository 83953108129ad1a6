"""The vector files, as lists of plain dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hyok.envelope.layout import HYOK1, HYOK1_TEST, Suite

FOLDER = Path(__file__).resolve().parents[2] / "vectors"
SUITES: dict[int, Suite] = {HYOK1.id: HYOK1, HYOK1_TEST.id: HYOK1_TEST}


def load(name: str) -> list[dict[str, Any]]:
    """Return the vectors of one file."""
    vectors = json.loads((FOLDER / name).read_text(encoding="utf-8"))["vectors"]
    assert vectors, f"{name} is empty"
    return list(vectors)


def unhex(text: str) -> bytes:
    """Return the bytes of a hexadecimal field."""
    return bytes.fromhex(text)
