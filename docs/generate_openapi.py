"""Writes docs/openapi.json and the payloads door's own: what they say of themselves."""  # noqa: INP001 - a script

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hyok.doors.payloads.description import describe
from hyok.officer.api.app import build_app

HERE = Path(__file__).parent


def write(path: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / path).write_text(text + "\n")


if __name__ == "__main__":
    write("openapi.json", build_app(None).openapi())
    write("keyservices/payloads.openapi.json", describe())
