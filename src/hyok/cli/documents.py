"""JSON documents that somebody gives to a command as a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hyok.errors import Malformed

if TYPE_CHECKING:
    from pathlib import Path


def read_json(file: Path) -> object:
    """Return what a file holds.

    Raises:
        Malformed: it is no JSON.
    """
    try:
        found: object = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{file} is no JSON") from error
    return found
